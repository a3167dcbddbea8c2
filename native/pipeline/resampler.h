// Coefficients of one image, block row by block row → its normalised, selected, cast channels.
#pragma once

#include <array>
#include <vector>

#include "jpeg/rows.h"
#include "pipeline/kernels.h"
#include "pipeline/operators.h"

namespace freqvision {

// What a photo is turned into. Channels are 64 · component + 8 · u + v, ascending; a coefficient x becomes
// gain · x + bias.
struct OutputSpec {
    std::vector<int> channels;
    std::vector<float> gain, bias;
    DataType type = DataType::float32;
    Filter filter = Filter::bilinear;
};

// Which part of the photo is seen: pixels of the stored image. See View in Python.
struct View {
    int box_top, box_left, box_height, box_width;
    int height, width;  // the box is resized to this
    int crop_top, crop_left, crop_height, crop_width;
    int flip;
};

// What the resampler needs to know of a component.
struct Plane {
    int width = 0, height = 0;         // in samples
    int horizontal = 1, vertical = 1;  // sampling factors
    const uint16_t* quant = nullptr;   // natural order
};

// Use: prepare, then feed rows in `request()`'s ranges (the reader does), then finish. Reusable; allocates
// nothing once it has seen images of the same kind.
class Resampler final : public RowSink {
  public:
    explicit Resampler(const OutputSpec& spec);

    // `planes`: one (gray) or three (YCbCr). `to` holds channels × crop_height / 8 × crop_width / 8 values.
    void prepare(const Plane* planes, int count, const View& view, void* to);
    const RowRequest& request() const { return request_; }
    void row(int component, int block_row, const int16_t* blocks) override;
    // Writes what is still open: rows that never came count as zero.
    void finish();

  private:
    // The channels of a component that share a horizontal frequency.
    struct Column {
        int index;                  // among the operator's horizontal frequencies
        std::vector<int> picks;     // among the operator's vertical frequencies
        std::vector<int> channels;  // in the output
    };
    // What a component's channels ask for; fixed by the spec.
    struct Wanted {
        std::vector<int> vertical, horizontal;
        std::vector<Column> columns;
    };
    struct State {
        Axis axes[2];
        Operator vertical, horizontal;
        std::array<float, 64> quant;  // transposed order
        std::vector<float> group;     // dequantised block rows waiting for the horizontal product
        std::vector<uint8_t> limits;
        std::vector<float> strips;  // ring of the horizontal product's results
        size_t strip_size = 0;
        int ring = 0;       // strips in it
        int group_row = 0;  // first block row of the group
        int filled = 0;     // rows in the group
        int done = 0;       // block rows [begin, done) have passed the horizontal product
        int emitted = 0;    // output block rows
    };

    void zero(int component);   // all of its channels: no coefficient but 0
    void flush(int component);  // the horizontal product of the rows in the group, then what this completes
    void emit(int component, int limit);  // output rows whose source rows all lie before `limit`
    float* strip(State& state, int block_row) {
        return state.strips.data() + state.strip_size * (block_row % state.ring);
    }

    OutputSpec spec_;
    const ResampleKernels& kernels_;
    int height_ = 0, width_ = 0;  // of the output, in blocks
    int stride_ = 0;              // output columns, padded
    Wanted wanted_[3];
    State states_[3];
    RowRequest request_;
    uint8_t* to_ = nullptr;
    std::vector<float> scratch_, outputs_;
    std::vector<const float*> inputs_;
};

}  // namespace freqvision
