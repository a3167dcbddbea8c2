#include "pipeline/operators.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "pipeline/kernels.h"

namespace freqvision {
namespace {

// A source frequency whose weights are all below this is not needed: an aligned crop at scale 1 is the
// identity, but for rounding.
constexpr float kNegligible = 1e-7f;

typedef float Floats4 __attribute__((vector_size(16)));

inline Floats4 load4(const float* from) {
    Floats4 value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

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

inline float evaluate(Filter filter, float x) {
    x = std::abs(x);
    if (filter == Filter::bilinear) return std::max(0.0f, 1 - x);  // without a branch, which is chance
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

    // The samples [begin, end) of the component that an output pixel sees, none where it lies outside the
    // resized box; and its taps [from, to), in samples or, before upsampling, in luma pixels.
    struct Span {
        int begin, end, from, to;
        float start;  // from the pixel's centre to its first tap's
    };

    Span span(int pixel) const {
        const int index = axis_.crop_start + (axis_.flip ? axis_.crop_length - 1 - pixel : pixel);
        Span span{axis_.component_size, 0, 0, 0, 0};
        if (index < 0 || index >= axis_.resized) return span;
        const double center = (axis_.box_start + (index + 0.5) * step_) * ratio_;
        // Truncation is floor here: what would be negative is below `low_`.
        span.from = std::max(low_, static_cast<int>(center - support_ + 0.5));
        span.to = std::min(high_, static_cast<int>(center + support_ + 0.5));
        if (span.from >= span.to) return span;
        span.start = static_cast<float>(span.from + 0.5 - center);
        if (factor_ == 1) {
            span.begin = span.from;
            span.end = span.to;
            return span;
        }
        const bool smooth = axis_.upsampling == Upsampling::triangle;
        span.begin = std::max(0, first_sample(span.from, smooth));
        span.end = std::min(axis_.component_size, last_sample(span.to - 1, smooth) + 1);
        return span;
    }

    // The weights of those samples.
    const float* weights(const Span& span) {
        const int count = span.to - span.from;
        if (static_cast<int>(taps_.size()) < count) taps_.resize(count);
        float* const taps = taps_.data();
        const float sum = axis_.filter == Filter::bilinear
                              ? evaluate_all<Filter::bilinear>(span.start, count, taps)
                              : evaluate_all<Filter::bicubic>(span.start, count, taps);
        const float norm = 1 / sum;
        for (int j = 0; j < count; ++j) taps[j] *= norm;
        return factor_ == 1 ? taps : upsampled(span, taps);
    }

  private:
    const float* upsampled(const Span& span, const float* taps) {
        const int count = span.to - span.from;
        samples_.assign(span.end - span.begin, 0);
        const int last = axis_.component_size - 1;
        for (int j = 0; j < count; ++j) {
            const int sample = std::min((span.from + j) / factor_, last);
            if (axis_.upsampling == Upsampling::replicate) {
                samples_[sample - span.begin] += taps[j];
                continue;
            }
            const int next = std::clamp(sample + ((span.from + j) % 2 ? 1 : -1), 0, last);
            samples_[sample - span.begin] += 0.75f * taps[j];
            samples_[next - span.begin] += 0.25f * taps[j];
        }
        return samples_.data();
    }
    template <Filter F>
    float evaluate_all(float start, int count, float* taps) const {
        float sum = 0;
        for (int j = 0; j < count; ++j) sum += taps[j] = evaluate(F, (start + j) * inverse_stretch_);
        return sum;
    }
    int first_sample(int pixel, bool smooth) const { return pixel / factor_ - (smooth && pixel % 2 == 0); }
    int last_sample(int pixel, bool smooth) const { return pixel / factor_ + (smooth && pixel % 2 == 1); }

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
    identity = false;
}

void Operator::build_from_samples(const Axis& axis) {
    clear(axis.crop_length);
    source_frequencies = 0xFF;
    Taps taps(axis, taps_, samples_);
    int low = axis.component_size, high = 0;
    for (int output = 0; output < outputs; ++output) {
        Taps::Span span = taps.span(output);
        offset[output] = weights.size();
        if (span.begin >= span.end) continue;  // outside the resized box
        const float* weight = taps.weights(span);
        while (span.end - span.begin > 1 && weight[span.end - span.begin - 1] == 0) --span.end;  // at scale 1
        first[output] = span.begin;
        count[output] = span.end - span.begin;
        max_count = std::max(max_count, count[output]);
        low = std::min(low, span.begin);
        high = std::max(high, span.end);
        weights.insert(weights.end(), weight, weight + count[output]);
    }
    if (low >= high) return;
    begin = low / 8;
    end = (high + 7) / 8;
    identity = low % 8 == 0;
    for (int output = 0; identity && output < outputs; ++output)
        identity = count[output] == 1 && first[output] == low + output && weights[output] == 1;
}

void Operator::even_out() {
    samples_.assign(static_cast<size_t>(outputs) * max_count, 0);
    for (int output = 0; output < outputs; ++output) {
        const int from = std::clamp(first[output], 8 * begin, 8 * end - max_count);
        float* const to = samples_.data() + static_cast<size_t>(output) * max_count;
        std::copy_n(this->output(output), count[output], to + (count[output] ? first[output] - from : 0));
        first[output] = from;
        count[output] = max_count;
        offset[output] = static_cast<size_t>(output) * max_count;
    }
    weights.swap(samples_);
}

void Operator::select(const Operator& other, const std::vector<int>& places) {
    clear(other.outputs);
    frequencies = static_cast<int>(places.size());
    first = other.first;
    count = other.count;
    begin = other.begin;
    end = other.end;
    max_count = other.max_count;
    source_frequencies = other.source_frequencies;
    const size_t sources = other.weights.size() / other.frequencies;
    weights.resize(sources * frequencies);
    for (int i = 0; i < outputs; ++i) offset[i] = other.offset[i] / other.frequencies * frequencies;
    float* to = weights.data();
    for (size_t source = 0; source < sources; ++source)
        for (int place : places) *to++ = other.weights[source * other.frequencies + place];
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
        Taps::Span spans[8];
        int band_begin = axis.component_size, band_end = 0;
        for (int i = 0; i < pixels; ++i) {
            spans[i] = taps.span(output * pixels + i);
            band_begin = std::min(band_begin, spans[i].begin);
            band_end = std::max(band_end, spans[i].end);
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
            if (spans[i].begin >= spans[i].end) continue;
            const float* weights_of_pixel = taps.weights(spans[i]);
            for (int sample = spans[i].begin; sample < spans[i].end; ++sample) {
                const float weight = *weights_of_pixel++;
                auto& row = rows_[static_cast<size_t>(sample / 8 - first[output]) * pixels + i];
                const auto& column = kTransposed[sample % 8];
                for (int k = 0; k < 8; k += 4) {
                    Floats4 sum = load4(&row[k]) + weight * load4(&column[k]);
                    std::memcpy(&row[k], &sum, sizeof sum);
                }
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
