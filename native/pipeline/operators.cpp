#include "pipeline/operators.h"

#include <algorithm>
#include <cmath>

#include "pipeline/kernels.h"

namespace freqvision {
namespace {

// A source frequency whose weights are all below this is not needed: an aligned crop at scale 1 is the
// identity, but for rounding.
constexpr float kNegligible = 1e-7f;

using Basis = std::array<std::array<float, 8>, 8>;

// [k][i] of the orthonormal 8-point DCT-II, or its transpose.
Basis make_basis(bool transposed) {
    Basis table{};
    for (int k = 0; k < 8; ++k)
        for (int i = 0; i < 8; ++i)
            (transposed ? table[i][k] : table[k][i]) = static_cast<float>(
                std::sqrt(k == 0 ? 0.125 : 0.25) * std::cos((2 * i + 1) * k * 3.14159265358979323846 / 16));
    return table;
}
const Basis kForward = make_basis(false);
const Basis kTransposed = make_basis(true);

float evaluate(Filter filter, float x) {
    x = std::abs(x);
    if (filter == Filter::bilinear) return x < 1 ? 1 - x : 0;
    constexpr float a = -0.5f;  // the antialiased bicubic of torch and Pillow
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

// Which samples each output pixel sees, and where its centre lies among them.
struct Geometry {
    const Axis& axis;
    double ratio, step, stretch, support;
    int low, high;  // samples that belong to the box; the encoder's padding beyond the component has no say

    explicit Geometry(const Axis& a) : axis(a) {
        ratio = static_cast<double>(a.numerator) / a.denominator;
        step = static_cast<double>(a.box_length) / a.resized;
        stretch = std::max(step * ratio, 1.0);
        support = (a.filter == Filter::bilinear ? 1.0 : 2.0) * stretch;
        // In whole numbers, for a ratio such as 1/3 is not exact.
        const int64_t start = int64_t{a.box_start} * a.numerator;
        const int64_t end = (int64_t{a.box_start} + a.box_length) * a.numerator;
        low = static_cast<int>(start / a.denominator);
        high = std::min(a.component_size, static_cast<int>((end + a.denominator - 1) / a.denominator));
    }
    // Of an output pixel: samples [begin, end), none where it lies outside the resized box.
    void span(int pixel, double& center, int& begin, int& end) const {
        const int index = axis.crop_start + (axis.flip ? axis.crop_length - 1 - pixel : pixel);
        begin = high;
        end = low;
        if (index < 0 || index >= axis.resized) return;
        center = (axis.box_start + (index + 0.5) * step) * ratio;
        // Truncation is floor here: what would be negative is below `low`.
        begin = std::max(low, static_cast<int>(center - support + 0.5));
        end = std::min(high, static_cast<int>(center + support + 0.5));
    }
};

}  // namespace

void Operator::build(const Axis& axis, const std::vector<int>& wanted) {
    blocks = axis.crop_length / 8;
    frequencies = static_cast<int>(wanted.size());
    first.assign(blocks, 0);
    count.assign(blocks, 0);
    offset.assign(blocks, 0);
    weights.clear();
    begin = end = max_count = 0;
    source_frequencies = 0;

    const Geometry geometry(axis);
    const float inverse_stretch = static_cast<float>(1 / geometry.stretch);
    const auto project = resample_kernels().project;
    basis_.clear();
    for (int frequency : wanted) basis_.push_back(kForward[frequency].data());
    float largest[8] = {};
    bool any = false;
    for (int block = 0; block < blocks; ++block) {
        double centers[8] = {};
        int from[8], to[8];
        int band_begin = geometry.high, band_end = geometry.low;
        for (int i = 0; i < 8; ++i) {
            geometry.span(block * 8 + i, centers[i], from[i], to[i]);
            band_begin = std::min(band_begin, from[i]);
            band_end = std::max(band_end, to[i]);
        }
        offset[block] = weights.size();
        first[block] = any ? end : 0;
        if (band_begin >= band_end) continue;  // wholly outside the resized box: gray
        first[block] = band_begin / 8;
        count[block] = (band_end + 7) / 8 - first[block];
        begin = any ? std::min(begin, first[block]) : first[block];
        end = std::max(end, first[block] + count[block]);
        max_count = std::max(max_count, count[block]);
        any = true;

        // R · D_inᵀ of the block: [source block][output pixel][source frequency]
        rows_.assign(static_cast<size_t>(count[block]) * 8, {});
        for (int i = 0; i < 8; ++i) {
            const int taps = to[i] - from[i];
            if (taps <= 0) continue;
            taps_.resize(taps);
            const float start = static_cast<float>(from[i] + 0.5 - centers[i]);
            float sum = 0;
            for (int j = 0; j < taps; ++j)
                sum += taps_[j] = evaluate(axis.filter, (start + j) * inverse_stretch);
            const float norm = 1 / sum;
            for (int j = 0; j < taps; ++j) {
                const int sample = from[i] + j;
                const float weight = taps_[j] * norm;
                auto& row = rows_[static_cast<size_t>(sample / 8 - first[block]) * 8 + i];
                const auto& column = kTransposed[sample % 8];
#pragma GCC unroll 8
                for (int k = 0; k < 8; ++k) row[k] += weight * column[k];
            }
        }
        // D_out · that, transposed to [source block, source frequency][output frequency]
        weights.resize(weights.size() + static_cast<size_t>(count[block]) * 8 * frequencies);
        project(reinterpret_cast<const float (*)[8]>(rows_.data()), count[block], basis_.data(), frequencies,
                weights.data() + offset[block], largest);
    }
    for (int k = 0; k < 8; ++k)
        if (largest[k] > kNegligible) source_frequencies |= static_cast<uint8_t>(1u << k);
}

}  // namespace freqvision
