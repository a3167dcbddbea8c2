#include "pipeline/resampler.h"

#include <algorithm>

namespace freqvision {
namespace {

int index_of(const std::vector<int>& values, int value) {
    return static_cast<int>(std::find(values.begin(), values.end(), value) - values.begin());
}

// libjpeg's choice (jdsample.c), for the vertical and the horizontal axis of a component. It refuses ratios
// that are no whole number; those take no detour here.
std::array<Upsampling, 2> upsampling_of(const ImageInfo& info, const Component& component) {
    if (info.max_h % component.h || info.max_v % component.v) return {Upsampling::none, Upsampling::none};
    const int wide = info.max_h / component.h, high = info.max_v / component.v;
    const bool smooth = (wide == 2 && high <= 2 && component.width > 2) || (wide == 1 && high == 2);
    const Upsampling kind = smooth ? Upsampling::triangle : Upsampling::replicate;
    return {high > 1 ? kind : Upsampling::none, wide > 1 ? kind : Upsampling::none};
}

// Lines of the output as it is computed that are collected where it is transposed: a cache line for each
// place of the output is then written once, not as often as it has elements.
constexpr int kLines = 8;

}  // namespace

Resampler::Wanted::Wanted(const OutputSpec& spec, int component, bool transposed) {
    if (spec.pixels()) {
        columns.push_back({0, {0}, {}});
        return;
    }
    const auto along = [&](int channel, bool horizontal) {
        return horizontal != transposed ? channel % 8 : channel % 64 / 8;
    };
    for (int channel : spec.channels) {
        if (channel / 64 != component) continue;
        vertical.push_back(along(channel, false));
        horizontal.push_back(along(channel, true));
    }
    for (std::vector<int>* list : {&vertical, &horizontal}) {
        std::sort(list->begin(), list->end());
        list->erase(std::unique(list->begin(), list->end()), list->end());
    }
    for (int frequency : horizontal) {
        Column column{index_of(horizontal, frequency), {}, {}};
        for (size_t i = 0; i < spec.channels.size(); ++i) {
            const int channel = spec.channels[i];
            if (channel / 64 != component || along(channel, true) != frequency) continue;
            column.picks.push_back(index_of(vertical, along(channel, false)));
            column.channels.push_back(static_cast<int>(i));
        }
        columns.push_back(std::move(column));
    }
}

Resampler::Resampler(const OutputSpec& spec) : spec_(spec), kernels_(resample_kernels()) {
    for (int component = 0; component < 3; ++component) {
        planes_.emplace_back(kernels_);
        for (bool transposed : {false, true}) wanted_[transposed].emplace_back(spec, component, transposed);
    }
    for (const auto& weights : spec.matrix) has_chroma_ |= weights[1] != 0 || weights[2] != 0;
    request_.order = BlockOrder::transposed;
}

void Resampler::prepare(const ImageInfo& info, int orientation, const View& view, void* to) {
    to_ = static_cast<uint8_t*>(to);
    transposed_ = orientation > 4;
    // Of the stored image, against how it is shown.
    const bool rows_mirrored = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    const bool columns_mirrored =
        orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    Axis vertical, horizontal;  // of the image as it is shown
    vertical.box_start = view.box_top;
    vertical.box_length = view.box_height;
    vertical.resized = view.height;
    vertical.crop_start = view.crop_top;
    vertical.crop_length = view.crop_height;
    horizontal.box_start = view.box_left;
    horizontal.box_length = view.box_width;
    horizontal.resized = view.width;
    horizontal.crop_start = view.crop_left;
    horizontal.crop_length = view.crop_width;
    horizontal.flip = view.flip != 0;
    vertical.filter = horizontal.filter = spec_.filter;
    if (transposed_) std::swap(vertical, horizontal);
    if (rows_mirrored) vertical = vertical.mirrored(info.height);
    if (columns_mirrored) horizontal = horizontal.mirrored(info.width);
    vertical.box_start += info.origin_y;
    horizontal.box_start += info.origin_x;

    reversed_ = vertical.flip;
    const int side = spec_.pixels() ? 1 : 8;
    rows_ = vertical.crop_length / side;
    columns_ = horizontal.crop_length / side;
    begin_ = 0;
    end_ = columns_;
    if (spec_.pixels()) {
        begin_ = std::clamp(-horizontal.crop_start, 0, columns_);
        end_ = std::clamp(horizontal.resized - horizontal.crop_start, begin_, columns_);
        if (horizontal.flip) {
            std::swap(begin_, end_);
            begin_ = columns_ - begin_;
            end_ = columns_ - end_;
        }
    }
    components_ = spec_.pixels() && !has_chroma_ ? 1 : std::min(info.component_count, 3);
    for (int i = 0; i < kMaxComponents; ++i) request_.ranges[i] = {};
    const std::vector<Wanted>& wanted = wanted_[transposed_];
    int stride = 0;
    for (int i = 0; i < components_; ++i) {
        if (wanted[i].columns.empty()) continue;
        const Component& component = info.components[i];
        vertical.component_size = component.height;
        vertical.numerator = component.v;
        vertical.denominator = info.max_v;
        horizontal.component_size = component.width;
        horizontal.numerator = component.h;
        horizontal.denominator = info.max_h;
        if (spec_.pixels()) {
            const auto upsampling = upsampling_of(info, component);
            vertical.upsampling = upsampling[0];
            horizontal.upsampling = upsampling[1];
        }
        float quant[64];
        for (int k = 0; k < 64; ++k) quant[k] = component.step ? component.step[k] : component.quant[k];
        planes_[i].prepare(vertical, horizontal, wanted[i].vertical, wanted[i].horizontal, quant,
                           component.stored, i > 0 ? &planes_[i - 1] : nullptr);
        request_.ranges[i] = planes_[i].range();
        request_.frequencies[i] = planes_[i].frequencies();
        request_.kept[i] = planes_[i].kept();
        stride = planes_[i].stride();
    }
    stride_ = std::max(stride, (columns_ + kColumns - 1) / kColumns * kColumns);
    values_.resize(static_cast<size_t>(8) * stride_ + kColumns);
    line_.resize(spec_.depth() * columns_ * size_of(spec_.type));
    if (transposed_) turned_.resize(kLines * line_.size());
    blank_.assign(columns_, 0);
    std::fill_n(emitted_, 3, 0);
    if (spec_.pixels()) return;
    for (int i = components_; i < 3; ++i)  // a gray photo's chroma
        for (const Column& column : wanted[i].columns)
            for (int channel : column.channels)
                for (int row = 0; row < rows_; ++row) write(blank_.data(), channel, row);
}

void Resampler::row(int component, int block_row, const int16_t* blocks) {
    if (planes_[component].add(block_row, blocks, oldest(component))) emit(component);
}

void Resampler::lines(int component, int block_row, const int16_t* const* lines) {
    if (planes_[component].add(block_row, lines, oldest(component))) emit(component);
}

void Resampler::finish() {
    // A damaged file, read leniently: missing rows are gray.
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < components_; ++i) {
            if (wanted_[transposed_][i].columns.empty()) continue;
            more |= planes_[i].add_missing(oldest(i));
            emit(i);
        }
    }
