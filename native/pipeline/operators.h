// The one-dimensional resampling operators A = D_out · R · D_inᵀ.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace freqvision {

enum class Filter { bilinear, bicubic };

// One axis of a view of one component. Box, resized and crop are in pixels of the full-size (luma) image; the
// component has `component_size` samples, `numerator / denominator` of them for each luma sample.
struct Axis {
    int component_size = 0;
    int numerator = 1, denominator = 1;
    int box_start = 0, box_length = 0;
    int resized = 0;
    int crop_start = 0, crop_length = 0;  // crop_length is a multiple of 8
    bool flip = false;
    Filter filter = Filter::bilinear;
    bool operator==(const Axis&) const = default;
};

// The rows of A for some output frequencies. It is banded: output block i is a combination of the `count[i]`
// source blocks from `first[i]` on, with weights[offset[i]…] = (count[i] · 8 source frequencies) ×
// frequencies.
struct Operator {
    int blocks = 0;       // output blocks
    int frequencies = 0;  // computed frequencies of each, in the order they were asked for
    std::vector<int> first, count;
    std::vector<size_t> offset;
    std::vector<float> weights;
    int begin = 0, end = 0;  // the source blocks that are needed at all
    int max_count = 0;
    uint8_t source_frequencies = 0;  // bit k: source frequency k has a weight somewhere

    const float* block(int i) const { return weights.data() + offset[i]; }

    // Builds in place and keeps its memory. `wanted` lists output frequencies, each 0…7.
    void build(const Axis& axis, const std::vector<int>& wanted);

  private:
    std::vector<float> taps_;
    std::vector<std::array<float, 8>> rows_;
    std::vector<const float*> basis_;
};

}  // namespace freqvision
