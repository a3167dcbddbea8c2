#include "pipeline/resampler.h"

#include <algorithm>

namespace freqvision {
namespace {

int index_of(const std::vector<int>& values, int value) {
    return static_cast<int>(std::find(values.begin(), values.end(), value) - values.begin());
}

int ceil_to(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

Resampler::Resampler(const OutputSpec& spec) : spec_(spec), kernels_(resample_kernels()) {
    for (int component = 0; component < 3; ++component) {
        Wanted& wanted = wanted_[component];
        for (int channel : spec.channels) {
            if (channel / 64 != component) continue;
            wanted.vertical.push_back(channel % 64 / 8);
            wanted.horizontal.push_back(channel % 8);
        }
        for (std::vector<int>* list : {&wanted.vertical, &wanted.horizontal}) {
            std::sort(list->begin(), list->end());
            list->erase(std::unique(list->begin(), list->end()), list->end());
        }
        for (int v : wanted.horizontal) {
            Column column{index_of(wanted.horizontal, v), {}, {}};
            for (size_t i = 0; i < spec.channels.size(); ++i) {
                const int channel = spec.channels[i];
                if (channel / 64 != component || channel % 8 != v) continue;
                column.picks.push_back(index_of(wanted.vertical, channel % 64 / 8));
                column.channels.push_back(static_cast<int>(i));
            }
            wanted.columns.push_back(std::move(column));
        }
    }
    request_.order = BlockOrder::transposed;
    scratch_.resize(8 * 8 * 8 * kernels_.group);
}

void Resampler::prepare(const Plane* planes, int count, const View& view, void* to) {
    to_ = static_cast<uint8_t*>(to);
    height_ = view.crop_height / 8;
    width_ = view.crop_width / 8;
    stride_ = ceil_to(width_, kColumns);
    outputs_.resize(static_cast<size_t>(8) * stride_);
    int horizontal_max = 1, vertical_max = 1;
    for (int i = 0; i < count; ++i) {
        horizontal_max = std::max(horizontal_max, planes[i].horizontal);
        vertical_max = std::max(vertical_max, planes[i].vertical);
    }
    for (int i = 0; i < kMaxComponents; ++i) request_.ranges[i] = {};
    for (int component = 0; component < 3; ++component) {
        const Wanted& wanted = wanted_[component];
        State& state = states_[component];
        state.emitted = 0;
        if (wanted.columns.empty()) {
            state.emitted = height_;
            continue;
        }
        if (component >= count) {  // a gray photo's chroma
            zero(component);
            continue;
        }
        const Plane& plane = planes[component];
        const Axis vertical{plane.height, plane.vertical, vertical_max,     view.box_top, view.box_height,
                            view.height,  view.crop_top,  view.crop_height, false,        spec_.filter};
        const Axis horizontal{plane.width, plane.horizontal, horizontal_max,  view.box_left,  view.box_width,
                              view.width,  view.crop_left,   view.crop_width, view.flip != 0, spec_.filter};
        // Photos of a data set often share their geometry, and Cb and Cr always do.
        const State* twin = component == 2 && !wanted_[1].columns.empty() ? &states_[1] : nullptr;
        auto build = [&](const Axis& axis, const std::vector<int>& frequencies, Axis& built,
                         Operator State::* which, bool same_frequencies) {
            if (axis == built) return;
            built = {};  // what an exception leaves half-built belongs to no axis
            if (twin && same_frequencies && twin->axes[which == &State::horizontal] == axis)
                state.*which = twin->*which;
            else
                (state.*which).build(axis, frequencies);
            built = axis;
        };
        build(vertical, wanted.vertical, state.axes[0], &State::vertical,
              wanted.vertical == wanted_[1].vertical);
        build(horizontal, wanted.horizontal, state.axes[1], &State::horizontal,
              wanted.horizontal == wanted_[1].horizontal);

        BlockRange& range = request_.ranges[component];
        range = {state.vertical.begin, state.vertical.end, state.horizontal.begin, state.horizontal.end};
        if (range.empty()) {  // the crop lies outside the resized box
            zero(component);
            continue;
        }
        uint64_t frequencies = 0;
        for (int u = 0; u < 8; ++u)
            if (state.vertical.source_frequencies >> u & 1)
                frequencies |= static_cast<uint64_t>(state.horizontal.source_frequencies) << 8 * u;
        request_.frequencies[component] = frequencies;

        for (int u = 0; u < 8; ++u)
            for (int v = 0; v < 8; ++v) state.quant[8 * v + u] = plane.quant[8 * u + v];
        const int blocks = range.column_end - range.column_begin;
        state.group.resize(static_cast<size_t>(64) * kernels_.group * std::max(blocks, 1));
        state.limits.assign(std::max(blocks, 1), 0);
        state.strip_size = static_cast<size_t>(8) * stride_ * state.horizontal.frequencies;
        state.ring = state.vertical.max_count + kernels_.group;
        // Padding columns are computed and dropped; zeros keep them from being slow subnormals.
        if (state.strips.size() < state.strip_size * state.ring)
            state.strips.resize(state.strip_size * state.ring);
        state.filled = 0;
        state.done = range.row_begin;
    }
}

void Resampler::row(int component, int block_row, const int16_t* blocks) {
    State& state = states_[component];
    const BlockRange& range = request_.ranges[component];
    const int count = range.column_end - range.column_begin;
    if (state.filled == 0) {
        state.group_row = block_row;
        std::fill(state.limits.begin(), state.limits.end(), uint8_t{0});
    }
    kernels_.dequantise(blocks, count, state.quant.data(), state.group.data(), state.filled,
                        state.limits.data());
    ++state.filled;
    if (state.filled == kernels_.group || block_row + 1 == range.row_end) flush(component);
}

void Resampler::flush(int component) {
    State& state = states_[component];
    if (state.filled == 0) return;
    const Operator& op = state.horizontal;
    float* strips[2];
    for (int i = 0; i < kernels_.group; ++i) strips[i] = strip(state, state.group_row + i);
    kernels_.horizontal(state.group.data(), state.limits.data(), op.weights.data(), op.first.data(),
                        op.count.data(), op.offset.data(), op.begin, op.blocks, op.frequencies, stride_,
                        strips, scratch_.data());
    state.done = state.group_row + state.filled;
    state.filled = 0;
    emit(component, state.done);
}

void Resampler::emit(int component, int limit) {
    State& state = states_[component];
    const Operator& op = state.vertical;
    const size_t row_bytes = width_ * size_of(spec_.type);
    const size_t plane_bytes = row_bytes * height_;
    for (; state.emitted < height_; ++state.emitted) {
        const int r = state.emitted, first = op.first[r], count = op.count[r];
        if (count > 0 && first + count > limit) return;
        for (const Column& column : wanted_[component].columns) {
            inputs_.clear();
            for (int i = 0; i < count; ++i)
                inputs_.push_back(strip(state, first + i) + static_cast<size_t>(column.index) * stride_);
            const int outputs = static_cast<int>(column.picks.size());
            float* to[8];
            for (int k = 0; k < outputs; ++k) to[k] = outputs_.data() + static_cast<size_t>(k) * stride_;
            kernels_.vertical(inputs_.data(), count, state.strip_size / 8, op.block(r), op.frequencies,
                              column.picks.data(), outputs, stride_, to);
            for (int k = 0; k < outputs; ++k) {
                const int channel = column.channels[k];
                kernels_.store(to[k], width_, spec_.gain[channel], spec_.bias[channel], spec_.type,
                               to_ + channel * plane_bytes + r * row_bytes);
            }
        }
    }
}

void Resampler::finish() {
    for (int component = 0; component < 3; ++component) {
        State& state = states_[component];
        if (state.emitted == height_) continue;
        flush(component);
        // A damaged file, read leniently: missing rows are gray.
        const BlockRange& range = request_.ranges[component];
        while (state.done < range.row_end) {
            std::fill_n(strip(state, state.done), state.strip_size, 0.0f);
            emit(component, ++state.done);
        }
        emit(component, range.row_end);
    }
}

void Resampler::zero(int component) {
    const size_t row_bytes = width_ * size_of(spec_.type);
    std::fill(outputs_.begin(), outputs_.end(), 0.0f);
    for (const Column& column : wanted_[component].columns)
        for (int channel : column.channels)
            for (int r = 0; r < height_; ++r)
                kernels_.store(outputs_.data(), width_, spec_.gain[channel], spec_.bias[channel], spec_.type,
                               to_ + (static_cast<size_t>(channel) * height_ + r) * row_bytes);
    states_[component].emitted = height_;
}

}  // namespace freqvision
