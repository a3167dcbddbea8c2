#include "pipeline/plane.h"

#include <algorithm>
#include <bit>

namespace freqvision {
namespace {

// Scale factors of the inverse DCT of Arai, Agui and Nakajima, √2 · cos(kπ/16) / √8, which go into the
// quantisation table.
constexpr float kScale[8] = {0.35355339f, 0.49039264f, 0.46193977f, 0.41573481f,
                             0.35355339f, 0.27778512f, 0.19134172f, 0.09754516f};

// Up to here samples are cheaper: measured, see docs/decisions.md.
constexpr double kMostSamples = 3;  // an output pixel

double samples_in_pixel(const Axis& axis) {
    return static_cast<double>(axis.box_length) * axis.numerator / axis.denominator / axis.resized;
}

// Where each of some ascending values stands among all; false if there are none, or others.
bool find_places(const std::vector<int>& some, const std::vector<int>& all, std::vector<int>& places) {
    places.clear();
    for (int value : some)
        places.push_back(static_cast<int>(std::lower_bound(all.begin(), all.end(), value) - all.begin()));
    return !some.empty() && std::includes(all.begin(), all.end(), some.begin(), some.end());
}

}  // namespace

PlaneResampler::PlaneResampler(const ResampleKernels& kernels)
    : kernels_(kernels), scratch_(size_t{8} * 8 * 8 * kernels.group) {}

void PlaneResampler::build(Operator PlaneResampler::* which, Built PlaneResampler::* built, const Axis& axis,
                           const std::vector<int>& wanted, const PlaneResampler* twin) {
    // Photos of a data set often share their geometry, and Cb and Cr always do.
    const auto is_built = [&](const Built& is) {
        return is.axis == axis && is.wanted == wanted && is.from_samples == from_samples_;
    };
    if (is_built(this->*built)) return;
    (this->*built).axis = {};  // what an exception leaves half-built belongs to no axis
    if (twin && is_built(twin->*built))
        this->*which = twin->*which;
    else if (twin && (twin->*built).axis == axis && find_places(wanted, (twin->*built).wanted, places_))
        (this->*which).select(twin->*which, places_);
    else if (from_samples_) {
        (this->*which).build_from_samples(axis);
        if (which == &PlaneResampler::horizontal_ && !horizontal_.identity) horizontal_.even_out();
    } else
        (this->*which).build(axis, wanted);
    (this->*built).wanted = wanted;
    (this->*built).from_samples = from_samples_;
    (this->*built).axis = axis;
}

void PlaneResampler::prepare(const Axis& vertical, const Axis& horizontal,
                             const std::vector<int>& wanted_vertical,
                             const std::vector<int>& wanted_horizontal, const float* quant, uint64_t stored,
                             const PlaneResampler* twin) {
    sources_ = static_cast<int>(std::bit_width(stored) + 7) / 8;
    const double most_samples = kMostSamples * sources_ / 8;
    from_samples_ = wanted_vertical.empty() && samples_in_pixel(vertical) <= most_samples &&
                    samples_in_pixel(horizontal) <= most_samples;
    strips_in_row_ = from_samples_ ? 8 : 1;
    if (from_samples_) sources_ = 8;
    lanes_ = sources_ <= 2 ? 2 : sources_ <= 4 ? 4 : 8;
    group_rows_ = kernels_.group * 8 / lanes_;
    using Self = PlaneResampler;
    build(&Self::vertical_, &Self::built_vertical_, vertical, wanted_vertical, twin);
    build(&Self::horizontal_, &Self::built_horizontal_, horizontal, wanted_horizontal, twin);
    range_ = {vertical_.begin, vertical_.end, horizontal_.begin, horizontal_.end};
    filled_ = 0;
    done_ = range_.row_begin * strips_in_row_;
    stride_ = (horizontal_.outputs + kColumns - 1) / kColumns * kColumns;
    for (int u = 0; u < 8; ++u)
        for (int v = 0; v < 8; ++v)
            quant_[8 * v + u] = quant[8 * u + v] * (from_samples_ ? kScale[u] * kScale[v] : 1.0f);
    const int width = 8 * kernels_.group;
    for (int v = 0; v < 8; ++v)
        for (int lane = 0; lane < width; ++lane)
            lane_quant_[width * v + lane] = quant_[8 * v + lane % lanes_];
    const int blocks = (std::max(1, range_.column_end - range_.column_begin) + 7) / 8 * 8;
    group_.resize(static_cast<size_t>(64) * kernels_.group * blocks);
    int count_v = 0;  // the horizontal product takes them by twos
    for (int u = 0; u < 8; ++u) count_v = std::max<int>(count_v, std::bit_width(stored >> 8 * u & 0xFF));
    count_v_ = (count_v + 1) & ~1;
    blocks_.resize(static_cast<size_t>(64) * kMaxGroup * blocks);
    strip_size_ = static_cast<size_t>(stride_) * (from_samples_ ? 1 : lanes_ * horizontal_.frequencies);
    ring_ = vertical_.max_count + (group_rows_ + lead_) * strips_in_row_;
    // Padding columns are computed and dropped; zeros keep them from being slow subnormals.
    const size_t size = strip_size_ * ring_ + kColumns;
    if (strips_.size() < size) strips_.resize(size);
}

uint64_t PlaneResampler::frequencies() const {
    uint64_t frequencies = 0;
    for (int u = 0; u < 8; ++u)
        if (vertical_.source_frequencies >> u & 1)
            frequencies |= static_cast<uint64_t>(horizontal_.source_frequencies) << 8 * u;
    return frequencies;
}

bool PlaneResampler::add(int block_row, const int16_t* blocks, int oldest) {
    if (filled_ + 1 < group_rows_ && block_row + 1 < range_.row_end) {
        const int count = range_.column_end - range_.column_begin;
        blocks = std::copy_n(blocks, 64 * count, kept_row()) - 64 * count;
    }
    std::fill(rows_ + filled_, rows_ + kernels_.group, blocks);
    return added(block_row, oldest);
}

bool PlaneResampler::add(int block_row, const int16_t* const* lines, int oldest) {
    if (from_samples_) {
        kernels_.gather(lines, range_.column_begin, range_.column_end - range_.column_begin, kept_row());
        std::fill(rows_ + filled_, rows_ + kernels_.group, kept_row());
        return added(block_row, oldest);
    }
    rows_[0] = nullptr;
    // The first group may never be full: its other lanes are of the same row.
    const int end = block_row == range_.row_begin ? group_rows_ : filled_ + 1;
    for (int row = filled_; row < end; ++row)
        for (int u = 0; u < lanes_; ++u)
            for (int v = 0; v < count_v_; ++v)
                lines_[8 * kernels_.group * v + lanes_ * row + u] = lines[8 * u + v];
    return added(block_row, oldest);
}

bool PlaneResampler::added(int block_row, int oldest) {
    if (filled_++ == 0) group_row_ = block_row;
    if (filled_ < group_rows_ && block_row + 1 < range_.row_end) return false;
    flush(oldest);
    return true;
}

bool PlaneResampler::add_missing(int oldest) {
    if (filled_) {
        flush(oldest);
        return true;
    }
    if (done_ >= end_strip()) return false;
    group_row_ = done_ / strips_in_row_;
    reserve_strips(oldest);
    for (int i = 0; i < strips_in_row_; ++i) std::fill_n(strip(done_++), strip_size_, 0.0f);
    return true;
}

void PlaneResampler::flush(int oldest) {
    const Operator& op = horizontal_;
    reserve_strips(oldest);
    float* lanes[16];
    for (int i = 0; i < kernels_.group * 8; ++i)
        lanes[i] = from_samples_ ? strip(8 * group_row_ + i)
                                 : strip(group_row_ + i / lanes_) +
                                       static_cast<size_t>(i % lanes_) * op.frequencies * stride_;
    const int blocks = range_.column_end - range_.column_begin;
    if (op.identity) {
        kernels_.samples(rows_, blocks, quant_.data(), lanes);
    } else if (from_samples_) {
        kernels_.inverse(rows_, blocks, quant_.data(), group_.data());
        kernels_.resample(group_.data(), op.weights.data(), op.first.data(), op.max_count, 8 * op.begin,
                          op.outputs, lanes, scratch_.data());
    } else {
        if (rows_[0])
            kernels_.dequantise(rows_, blocks, quant_.data(), group_.data());
        else
            kernels_.spread(lines_, range_.column_begin, blocks, count_v_, lane_quant_.data(), group_.data());
        kernels_.horizontal(group_.data(), count_v_, op.weights.data(), op.first.data(), op.count.data(),
                            op.offset.data(), op.begin, op.outputs, op.frequencies, stride_, lanes,
                            scratch_.data());
    }
    done_ = (group_row_ + filled_) * strips_in_row_;
    filled_ = 0;
}

// Makes room for the next group. Outputs that need several components wait for the last of them, and the
// strips of the others must stay.
void PlaneResampler::reserve_strips(int oldest) {
    const int begin = group_row_ * strips_in_row_;
    const int needed = begin + group_rows_ * strips_in_row_ - std::min(oldest, begin);
    if (needed <= ring_) return;
    const int more = (needed - ring_) / strips_in_row_ + group_rows_;
    const int larger = ring_ + more * strips_in_row_;
    moved_.assign(strip_size_ * larger + kColumns, 0.0f);
    for (int i = oldest; i < done_; ++i)
        std::copy_n(strip(i), strip_size_, moved_.data() + strip_size_ * (i % larger));
    strips_.swap(moved_);
    ring_ = larger;
    lead_ += more;
}

void PlaneResampler::product(int output, int horizontal, const int* picks, int count, float* const* to) {
    const int first = vertical_.first[output], rows = vertical_.count[output];
    inputs_.clear();
    for (int i = 0; i < rows; ++i)
        inputs_.push_back(strip(first + i) + static_cast<size_t>(horizontal) * stride_);
    if (from_samples_)
        kernels_.blend(inputs_.data(), rows, vertical_.output(output), stride_, to[0]);
    else
        kernels_.vertical(inputs_.data(), rows, strip_size_ / lanes_, sources_, vertical_.output(output),
                          vertical_.frequencies, picks, count, stride_, to);
}

const float* PlaneResampler::pixels(int output, float* to) {
    const bool as_is = from_samples_ && vertical_.count[output] == 1 && *vertical_.output(output) == 1;
    if (as_is) return strip(vertical_.first[output]);
    constexpr int kPick = 0;
    product(output, 0, &kPick, 1, &to);
    return to;
}

}  // namespace freqvision
