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

// Which samples each output pixel sees, and with which weights.
class Taps {
  public:
    Taps(const Axis& axis, std::vector<float>& taps, std::vector<float>& samples)
        : axis_(axis), taps_(taps), samples_(samples) {
        if (axis.upsampling == Upsampling::none) {
            numerator_ = axis.numerator;
            denominator_ = axis.denominator;
        } else {
            factor_ = axis.denominator / axis.numerator;
        }
        ratio_ = static_cast<double>(numerator_) / denominator_;
        step_ = static_cast<double>(axis.box_length) / axis.resized;
        stretch_ = std::max(step_ * ratio_, 1.0);
        support_ = (axis.filter == Filter::bilinear ? 1.0 : 2.0) * stretch_;
        inverse_stretch_ = static_cast<float>(1 / stretch_);
        // In whole numbers, for a ratio such as 1/3 is not exact.
        const int64_t start = int64_t{axis.box_start} * numerator_;
        const int64_t end = (int64_t{axis.box_start} + axis.box_length) * numerator_;
        low_ = static_cast<int>(start / denominator_);
        high_ = static_cast<int>((end + denominator_ - 1) / denominator_);
        // The encoder's padding beyond the component has no say.
        if (axis.upsampling == Upsampling::none) high_ = std::min(high_, axis.component_size);
    }

    // The samples [begin, end) of the component that output pixel `pixel` sees, none where it lies outside
    // the resized box.
    void span(int pixel, int& begin, int& end) const {
        begin = axis_.component_size;
        end = 0;
        int from, to;
        double center;
        if (!reach(pixel, from, to, center)) return;
        begin = from;
        end = to;
        if (factor_ == 1) return;
        const int margin = axis_.upsampling == Upsampling::triangle;
        begin = std::max(0, first_sample(from, margin));
        end = std::min(axis_.component_size, last_sample(to - 1, margin) + 1);
    }

    // The weights of those samples.
    const float* weights(int pixel, int begin, int end) {
        int from, to;
        double center;
        if (!reach(pixel, from, to, center)) return nullptr;
        const int count = to - from;
        taps_.resize(count);
        const float start = static_cast<float>(from + 0.5 - center);
        float sum = 0;
        for (int j = 0; j < count; ++j)
            sum += taps_[j] = evaluate(axis_.filter, (start + j) * inverse_stretch_);
        const float norm = 1 / sum;
        for (float& tap : taps_) tap *= norm;
        if (factor_ == 1) return taps_.data();
        samples_.assign(end - begin, 0);
        const int last = axis_.component_size - 1;
        for (int j = 0; j < count; ++j) {
            const int sample = std::min((from + j) / factor_, last);
            if (axis_.upsampling == Upsampling::replicate) {
                samples_[sample - begin] += taps_[j];
                continue;
            }
            const int next = std::clamp(sample + ((from + j) % 2 ? 1 : -1), 0, last);
            samples_[sample - begin] += 0.75f * taps_[j];
            samples_[next - begin] += 0.25f * taps_[j];
        }
        return samples_.data();
    }

  private:
    // Taps [from, to) of a pixel, in samples or, before upsampling, in luma pixels.
    bool reach(int pixel, int& from, int& to, double& center) const {
        const int index = axis_.crop_start + (axis_.flip ? axis_.crop_length - 1 - pixel : pixel);
        if (index < 0 || index >= axis_.resized) return false;
        center = (axis_.box_start + (index + 0.5) * step_) * ratio_;
        // Truncation is floor here: what would be negative is below `low_`.
        from = std::max(low_, static_cast<int>(center - support_ + 0.5));
        to = std::min(high_, static_cast<int>(center + support_ + 0.5));
        return from < to;
    }
    int first_sample(int pixel, int margin) const { return pixel / factor_ - (margin && pixel % 2 == 0); }
    int last_sample(int pixel, int margin) const { return pixel / factor_ + (margin && pixel % 2 == 1); }

    const Axis& axis_;
    std::vector<float>&taps_, &samples_;
    int numerator_ = 1, denominator_ = 1, factor_ = 1;
    double ratio_, step_, stretch_, support_;
    float inverse_stretch_;
    int low_, high_;  // taps that belong to the box
};

}  // namespace

