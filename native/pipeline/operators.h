// The one-dimensional resampling operators A = D_out · R · U · D_inᵀ.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace freqvision {

enum class Filter { bilinear, bicubic };

// How the samples of a component with fewer of them than luma become one for each luma pixel (U).
enum class Upsampling {
    none,       // not at all: R goes straight from the stored samples to the output, which is exact
    replicate,  // libjpeg's for other ratios than 2
    triangle,   // libjpeg's "fancy" one: ¾ of the nearer sample, ¼ of the next
};

// One axis of a view of one component. Box, resized and crop are in pixels of the full-size (luma) image; the
// component has `component_size` samples, `numerator / denominator` of them for each luma sample.
struct Axis {
    int component_size = 0;
    int numerator = 1, denominator = 1;
    Upsampling upsampling = Upsampling::none;
    int box_start = 0, box_length = 0;
    int resized = 0;
    int crop_start = 0, crop_length = 0;
    bool flip = false;
    Filter filter = Filter::bilinear;
    bool operator==(const Axis&) const = default;

    // The same axis of a photo of `length` luma pixels that is shown mirrored.
    Axis mirrored(int length) const;
};

// The rows of A for output pixels (D_out is the identity), or for some output frequencies of blocks of 8
// pixels. It is banded: output i is a combination of the `count[i]` source blocks from `first[i]` on, with
// weights[offset[i]…] = (count[i] · 8 source frequencies) × frequencies. Or, for pixels from samples, of R ·
// U: first and count are of samples, with a weight for each.
struct Operator {
    int outputs = 0;  // pixels, or blocks of 8 pixels
    int frequencies =
        0;  // computed frequencies of each block, in the order they were asked for; 1 of a pixel
    std::vector<int> first, count;
    std::vector<size_t> offset;
    std::vector<float> weights;
    int begin = 0, end = 0;  // the source blocks that are needed at all
    int max_count = 0;
    bool identity = false;  // from samples: outputs are the source blocks' samples from the first one on
    uint8_t source_frequencies = 0;  // bit k: source frequency k has a weight somewhere

    const float* output(int i) const { return weights.data() + offset[i]; }

    // Builds in place and keeps its memory. `wanted` lists output frequencies, each 0…7, of an axis whose
    // crop_length is a multiple of 8; empty stands for pixels.
    void build(const Axis& axis, const std::vector<int>& wanted);
    void build_from_samples(const Axis& axis);
    // Gives each output of samples `max_count` of them, some without weight: its loop has one length.
    void even_out();
    // Of an operator of the same axis some output frequencies, by their places in what it was built for.
    void select(const Operator& other, const std::vector<int>& places);

  private:
    void clear(int count_of_outputs);

    std::vector<float> taps_, samples_;
    std::vector<std::array<float, 8>> rows_;
    std::vector<const float*> basis_;
};

}  // namespace freqvision
