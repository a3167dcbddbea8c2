// Coefficients of one image, block row by block row → its channels or its pixels, normalised and cast.
#pragma once

#include <array>
#include <vector>

#include "jpeg/info.h"
#include "jpeg/rows.h"
#include "pipeline/kernels.h"
#include "pipeline/plane.h"

namespace freqvision {

// What a photo is turned into. Frequencies: the `channels`, 64 · component + 8 · u + v, ascending. Pixels,
// where `matrix` is not empty: channel k is matrix[k] · (Y, Cb, Cr) + 128, all without their 128, clamped to
// 0…255. A value x becomes gain · x + bias.
struct OutputSpec {
    std::vector<int> channels;
    std::vector<std::array<float, 3>> matrix;
    std::vector<float> gain, bias;
    std::vector<float> fill;   // of pixels: each channel's value outside the resized box, as it is written
    bool interleaved = false;  // of pixels: (height, width, channels), not (channels, height, width)
    DataType type = DataType::float32;
    Filter filter = Filter::bilinear;

    bool pixels() const { return !matrix.empty(); }
    size_t depth() const { return pixels() ? matrix.size() : channels.size(); }
};

// Which part of the photo is seen: pixels of the image as it is shown. See View in Python. Of frequencies,
// the crop's sides are multiples of 8.
struct View {
    int box_top, box_left, box_height, box_width;
    int height, width;  // the box is resized to this
    int crop_top, crop_left, crop_height, crop_width;
    int flip;
};

// Use: prepare, then feed rows in `request()`'s ranges (the reader does), then finish. Reusable; allocates
// nothing once it has seen images of the same kind.
class Resampler final : public RowSink, public LineSink {
  public:
    explicit Resampler(const OutputSpec& spec);

    // A gray or YCbCr image; `orientation` (EXIF, 1 to 8) is how it is shown, and 1 is as it is stored. `to`
    // holds the output.
    void prepare(const ImageInfo& info, int orientation, const View& view, void* to);
    const RowRequest& request() const { return request_; }
    void row(int component, int block_row, const int16_t* blocks) override;
    void lines(int component, int block_row, const int16_t* const* lines) override;
    // Writes what is still open: rows that never came count as zero.
    void finish();

  private:
    // The channels of a component that share a horizontal frequency of the stored image.
    struct Column {
        int index;                  // among the operator's horizontal frequencies
        std::vector<int> picks;     // among the operator's vertical frequencies
        std::vector<int> channels;  // in the output
    };
    // What a component's channels ask for; fixed by the spec.
    struct Wanted {
        std::vector<int> vertical, horizontal;
        std::vector<Column> columns;
        Wanted(const OutputSpec& spec, int component, bool transposed);
    };

    void emit(int component);
    void emit_channels(int component);
    void emit_pixels();
    void write(const float* values, size_t channel, int row);
    void write_pixels(const float* const* rows, int row, bool shown);
    int oldest(int component) const;
    int output_row(int emitted) const { return reversed_ ? rows_ - 1 - emitted : emitted; }

    OutputSpec spec_;
    const ResampleKernels& kernels_;
    std::vector<Wanted> wanted_[2];  // [transposed][component]
    bool has_chroma_ = false;        // of the pixels
    std::vector<PlaneResampler> planes_;
    RowRequest request_;
    int components_ = 0;          // of the image that the output needs
    bool transposed_ = false;     // a stored row is a column of the output
    bool reversed_ = false;       // rows are done from last to first
    int rows_ = 0, columns_ = 0;  // of the output as it is computed (transposed or not), in blocks or pixels
    int begin_ = 0, end_ = 0;     // the columns that show something of the photo
    int emitted_[3] = {};         // rows of each component; of pixels all are counted by the first
    int stride_ = 0;
    uint8_t* to_ = nullptr;
    std::vector<float> values_, blank_;
    std::vector<uint8_t> line_, turned_;
};

}  // namespace freqvision
