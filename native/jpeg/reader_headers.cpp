// JpegReader: everything that is known without entropy decoding.
#include <algorithm>

#include "jpeg/file.h"
#include "jpeg/reader.h"

namespace freqvision {

const ImageInfo& JpegReader::open_header(const uint8_t* data, std::size_t size, const Limits& limits) {
    file_ = {data, size};
    info_ = ImageInfo();
    for (QuantTable& table : quant_) table.defined = false;
    places_ = HuffmanPlaces();
    restart_interval_ = 0;
    scans_.clear();
    oddities_.clear();
    damage_.reset();
    single_ = ended_ = false;
    check_file_size(size, limits);
    if (size < 2 || data[0] != 0xFF || data[1] != marker::kSoi) {
        throw JpegError(ErrorKind::not_jpeg, 0,
                        size == 0 ? "not a JPEG: there are no bytes at all"
                                  : "not a JPEG: the first two bytes are not FF D8");
    }
    read_until_scan(limits);
    return info_;
}

const ImageInfo& JpegReader::open(const uint8_t* data, std::size_t size, const Limits& limits) {
    open_header(data, size, limits);
    try {
        // Without entropy decoding, at the speed of memory.
        read_remaining_scans(limits);
        ended_ = true;
    } catch (const JpegError& error) {
        if (error.kind == ErrorKind::too_large) throw;
        // Complete coefficients need no end marker, and no sense in what follows them.
        if (const std::size_t complete = count_until_complete(info_, scans_)) {
            scans_.resize(complete);
            note(file_.size, "the file does not have an end-of-image marker");
        } else {
            damage_ = error;
        }
    }
    single_ = !info_.progressive && scans_.size() == 1 && scans_[0].header.count == info_.component_count;
    for (int i = 0; i < info_.component_count; ++i) {
        // Nothing is multiplied by the table of a component that no scan carries.
        Component& component = info_.components[i];
        const bool carried = std::any_of(scans_.begin(), scans_.end(), [&](const Scan& scan) {
            const int* components = scan.header.components;
            return std::find(components, components + scan.header.count, i) != components + scan.header.count;
        });
        if (carried || component.has_quant) continue;
        const QuantTable& table = quant_[component.quant_slot];
        std::fill_n(component.quant, 64, uint16_t{1});
        if (table.defined) std::copy_n(table.values, 64, component.quant);
        component.has_quant = true;
    }
    return info_;
}

void JpegReader::note(std::size_t offset, const std::string& oddity) {
    if (oddities_.size() < Problems::kMaxWarnings)
        oddities_.push_back(oddity + " (at byte " + std::to_string(offset) + ")");
}

void JpegReader::add_scan(const Segment& segment) {
    scans_.push_back({segment, read_scan_header(file_, segment, info_), places_, restart_interval_});
    const ScanHeader& scan = scans_.back().header;
    for (int i = 0; i < scan.count; ++i) {
        Component& component = info_.components[scan.components[i]];
        const QuantTable& table = quant_[component.quant_slot];
        if (component.has_quant || !table.defined) continue;
        std::copy_n(table.values, 64, component.quant);
        component.has_quant = true;
    }
}

void JpegReader::read_until_scan(const Limits& limits) {
    AppSegments app;
    bool has_frame = false;
    for (std::size_t position = 2;;) {
        const Segment segment = next_segment(file_, position);
        position = segment.end();
        if (segment.marker == marker::kNone) {
            throw JpegError(ErrorKind::truncated, file_.size,
                            "truncated JPEG: the file ends before its image data");
        }
        if (segment.skipped) {
            note(segment.offset - segment.skipped,
                 std::to_string(segment.skipped) + " bytes belong to no marker");
        }
        switch (segment.marker) {
            case marker::kSoi:
                throw JpegError(ErrorKind::corrupt, segment.offset,
                                "corrupt JPEG: a second start-of-image marker");
            case marker::kEoi:
                throw JpegError(ErrorKind::corrupt, segment.offset,
                                "corrupt JPEG: the file holds no image data");
            case marker::kDqt:
                read_quant_tables(file_, segment, quant_);
                break;
            case marker::kDht:
                read_huffman_tables(file_, segment, places_);
                break;
            case marker::kDri:
                info_.restart_interval = restart_interval_ = read_restart_interval(file_, segment);
                break;
            case marker::kApp0:
            case marker::kApp1:
            case marker::kApp14:
                app.read(file_, segment);
                break;
            case marker::kDac:
            case 0xC8:
            case marker::kCom:
            case marker::kDnl:
            case marker::kTem:
                break;
            case 0xDE:
                throw JpegError(ErrorKind::hierarchical, segment.offset,
                                "hierarchical JPEG (DHP); freqvision does not read this kind");
            case marker::kSos:
                if (!has_frame) {
                    throw JpegError(ErrorKind::corrupt, segment.offset,
                                    "corrupt JPEG: image data without a frame header");
                }
                add_scan(segment);
                info_.colour_model = app.colour_model(info_);
                info_.orientation = app.orientation();
                return;
            default:
                if (segment.marker >= marker::kSof0 && segment.marker <= marker::kSof15) {
                    if (has_frame)
                        throw JpegError(ErrorKind::corrupt, segment.offset,
                                        "corrupt JPEG: a second frame header");
                    read_frame_header(file_, segment, limits, info_);
                    has_frame = true;
                } else if (segment.marker == 0xF7) {
                    throw JpegError(ErrorKind::unsupported, segment.offset,
                                    "JPEG-LS file; freqvision reads 8-bit baseline, extended and progressive "
                                    "Huffman JPEG");
                } else if (segment.marker < marker::kSof0) {
                    throw JpegError(ErrorKind::corrupt, segment.offset, "corrupt JPEG: a reserved marker");
                }
        }
    }
}

void JpegReader::read_remaining_scans(const Limits& limits) {
    const uint8_t* const end = file_.data + file_.size;
    const auto end_of_scan = [&](std::size_t position) {
        return static_cast<std::size_t>(jpeg_kernels().find_marker(file_.data + position, end) - file_.data);
    };
    for (std::size_t position = end_of_scan(scans_.back().segment.end());;) {
        const Segment segment = next_segment(file_, position);
        position = segment.end();
        switch (segment.marker) {
            case marker::kNone:
                throw JpegError(ErrorKind::truncated, file_.size,
                                "truncated JPEG: the file ends before its last scan");
            case marker::kEoi:
                return;
            case marker::kDqt:
                read_quant_tables(file_, segment, quant_);
                break;
            case marker::kDht:
                read_huffman_tables(file_, segment, places_);
                break;
            case marker::kDri:
                restart_interval_ = read_restart_interval(file_, segment);
                break;
            case marker::kSos:
                if (scans_.size() >= static_cast<std::size_t>(limits.max_scans)) {
                    throw JpegError(
                        ErrorKind::too_large, segment.offset,
                        "the file has more than the limit of " + std::to_string(limits.max_scans) + " scans");
                }
                add_scan(segment);
                position = end_of_scan(position);
                break;
            case marker::kSoi:
                throw JpegError(ErrorKind::corrupt, segment.offset,
                                "corrupt JPEG: a second start-of-image marker");
            default:
                if (segment.marker >= marker::kSof0 && segment.marker <= marker::kSof15 &&
                    segment.marker != 0xC8 && segment.marker != marker::kDac) {
                    throw JpegError(ErrorKind::corrupt, segment.offset,
                                    "corrupt JPEG: a second frame header");
                }
        }
    }
}

void JpegReader::check(bool strict) const {
    if (strict && damage_) throw *damage_;
    // A block takes two codes of at least one bit each; of a progressive file, one in the scan of DC
    // coefficients.
    bool carries_dc[kMaxComponents] = {};
    for (const Scan& scan : scans_) {
        for (int i = 0; i < scan.header.count; ++i)
            carries_dc[scan.header.components[i]] |= scan.header.band_begin == 0;
    }
    uint64_t bits = 0, blocks = 0;
    for (int i = 0; i < info_.component_count; ++i) {
        const Component& component = info_.components[i];
        const uint64_t own = uint64_t{static_cast<uint32_t>(component.blocks_wide)} * component.blocks_high;
        if (carries_dc[i]) bits += own * (info_.progressive ? 1 : 2);
        blocks += own;
    }
    // What is missing, or is in no scan, is zeros that take memory. A file that does not have a bit for each
    // block gets as many as 22 megapixels of 4:2:0 take.
    constexpr uint64_t kFreeBlocks = (uint64_t{64} << 20) / 128;
    if ((strict && bits / 8 > file_.size) || (blocks > kFreeBlocks && blocks / 8 > file_.size)) {
        throw JpegError(ErrorKind::truncated, file_.size,
                        "truncated JPEG: " + std::to_string(file_.size) + " bytes cannot hold an image of " +
                            std::to_string(info_.width) + " x " + std::to_string(info_.height) + " pixels");
    }
}

}  // namespace freqvision
