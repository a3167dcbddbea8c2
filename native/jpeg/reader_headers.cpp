// JpegReader: everything that is known without entropy decoding.
#include <algorithm>

#include "jpeg/reader.h"

namespace freqvision {

const ImageInfo& JpegReader::open_header(const uint8_t* data, std::size_t size, const Limits& limits) {
    file_ = {data, size};
    info_ = ImageInfo();
    steps_.clear();
    oddities_.clear();
    damage_.reset();
    single_ = false;
    tables_.restart_interval = 0;
    for (int i = 0; i < 4; ++i)
        tables_.quant[i].defined = tables_.dc[i].defined = tables_.ac[i].defined = false;
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
    const ScanHeader& first = steps_.back().scan;
    single_ = !info_.progressive && first.count == info_.component_count;
    if (!single_) {
        // Without entropy decoding, at the speed of memory.
        try {
            read_remaining_scans(limits);
        } catch (const JpegError& error) {
            if (error.kind == ErrorKind::too_large) throw;
            damage_ = error;
        }
    }
    return info_;
}

namespace {

void latch_quant_tables(const Tables& tables, const ScanHeader& scan, ImageInfo& info) {
    for (int i = 0; i < scan.count; ++i) {
        Component& component = info.components[scan.components[i]];
        const QuantTable& table = tables.quant[component.quant_slot];
        if (component.has_quant || !table.defined) continue;
        std::copy_n(table.values, 64, component.quant);
        component.has_quant = true;
    }
}

std::string at_byte(std::size_t offset) { return " (at byte " + std::to_string(offset) + ")"; }

}  // namespace

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
            oddities_.push_back(std::to_string(segment.skipped) + " bytes belong to no marker" +
                                at_byte(segment.offset - segment.skipped));
        }
        switch (segment.marker) {
            case marker::kSoi:
                throw JpegError(ErrorKind::corrupt, segment.offset,
                                "corrupt JPEG: a second start-of-image marker");
            case marker::kEoi:
                throw JpegError(ErrorKind::corrupt, segment.offset,
                                "corrupt JPEG: the file holds no image data");
            case marker::kDqt:
                read_quant_tables(file_, segment, tables_);
                break;
            case marker::kDht:
                steps_.push_back({segment, {}, false});
                break;
            case marker::kDri:
                info_.restart_interval = read_restart_interval(file_, segment);
                steps_.push_back({segment, {}, false});
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
                steps_.push_back({segment, read_scan_header(file_, segment, info_), true});
                latch_quant_tables(tables_, steps_.back().scan, info_);
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
    int scans = 1;
    for (std::size_t position = end_of_scan(file_, steps_.back().segment.end());;) {
        const Segment segment = next_segment(file_, position);
        position = segment.end();
        switch (segment.marker) {
            case marker::kNone:
                throw JpegError(ErrorKind::truncated, file_.size,
                                "truncated JPEG: the end-of-image marker is missing");
            case marker::kEoi:
                return;
            case marker::kDqt:
                read_quant_tables(file_, segment, tables_);
                break;
            case marker::kDht:
            case marker::kDri:
                steps_.push_back({segment, {}, false});
                break;
            case marker::kSos:
                if (++scans > limits.max_scans) {
                    throw JpegError(
                        ErrorKind::too_large, segment.offset,
                        "the file has more than the limit of " + std::to_string(limits.max_scans) + " scans");
                }
                steps_.push_back({segment, read_scan_header(file_, segment, info_), true});
                latch_quant_tables(tables_, steps_.back().scan, info_);
                position = end_of_scan(file_, position);
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

void JpegReader::check() const {
    if (damage_) throw *damage_;
    const std::size_t begin = steps_.back().segment.end();
    if (single_ && !has_end_of_image(file_, begin)) {
        throw JpegError(ErrorKind::truncated, file_.size,
                        "truncated JPEG: the end-of-image marker is missing");
    }
    // A block takes two codes of at least one bit each; of a progressive file, one in the scan of DC
    // coefficients.
    bool carries_dc[kMaxComponents] = {};
    for (const Step& step : steps_) {
        for (int i = 0; i < step.scan.count; ++i)
            carries_dc[step.scan.components[i]] |= step.scan.band_begin == 0;
    }
    uint64_t bits = 0;
    for (int i = 0; i < info_.component_count; ++i) {
        const Component& component = info_.components[i];
        const uint64_t blocks =
            uint64_t{static_cast<uint32_t>(component.blocks_wide)} * component.blocks_high;
        if (carries_dc[i]) bits += blocks * (info_.progressive ? 1 : 2);
    }
    if (bits / 8 > file_.size) {
        throw JpegError(ErrorKind::truncated, file_.size,
                        "truncated JPEG: " + std::to_string(file_.size) + " bytes cannot hold an image of " +
                            std::to_string(info_.width) + " x " + std::to_string(info_.height) + " pixels");
    }
}

}  // namespace freqvision
