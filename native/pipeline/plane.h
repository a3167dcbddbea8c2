// One component of an image, block row by block row → rows of its resampled values.
#pragma once

#include <array>
#include <vector>

#include "jpeg/rows.h"
#include "pipeline/kernels.h"
#include "pipeline/operators.h"

namespace freqvision {

// Use: prepare, then add the block rows of range() in order; product() gives an output once it is ready().
// Reusable; allocates nothing once it has seen images of the same kind.
//
// The horizontal product of a block row leaves a strip, [u][output frequency][column], of which the vertical
// one makes outputs. Pixels that are not much fewer than the samples are had for less from samples: a fast
// inverse DCT along each axis, and operators without a DCT. A block row then leaves eight strips, its rows of
// samples. (The inverse DCT takes 4 operations a sample; folded into an operator it takes 8 an output pixel.)
class PlaneResampler {
  public:
    explicit PlaneResampler(const ResampleKernels& kernels);

    // `wanted`: see Operator::build. `quant` is in natural order. Frequencies (bit 8·u + v) that are not
    // `stored` are zero. A twin, prepared before, may lend its operators.
    void prepare(const Axis& vertical, const Axis& horizontal, const std::vector<int>& wanted_vertical,
                 const std::vector<int>& wanted_horizontal, const float* quant, uint64_t stored,
                 const PlaneResampler* twin);

    // The blocks that are needed, and (bit 8·u + v) their frequencies. Where nothing of the component is
    // seen, the range is empty, and it is not ready for anything.
    const BlockRange& range() const { return range_; }
    uint64_t frequencies() const;
    int kept() const { return group_rows_; }  // see RowRequest
    int columns() const { return horizontal_.outputs; }
    int stride() const { return stride_; }  // columns, padded

    // True if more outputs may be ready now. `oldest` is the first strip that is still needed.
    bool add(int block_row, const int16_t* blocks, int oldest);
    bool add(int block_row, const int16_t* const* lines, int oldest);  // see LineSink
    // What waits for a full group; then rows that never came, which count as zero, one at a time until false.
    bool add_missing(int oldest);

    // Along the vertical axis: whether an output shows anything, its first strip, whether all have come.
    bool shows(int output) const { return vertical_.count[output] > 0; }
    int first_strip(int output) const { return vertical_.first[output]; }
    int end_strip() const { return range_.row_end * strips_in_row_; }
    bool ready(int output) const {
        return vertical_.first[output] + vertical_.count[output] <= done_ || !shows(output);
    }

    // to[k][column] = the values of an output at one of the horizontal frequencies and the vertical
    // frequencies picks[k], both as places in what was wanted.
    void product(int output, int horizontal, const int* picks, int count, float* const* to);
    // The values of an output that is a row of pixels: made in `to`, or where they are already.
    const float* pixels(int output, float* to);

  private:
    struct Built {
        Axis axis;
        std::vector<int> wanted;
        bool from_samples = false;
        bool operator==(const Built&) const = default;
    };

    void build(Operator PlaneResampler::* which, Built PlaneResampler::* built, const Axis& axis,
               const std::vector<int>& wanted, const PlaneResampler* twin);
    int16_t* kept_row() { return blocks_.data() + blocks_.size() / kMaxGroup * filled_; }
    bool added(int block_row, int oldest);
    void flush(int oldest);
    void reserve_strips(int oldest);
    float* strip(int number) { return strips_.data() + strip_size_ * (number % ring_); }

    const ResampleKernels& kernels_;
    Operator vertical_, horizontal_;
    Built built_vertical_, built_horizontal_;
    BlockRange range_;
    bool from_samples_ = false;
    int strips_in_row_ = 1;  // of blocks
    int sources_ = 8;        // frequencies u from here on are zero
    int lanes_ = 8;          // of a row in a group: 8, or 2 or 4 where that suffices for the sources
    int group_rows_ = 1;     // for which a group has room
    int count_v_ = 8;        // frequencies v from here on are zero
    int stride_ = 0;
    std::array<float, 64> quant_;                   // transposed order
    std::array<float, 64 * kMaxGroup> lane_quant_;  // the same for each lane of a group
    const int16_t* lines_[64 * kMaxGroup] = {};     // of each lane, likewise
    std::vector<float> group_;             // dequantised block rows waiting for the horizontal product
    const int16_t* rows_[kMaxGroup] = {};  // of blocks that are to become a group, or none (of lines)
    std::vector<int16_t> blocks_;          // those that must be kept until it is full
    int group_row_ = 0;                    // first block row of the group
    int filled_ = 0;                       // rows in the group
    int done_ = 0;                         // strips up to this one are there
    std::vector<float> strips_, moved_;    // ring of the horizontal product's results
    size_t strip_size_ = 0;
    int ring_ = 0;  // strips in it
    int lead_ = 0;  // of them, those that are kept until other components catch up
    std::vector<float> scratch_;
    std::vector<int> places_;
    std::vector<const float*> inputs_;
};

}  // namespace freqvision
