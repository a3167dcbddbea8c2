#include "jpeg/markers.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "jpeg/zigzag.h"

namespace freqvision {

namespace {

bool has_no_length(int code) {
    return code == marker::kTem || (code >= marker::kRst0 && code <= marker::kEoi);
}

// Whether nobody depends on what the segment holds.
bool may_be_skipped(int code) { return code >= marker::kApp0 || code == marker::kDnl; }

std::string hex(int value) {
    char text[8];
    std::snprintf(text, sizeof text, "0x%02X", value & 255);
    return text;
}

// Reads a segment's payload; leaving it is an error.
class Payload {
  public:
    Payload(Bytes file, const Segment& segment, const char* name)
        : file_(file), segment_(segment), position_(segment.payload), name_(name) {}

    std::size_t left() const { return segment_.end() - position_; }
    std::size_t position() const { return position_; }

    int byte() { return *bytes(1); }

    int word() {
        const uint8_t* two = bytes(2);
        return two[0] << 8 | two[1];
    }

    const uint8_t* bytes(std::size_t count) {
        if (left() < count) corrupt("is shorter than its contents");
        position_ += count;
        return file_.data + position_ - count;
    }

    [[noreturn]] void corrupt(const std::string& what) const {
        throw JpegError(ErrorKind::corrupt, segment_.offset,
                        std::string("corrupt JPEG: the ") + name_ + " segment " + what);
    }

