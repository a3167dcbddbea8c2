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
int rows_in_mcu(const ImageInfo& info, const ScanHeader& scan, int component) {
    return scan.count == 1 ? 1 : info.components[component].v;
}

}  // namespace

void JpegReader::start_decode(bool strict) {
    problems_.clear(strict);
    for (const std::string& oddity : oddities_) problems_.note(oddity);
    check(strict);
    if (damage_) problems_.report(*damage_);
}

int16_t* JpegReader::reserve(std::size_t coefficients) {
    if (coefficients > capacity_) {
        blocks_.reset();
        capacity_ = 0;
        blocks_.reset(new (kCacheLine) int16_t[coefficients]);
        capacity_ = coefficients;
    }
    return blocks_.get();
}

void JpegReader::trim(std::size_t bytes) {
    decoder_.trim(bytes);
    if (nonzero_.capacity() * sizeof(uint64_t) > bytes) std::vector<uint64_t>().swap(nonzero_);
    if (capacity_ * sizeof(int16_t) <= bytes) return;
    blocks_.reset();
    capacity_ = 0;
}

void JpegReader::decode(const RowRequest& wanted, RowSink& sink, bool strict) {
    RowRequest request = wanted;
    request.whole |= !ended_;  // may be cut anywhere
    Target targets[kMaxComponents];
    std::size_t sizes[kMaxComponents] = {}, total = 0;
    for (int i = 0; i < info_.component_count; ++i) {
        const Component& component = info_.components[i];
        const BlockRange& range = request.ranges[i];
        // A progressive file cannot be parsed without the coefficients that earlier scans have sent.
        const bool is_parsed = request.whole && info_.progressive;
        if (range.empty() && !is_parsed) continue;
        if (!range.empty()) check_range(range, component, i);
        Target& target = targets[i];
        target.is_plane = !single_;
        target.range = single_ ? range : BlockRange{0, component.blocks_high, 0, component.blocks_wide};
        sizes[i] = target.stride() *
                   std::size_t(single_ ? rows_in_mcu(info_, scans_[0].header, i) : component.blocks_high);
        total += sizes[i];
    }
    start_decode(strict);
    int16_t* free = reserve(total);
    for (int i = 0; i < info_.component_count; ++i) {
        if (sizes[i]) targets[i].data = free;
        free += sizes[i];
    }
    if (single_) {
        decode_scan(scans_[0], targets, request, &sink);
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
    request.whole = true;
    Target targets[kMaxComponents];
    for (int i = 0; i < info_.component_count; ++i) {
        const Component& component = info_.components[i];
        request.ranges[i] = {0, component.blocks_high, 0, component.blocks_wide};
        targets[i] = {planes[i], request.ranges[i], true};
    }
    start_decode(strict);
    if (single_) {
        decode_scan(scans_[0], targets, request, nullptr);
        return;
    }
    for (int i = 0; i < info_.component_count; ++i)
        std::fill_n(planes[i], targets[i].stride() * info_.components[i].blocks_high, int16_t{0});
    decode_multiple(request, targets);
}

namespace {

class NoSink : public RowSink {
    void row(int, int, const int16_t*) override {}
};

}  // namespace

void JpegReader::judge() {
    RowRequest request;
    request.whole = true;
    NoSink sink;
    decode(request, sink, /*strict=*/true);
}

void JpegReader::prepare_tables(const Scan& scan) {
    const auto prepare = [&](HuffmanTable& table, std::size_t place, bool is_dc, int slot) {
        const auto name = [&] {
            return std::string(is_dc ? "DC" : "AC") + " Huffman table " + std::to_string(slot);
        };
        if (place) {
            define_huffman_table(file_, place, table);
        } else if (!info_.progressive && slot < 2) {
            // Frames of Motion JPEG leave out the standard's tables, and libjpeg-turbo puts them in.
            define_standard(table, is_dc, slot);
        } else {
            throw JpegError(ErrorKind::missing_table, scan.segment.offset,
                            "missing table: a scan uses " + name() + ", which the file does not define");
        }
        const bool legal = info_.progressive ? table.prepare_plain(is_dc)
                           : is_dc           ? table.prepare_dc()
                                             : table.prepare_ac();
        if (!legal) {
            throw JpegError(ErrorKind::corrupt, scan.segment.offset,
                            "corrupt JPEG: a scan uses " + name() + ", which is no legal Huffman code");
        }
    };
    const ScanHeader& header = scan.header;
    for (int i = 0; i < header.count; ++i) {
        const Component& component = info_.components[header.components[i]];
        if (!component.has_quant) {
            throw JpegError(ErrorKind::missing_table, scan.segment.offset,
                            "missing table: a scan uses quantisation table " +
                                std::to_string(component.quant_slot) + ", which the file does not define");
        }
        const int dc = header.dc_slots[i], ac = header.ac_slots[i];
        if (header.band_begin == 0 && header.high == 0) prepare(tables_.dc[dc], scan.tables.dc[dc], true, dc);
        if (header.band_end > 0) prepare(tables_.ac[ac], scan.tables.ac[ac], false, ac);
    }
}

void JpegReader::decode_scan(const Scan& scan, const Target* targets, const RowRequest& request,
                             RowSink* sink) {
    prepare_tables(scan);
    decoder_.decode({file_, scan.segment.end(), info_, scan.header, tables_, scan.restart_interval, targets,
                     request.order, sink, request.whole},
                    problems_);
}

void JpegReader::decode_multiple(const RowRequest& request, Target* targets) {
    plan_scans(info_, request, scans_, problems_);
    if (info_.progressive) {
        // Refinements pass over what is zero without a look at it, of which a few bytes may claim much.
        std::size_t blocks = 0;
        for (int i = 0; i < info_.component_count; ++i)
            if (targets[i].data) blocks += targets[i].stride() / 64 * info_.components[i].blocks_high;
        nonzero_.assign(blocks, 0);
        uint64_t* free = nonzero_.data();
        for (int i = 0; i < info_.component_count; ++i) {
            targets[i].nonzero = free;
            if (targets[i].data) free += targets[i].stride() / 64 * info_.components[i].blocks_high;
        }
    }
    for (const Scan& scan : scans_) {
        if (!scan.needed) continue;
        try {
            if (scan.repeats && !info_.progressive) {
                decode_over(scan, targets, request);
            } else {
                decode_scan(scan, targets, request, nullptr);
            }
        } catch (const JpegError& error) {
            problems_.report(error);  // rethrows if strict
        }
    }
}

namespace {

// Puts rows over what is there: a block's DC coefficient, and others that are not zero.
class Overlay : public RowSink {
  public:
    explicit Overlay(const Target* targets) : targets_(targets) {}

    void row(int component, int block_row, const int16_t* blocks) override {
        const Target& target = targets_[component];
        int16_t* to = target.row(block_row, 0);
        for (std::ptrdiff_t k = 0; k < target.stride(); ++k)
            if (blocks[k] || k % 64 == 0) to[k] = blocks[k];
    }

  private:
    const Target* targets_;
};

}  // namespace

// A sequential scan of blocks that an earlier one has sent. libjpeg decodes it over them.
void JpegReader::decode_over(const Scan& scan, const Target* targets, const RowRequest& request) {
    Target rows[kMaxComponents];
    std::vector<int16_t> memory[kMaxComponents];
    for (int i = 0; i < info_.component_count; ++i) {
        if (!targets[i].data) continue;
        memory[i].resize(targets[i].stride() * rows_in_mcu(info_, scan.header, i));
        rows[i] = {memory[i].data(), targets[i].range, false};
    }
    Overlay overlay(targets);
    decode_scan(scan, rows, request, &overlay);
}

}  // namespace freqvision