Axis Axis::mirrored(int length) const {
    Axis axis = *this;
    axis.box_start = length - box_start - box_length;
    axis.crop_start = resized - crop_start - crop_length;
    axis.flip = !flip;
    return axis;
}

void Operator::clear(int count_of_outputs) {
    outputs = count_of_outputs;
    frequencies = 1;
    first.assign(outputs, 0);
    count.assign(outputs, 0);
    offset.assign(outputs, 0);
    weights.clear();
    begin = end = max_count = 0;
    source_frequencies = 0;
}

void Operator::build_from_samples(const Axis& axis) {
    clear(axis.crop_length);
    source_frequencies = 0xFF;
    Taps taps(axis, taps_, samples_);
    int low = axis.component_size, high = 0;
    for (int output = 0; output < outputs; ++output) {
        int from, to;
        taps.span(output, from, to);
        offset[output] = weights.size();
        if (from >= to) continue;  // outside the resized box
        first[output] = from;
        count[output] = to - from;
        max_count = std::max(max_count, to - from);
        low = std::min(low, from);
        high = std::max(high, to);
        const float* weight = taps.weights(output, from, to);
        weights.insert(weights.end(), weight, weight + (to - from));
    }
    if (low >= high) return;
    begin = low / 8;
    end = (high + 7) / 8;
}

void Operator::build(const Axis& axis, const std::vector<int>& wanted) {
    const int pixels = wanted.empty() ? 1 : 8;  // of an output
    clear(axis.crop_length / pixels);
    if (!wanted.empty()) frequencies = static_cast<int>(wanted.size());

    Taps taps(axis, taps_, samples_);
    const auto project = resample_kernels().project;
    basis_.clear();
    for (int frequency : wanted) basis_.push_back(kForward[frequency].data());
    float largest[8] = {};
    bool any = false;
    for (int output = 0; output < outputs; ++output) {
        int from[8], to[8];
        int band_begin = axis.component_size, band_end = 0;
        for (int i = 0; i < pixels; ++i) {
            taps.span(output * pixels + i, from[i], to[i]);
            band_begin = std::min(band_begin, from[i]);
            band_end = std::max(band_end, to[i]);
        }
        offset[output] = weights.size();
        first[output] = any ? end : 0;
        if (band_begin >= band_end) continue;  // wholly outside the resized box: gray
        first[output] = band_begin / 8;
        count[output] = (band_end + 7) / 8 - first[output];
        begin = any ? std::min(begin, first[output]) : first[output];
        end = std::max(end, first[output] + count[output]);
        max_count = std::max(max_count, count[output]);
        any = true;

        // R · U · D_inᵀ of the output: [source block][output pixel][source frequency]
        rows_.assign(static_cast<size_t>(count[output]) * pixels, {});
        for (int i = 0; i < pixels; ++i) {
            if (from[i] >= to[i]) continue;
            const float* weight = taps.weights(output * pixels + i, from[i], to[i]);
            for (int sample = from[i]; sample < to[i]; ++sample, ++weight) {
                auto& row = rows_[static_cast<size_t>(sample / 8 - first[output]) * pixels + i];
                const auto& column = kTransposed[sample % 8];
#pragma GCC unroll 8
                for (int k = 0; k < 8; ++k) row[k] += *weight * column[k];
            }
        }
        weights.resize(weights.size() + static_cast<size_t>(count[output]) * 8 * frequencies);
        float* const result = weights.data() + offset[output];
        if (wanted.empty()) {
            for (int block = 0; block < count[output]; ++block) {
                for (int k = 0; k < 8; ++k) {
                    result[8 * block + k] = rows_[block][k];
                    largest[k] = std::max(largest[k], std::abs(rows_[block][k]));
                }
            }
        } else {
            // D_out · that, transposed to [source block, source frequency][output frequency]
            project(reinterpret_cast<const float (*)[8]>(rows_.data()), count[output], basis_.data(),
                    frequencies, result, largest);
        }
    }
    for (int k = 0; k < 8; ++k)
        if (largest[k] > kNegligible) source_frequencies |= static_cast<uint8_t>(1u << k);
}

}  // namespace freqvision