#ifdef FREQVISION_X86
    __builtin_ia32_sfence();  // mix passes by the cache
#endif
}

// The first strip of a component that an output still needs.
int Resampler::oldest(int component) const {
    const PlaneResampler& plane = planes_[component];
    for (int i = emitted_[spec_.pixels() ? 0 : component]; i < rows_; ++i)
        if (plane.shows(output_row(i))) return plane.first_strip(output_row(i));
    return plane.end_strip();
}

void Resampler::emit(int component) {
    if (spec_.pixels())
        emit_pixels();
    else
        emit_channels(component);
}

void Resampler::emit_channels(int component) {
    PlaneResampler& plane = planes_[component];
    for (int& emitted = emitted_[component]; emitted < rows_; ++emitted) {
        const int row = output_row(emitted);
        if (!plane.ready(row)) return;
        for (const Column& column : wanted_[transposed_][component].columns) {
            const int count = static_cast<int>(column.picks.size());
            float* to[8];
            for (int k = 0; k < count; ++k) to[k] = values_.data() + static_cast<size_t>(k) * stride_;
            plane.product(row, column.index, column.picks.data(), count, to);
            for (int k = 0; k < count; ++k) write(to[k], column.channels[k], row);
        }
    }
}

void Resampler::emit_pixels() {
    const auto place = [&](int i) { return values_.data() + static_cast<size_t>(i) * stride_; };
    for (int& emitted = emitted_[0]; emitted < rows_; ++emitted) {
        const int row = output_row(emitted);
        for (int i = 0; i < components_; ++i)
            if (!planes_[i].ready(row)) return;
        const bool shown = planes_[0].shows(row);
        const float* rows[3] = {};
        if (shown)
            for (int i = 0; i < components_; ++i) rows[i] = planes_[i].pixels(row, place(i));
        write_pixels(rows, row, shown);
    }
}