  private:
    Bytes file_;
    const Segment& segment_;
    std::size_t position_;
    const char* name_;
};

const uint8_t* find_ff(const uint8_t* begin, const uint8_t* end) {
    const void* found = begin < end ? std::memchr(begin, 0xFF, end - begin) : nullptr;
    return found ? static_cast<const uint8_t*>(found) : end;
}

}  // namespace

Segment next_segment(Bytes file, std::size_t position) {
    const uint8_t* const end = file.data + file.size;
    const uint8_t* at = file.data + position;
    Segment segment;
    for (;;) {
        const uint8_t* ff = find_ff(at, end);
        const uint8_t* code = ff;
        while (code < end && *code == 0xFF) ++code;  // fill bytes
        if (code == end) {
            segment.offset = file.size;
            segment.skipped = ff - (file.data + position);
            return segment;
        }
        at = code + 1;
        if (*code == 0) continue;  // stuffing of entropy-coded data that nobody read
        segment.marker = *code;
        segment.offset = code - 1 - file.data;
        segment.skipped = ff - (file.data + position);
        break;
    }
    segment.payload = at - file.data;
    if (has_no_length(segment.marker)) return segment;
    const auto left = static_cast<std::size_t>(end - at);
    if (left < 2 || left < static_cast<std::size_t>(at[0] << 8 | at[1])) {
        throw JpegError(ErrorKind::truncated, file.size,
                        "truncated JPEG: the file ends within the segment of marker " + hex(segment.marker) +
                            " that begins at byte " + std::to_string(segment.offset));
    }
    const int length = at[0] << 8 | at[1];
    segment.payload += 2;
    if (length < 2) {
        if (may_be_skipped(segment.marker)) return segment;  // as in libjpeg: nothing but the length
        throw JpegError(ErrorKind::corrupt, segment.offset,
                        "corrupt JPEG: the segment of marker " + hex(segment.marker) + " has length " +
                            std::to_string(length) + ", less than the length field itself");
    }
    segment.size = length - 2;
    return segment;
}

void read_frame_header(Bytes file, const Segment& segment, const Limits& limits, ImageInfo& info) {
    const auto refuse = [&](ErrorKind kind, const std::string& what) {
        throw JpegError(kind, segment.offset, what);
    };
    const int code = segment.marker;
    const char* const way_out =
        "; freqvision reads 8-bit baseline, extended and progressive Huffman JPEG: "
        "decode this file to pixels instead, or re-encode it";
    switch (code) {
        case 0xC0:
        case 0xC1:
        case 0xC2:
            break;
        case 0xC3:
            refuse(ErrorKind::lossless, std::string("lossless JPEG (SOF3)") + way_out);
            break;
        case 0xC5:
        case 0xC6:
        case 0xC7:
        case 0xCD:
        case 0xCE:
        case 0xCF:
            refuse(ErrorKind::hierarchical,
                   "hierarchical JPEG (SOF" + std::to_string(code - 0xC0) + ")" + way_out);
            break;
        case 0xCB:
            refuse(ErrorKind::lossless, std::string("lossless arithmetic-coded JPEG (SOF11)") + way_out);
            break;
        case 0xC9:
        case 0xCA:
            refuse(ErrorKind::arithmetic,
                   "arithmetic-coded JPEG (SOF" + std::to_string(code - 0xC0) + ")" + way_out);
            break;
        default:
            refuse(ErrorKind::unsupported, "JPEG of an unknown kind, marker " + hex(code) + way_out);
    }

    Payload payload(file, segment, "frame header (SOF)");
    const int precision = payload.byte();
    if (precision == 12) refuse(ErrorKind::twelve_bit, std::string("12-bit JPEG") + way_out);
    if (precision != 8)
        payload.corrupt("asks for " + std::to_string(precision) + " bits a sample; 8 or 12 are legal");
    info.progressive = code == marker::kSof2;
    info.height = payload.word();
    info.width = payload.word();
    info.component_count = payload.byte();
    const std::string size = std::to_string(info.width) + " x " + std::to_string(info.height);
    if (info.height == 0 && info.width > 0) {
        refuse(ErrorKind::illegal_size,
               "illegal image height 0 (T.81 lets a DNL marker give the height later, but "
               "neither freqvision nor libjpeg reads that); re-encode the file");
    }
    if (info.width == 0)
        refuse(ErrorKind::illegal_size, "illegal image size " + size + "; both sides must be at least 1");
    if (int64_t{info.width} * info.height > limits.max_pixels) {
        refuse(ErrorKind::too_large, "the image has " + size + " pixels, more than the limit of " +
                                         std::to_string(limits.max_pixels) +
                                         "; raise max_pixels if you trust the file");
    }
    if (info.component_count < 1 || info.component_count > kMaxComponents) {
        refuse(ErrorKind::unsupported,
               "JPEG with " + std::to_string(info.component_count) + " components; freqvision reads 1 to 4");
    }
    if (payload.left() != std::size_t{3} * info.component_count) payload.corrupt("has a wrong length");

    info.max_h = info.max_v = 1;
    for (int i = 0; i < info.component_count; ++i) {
        Component& component = info.components[i];
        component = Component();
        component.id = static_cast<uint8_t>(payload.byte());
        const int factors = payload.byte();
        component.h = factors >> 4;
        component.v = factors & 15;
        component.quant_slot = payload.byte();
        if (component.h < 1 || component.h > 4 || component.v < 1 || component.v > 4) {
            refuse(ErrorKind::illegal_size, "illegal sampling factors " + std::to_string(component.h) +
                                                " x " + std::to_string(component.v) +
                                                "; each must be 1 to 4");
        }
        if (component.quant_slot > 3)
            payload.corrupt("refers to quantisation table " + std::to_string(component.quant_slot) +
                            "; 0 to 3 are legal");
        info.max_h = std::max(info.max_h, component.h);
        info.max_v = std::max(info.max_v, component.v);
    }
    for (int i = 0; i < info.component_count; ++i) {
        Component& component = info.components[i];
        component.width = (info.width * component.h + info.max_h - 1) / info.max_h;
        component.height = (info.height * component.v + info.max_v - 1) / info.max_v;
        component.blocks_wide = (component.width + 7) / 8;
        component.blocks_high = (component.height + 7) / 8;
    }
}

ScanHeader read_scan_header(Bytes file, const Segment& segment, const ImageInfo& info) {
    Payload payload(file, segment, "scan header (SOS)");
    ScanHeader scan;
    scan.count = payload.byte();
    if (scan.count < 1 || scan.count > info.component_count) {
        payload.corrupt("lists " + std::to_string(scan.count) + " components of " +
                        std::to_string(info.component_count));
    }
    if (payload.left() != std::size_t{2} * scan.count + 3) payload.corrupt("has a wrong length");
    int blocks = 0;
    for (int i = 0; i < scan.count; ++i) {
        const int id = payload.byte();
        const auto is_next = [&](int index) {
            return info.components[index].id == id &&
                   std::find(scan.components, scan.components + i, index) == scan.components + i;
        };
        // Some cameras give all components one id. libjpeg-turbo then takes the i-th, or a later one; what it
        // refuses are scans that list components in another order than the frame does.
        int index = i;
        while (index < info.component_count && !is_next(index)) ++index;
        if (index == info.component_count)
            for (index = 0; index < i && !is_next(index);) ++index;
        if (!is_next(index)) {
            const bool known = std::any_of(info.components, info.components + info.component_count,
                                           [&](const Component& c) { return c.id == id; });
            payload.corrupt("lists component " + std::to_string(id) +
                            (known ? " twice" : ", which the frame does not have"));
        }
        scan.components[i] = index;
        const int slots = payload.byte();
        scan.dc_slots[i] = slots >> 4;
        scan.ac_slots[i] = slots & 15;
        blocks += info.components[index].h * info.components[index].v;
    }
    if (scan.count > 1 && blocks > 10) {
        payload.corrupt("interleaves " + std::to_string(blocks) + " blocks in an MCU; 10 are legal");
    }
    scan.band_begin = payload.byte();
    scan.band_end = payload.byte();
    const int approximation = payload.byte();
    scan.high = approximation >> 4;
    scan.low = approximation & 15;
    if (!info.progressive) {
        // Some encoders leave other values here; they mean nothing in a sequential file.
        scan.band_begin = scan.high = scan.low = 0;
        scan.band_end = 63;
    }
    for (int i = 0; i < scan.count; ++i) {
        // A table that the scan does not use may have any number.
        int& dc = scan.dc_slots[i];
        int& ac = scan.ac_slots[i];
        if (scan.band_begin > 0 || scan.high > 0) dc = 0;
        if (scan.band_end == 0) ac = 0;
        if (dc > 3 || ac > 3)
            payload.corrupt("refers to Huffman table " + std::to_string(std::max(dc, ac)) +
                            "; 0 to 3 are legal");
    }
    if (!info.progressive) return scan;
    const bool legal_band = scan.band_begin == 0
                                ? scan.band_end == 0
                                : scan.band_begin <= scan.band_end && scan.band_end <= 63 && scan.count == 1;
    if (!legal_band || scan.low > 13 || (scan.high && scan.high != scan.low + 1)) {
        payload.corrupt("has illegal progression parameters: coefficients " +
                        std::to_string(scan.band_begin) + " to " + std::to_string(scan.band_end) + ", bits " +
                        std::to_string(scan.high) + " and " + std::to_string(scan.low));
    }
    return scan;
}

void read_quant_tables(Bytes file, const Segment& segment, QuantTable (&tables)[4]) {
    Payload payload(file, segment, "quantisation table (DQT)");
    while (payload.left()) {
        const int head = payload.byte();
        // Any precision but 0 is 16 bits, as in libjpeg; only 1 is legal.
        const int wide = head >> 4, slot = head & 15;
        if (slot > 3) payload.corrupt("defines table " + std::to_string(slot) + "; tables 0 to 3 are legal");
        QuantTable& table = tables[slot];
        for (const int position : kZigzag) {
            table.values[position] = static_cast<uint16_t>(wide ? payload.word() : payload.byte());
        }
        table.defined = true;
    }
}

void read_huffman_tables(Bytes file, const Segment& segment, HuffmanPlaces& places) {
    Payload payload(file, segment, "Huffman table (DHT)");
    while (payload.left()) {
        const int head = payload.byte();
        const int kind = head >> 4, slot = head & 15;
        if (kind > 1 || slot > 3)
            payload.corrupt("defines table " + std::to_string(slot) + " of class " + std::to_string(kind) +
                            "; tables 0 to 3 of class 0 or 1 are legal");
        (kind == 0 ? places.dc : places.ac)[slot] = payload.position();
        const uint8_t* counts = payload.bytes(16);
        const int count = std::accumulate(counts, counts + 16, 0);
        if (count > 256)
            payload.corrupt("defines " + std::to_string(count) + " codes in one table; 256 are legal");
        payload.bytes(count);
    }
}

void define_huffman_table(Bytes file, std::size_t place, HuffmanTable& table) {
    uint8_t counts[16];
    std::copy_n(file.data + place, 16, counts);
    // Read again, so checked again: the bytes are the caller's, who might be changing them.
    const int count = std::accumulate(counts, counts + 16, 0);
    if (count > 256 || file.size - place - 16 < static_cast<std::size_t>(count))
        throw JpegError(ErrorKind::corrupt, place, "corrupt JPEG: the file changes while it is read");
    table.define(counts, file.data + place + 16, count);
}

int read_restart_interval(Bytes file, const Segment& segment) {
    Payload payload(file, segment, "restart interval (DRI)");
    const int interval = payload.word();
    if (payload.left()) payload.corrupt("has a wrong length");
    return interval;
}

}  // namespace freqvision
