#include "jpeg/reader.h"

#include <algorithm>
#include <stdexcept>

namespace freqvision {

namespace {

void check_range(const BlockRange& range, const Component& component, int index) {
    if (range.row_begin < 0 || range.row_end > component.blocks_high || range.column_begin < 0 ||
        range.column_end > component.blocks_wide) {
        throw std::invalid_argument("the blocks asked for lie outside component " + std::to_string(index) +
                                    ", which has " + std::to_string(component.blocks_high) + " x " +
                                    std::to_string(component.blocks_wide) + " blocks");
    }
}

// A component's rows of blocks that belong to one row of MCUs.
int rows_in_mcu(const ImageInfo& info, int component) {
    return info.component_count == 1 ? 1 : info.components[component].v;
}

}  // namespace

void JpegReader::start_decode(bool strict) {
    problems_.clear(strict);
    for (const std::string& oddity : oddities_) problems_.note(oddity);
    if (strict) check();
    if (damage_) problems_.report(*damage_);
    tables_.restart_interval = 0;
    for (int i = 0; i < 4; ++i) tables_.dc[i].defined = tables_.ac[i].defined = false;
}

int16_t* JpegReader::reserve(std::size_t coefficients) {
    if (coefficients > capacity_) {
        blocks_.reset();
        capacity_ = 0;
        blocks_.reset(new int16_t[coefficients]);
        capacity_ = coefficients;
    }
    return blocks_.get();
}

void JpegReader::trim(std::size_t bytes) {
    decoder_.trim(bytes);
    if (capacity_ * sizeof(int16_t) <= bytes) return;
    blocks_.reset();
    capacity_ = 0;
}

void JpegReader::decode(const RowRequest& request, RowSink& sink, bool strict) {
    Target targets[kMaxComponents];
    std::size_t sizes[kMaxComponents] = {}, total = 0;
    for (int i = 0; i < info_.component_count; ++i) {
        const Component& component = info_.components[i];
        const BlockRange& range = request.ranges[i];
        if (range.empty()) continue;
        check_range(range, component, i);
        Target& target = targets[i];
        target.is_plane = !single_;
        target.range = single_ ? range : BlockRange{0, component.blocks_high, 0, component.blocks_wide};
        sizes[i] = target.stride() * std::size_t(single_ ? rows_in_mcu(info_, i) : component.blocks_high);
        total += sizes[i];
    }
    start_decode(strict);
    int16_t* free = reserve(total);
    for (int i = 0; i < info_.component_count; ++i) {
        if (sizes[i]) targets[i].data = free;
        free += sizes[i];
    }
    if (single_) {
        decode_single(targets, request.order, &sink);
        return;
    }
    std::fill_n(blocks_.get(), total, int16_t{0});
    decode_multiple(request, targets);
    const int mcu_height = 8 * info_.max_v;
    for (int mcu_row = 0; mcu_row < (info_.height + mcu_height - 1) / mcu_height; ++mcu_row) {
        for (int i = 0; i < info_.component_count; ++i) {
            const BlockRange& range = request.ranges[i];
            if (range.empty()) continue;
            const int v = info_.components[i].v;
            const int begin = std::max(mcu_row * v, range.row_begin),
                      end = std::min((mcu_row + 1) * v, range.row_end);
            for (int row = begin; row < end; ++row) {
                sink.row(i, row, targets[i].row(row, 0) + std::ptrdiff_t{64} * range.column_begin);
            }
        }
    }
}

void JpegReader::decode_planes(int16_t* const planes[kMaxComponents], bool strict) {
    RowRequest request;
    Target targets[kMaxComponents];
    for (int i = 0; i < info_.component_count; ++i) {
        if (!planes[i]) continue;
        const Component& component = info_.components[i];
        request.ranges[i] = {0, component.blocks_high, 0, component.blocks_wide};
        targets[i] = {planes[i], request.ranges[i], true};
    }
    start_decode(strict);
    if (single_) {
        decode_single(targets, request.order, nullptr);
        return;
    }
    for (int i = 0; i < info_.component_count; ++i) {
        if (planes[i])
            std::fill_n(planes[i], targets[i].stride() * info_.components[i].blocks_high, int16_t{0});
    }
    decode_multiple(request, targets);
}

void JpegReader::apply(const Step& step) {
    if (step.segment.marker == marker::kDht) read_huffman_tables(file_, step.segment, tables_);
    if (step.segment.marker == marker::kDri)
        tables_.restart_interval = read_restart_interval(file_, step.segment);
}

void JpegReader::prepare_tables(const Step& step) {
    const ScanHeader& scan = step.scan;
    const auto prepare = [&](HuffmanTable& table, bool is_dc, int slot) {
        const std::string name = std::string(is_dc ? "DC" : "AC") + " Huffman table " + std::to_string(slot);
        // Frames of Motion JPEG leave out the standard's tables, and libjpeg-turbo puts them in.
        if (!table.defined && !info_.progressive && slot < 2) define_standard(table, is_dc, slot);
        if (!table.defined) {
            throw JpegError(ErrorKind::missing_table, step.segment.offset,
                            "missing table: a scan uses " + name + ", which the file does not define");
        }
        const bool legal = info_.progressive ? table.prepare_plain(is_dc)
                           : is_dc           ? table.prepare_dc()
                                             : table.prepare_ac();
        if (!legal) {
            throw JpegError(ErrorKind::corrupt, step.segment.offset,
                            "corrupt JPEG: a scan uses " + name + ", which is no legal Huffman code");
        }
    };
    for (int i = 0; i < scan.count; ++i) {
        const Component& component = info_.components[scan.components[i]];
        if (!component.has_quant) {
            throw JpegError(ErrorKind::missing_table, step.segment.offset,
                            "missing table: a scan uses quantisation table " +
                                std::to_string(component.quant_slot) + ", which the file does not define");
        }
        if (scan.band_begin == 0 && scan.high == 0)
            prepare(tables_.dc[scan.dc_slots[i]], true, scan.dc_slots[i]);
        if (scan.band_end > 0) prepare(tables_.ac[scan.ac_slots[i]], false, scan.ac_slots[i]);
    }
}

std::size_t JpegReader::decode_scan(const Step& step, const Target* targets, BlockOrder order,
                                    RowSink* sink) {
    prepare_tables(step);
    return decoder_.decode({file_, step.segment.end(), info_, step.scan, tables_, targets, order, sink},
                           problems_);
}

void JpegReader::decode_single(const Target* targets, BlockOrder order, RowSink* sink) {
    for (std::size_t i = 0; i + 1 < steps_.size(); ++i) apply(steps_[i]);
    finish(decode_scan(steps_.back(), targets, order, sink));
}

// What follows the only scan of a file, or the part of it that was read. (A strict decode has looked for the
// end.)
void JpegReader::finish(std::size_t position) {
    if (!problems_.strict() && !has_end_of_image(file_, position)) {
        problems_.note("the file does not have an end-of-image marker");
    }
}

void JpegReader::decode_multiple(const RowRequest& request, const Target* targets) {
    plan_scans(info_, request, steps_, problems_);
    for (const Step& step : steps_) {
        try {
            apply(step);
            if (step.needed) decode_scan(step, targets, request.order, nullptr);
        } catch (const JpegError& error) {
            problems_.report(error);  // rethrows if strict
        }
    }
}

}  // namespace freqvision