void Resampler::write_pixels(const float* const* rows, int row, bool shown) {
    const size_t size = size_of(spec_.type), depth = spec_.depth();
    const int begin = shown ? begin_ : columns_, end = shown ? end_ : columns_;
    const size_t pixel = spec_.interleaved ? depth * size : size, line_size = columns_ * pixel;
    // Where a line of a channel, or of pixels, is put together, and where its plane begins.
    const auto line_of = [&](size_t k) {
        return transposed_ ? turned_.data() + (k * kLines + row % kLines) * line_size
                           : to_ + (k * rows_ + row) * line_size;
    };
    void* lines[3];
    for (size_t k = 0; k < depth; ++k) {
        uint8_t* const line = spec_.interleaved ? line_.data() + k * columns_ * size : line_of(k);
        const auto fill = [&](int from, int to) {
            kernels_.store(blank_.data(), to - from, 0, spec_.fill[k], spec_.type, line + from * size);
        };
        if (begin > 0) fill(0, begin);
        if (end < columns_) fill(end, columns_);
        lines[k] = line + begin * size;
    }
    if (begin < end) {
        const float* shown_rows[3] = {};
        for (int i = 0; i < components_; ++i) shown_rows[i] = rows[i] + begin;
        kernels_.mix(shown_rows, components_, reinterpret_cast<const float (*)[3]>(spec_.matrix.data()),
                     static_cast<int>(depth), end - begin, spec_.gain.data(), spec_.bias.data(), spec_.type,
                     lines);
    }
    if (spec_.interleaved)
        kernels_.interleave(line_.data(), static_cast<int>(depth), columns_, size, line_of(0));
    const bool last = reversed_ ? row % kLines == 0 : row % kLines == kLines - 1 || row == rows_ - 1;
    if (!transposed_ || !last) return;
    const int first = row - row % kLines, count = std::min(kLines, rows_ - first);
    for (size_t k = 0; k < (spec_.interleaved ? 1 : depth); ++k)
        kernels_.turn(turned_.data() + k * kLines * line_size, count, line_size, columns_, pixel,
                      to_ + (k * columns_ * rows_ + first) * pixel, rows_ * pixel);
}

void Resampler::write(const float* values, size_t channel, int row) {
    const size_t size = size_of(spec_.type), plane = static_cast<size_t>(rows_) * columns_ * size;
    uint8_t* const to = to_ + channel * plane;
    uint8_t* const line = transposed_ ? line_.data() : to + static_cast<size_t>(row) * columns_ * size;
    kernels_.store(values, columns_, spec_.gain[channel], spec_.bias[channel], spec_.type, line);
    // The next row of this channel is far from what is written until then.
    for (size_t byte = 0; byte < columns_ * size; byte += 64)
        __builtin_prefetch(line + columns_ * size + byte);
    if (transposed_) kernels_.turn(line, 1, 0, columns_, size, to + row * size, rows_ * size);
}

}  // namespace freqvision
