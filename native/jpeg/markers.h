// Marker segments (T.81 B.2): finding them, and what each says.
#pragma once

#include <cstddef>
#include <cstdint>

#include "jpeg/error.h"
#include "jpeg/huffman.h"
#include "jpeg/info.h"

namespace freqvision {

namespace marker {
enum : int {
    kNone = -1,  // the data ended
    kTem = 0x01,
    kSof0 = 0xC0,
    kSof2 = 0xC2,
    kDht = 0xC4,
    kSof15 = 0xCF,
    kDac = 0xCC,
    kRst0 = 0xD0,
    kRst7 = 0xD7,
    kSoi = 0xD8,
    kEoi = 0xD9,
    kSos = 0xDA,
    kDqt = 0xDB,
    kDnl = 0xDC,
    kDri = 0xDD,
    kApp0 = 0xE0,
    kApp1 = 0xE1,
    kApp14 = 0xEE,
    kApp15 = 0xEF,
    kCom = 0xFE,
};
}  // namespace marker

// The bytes of a file.
struct Bytes {
    const uint8_t* data = nullptr;
    std::size_t size = 0;
};

// A marker and what belongs to it.
struct Segment {
    int marker = marker::kNone;
    std::size_t offset = 0;   // of the marker's 0xFF
    std::size_t payload = 0;  // behind the length field
    std::size_t size = 0;     // of the payload
    std::size_t skipped = 0;  // bytes before the marker that belong to nothing
    std::size_t end() const { return payload + size; }
};

// The next marker from `position` on. Throws `truncated` if its segment leaves the file; kNone if there is
// none.
Segment next_segment(Bytes file, std::size_t position);

struct QuantTable {
    bool defined = false;
    uint16_t values[64];  // natural order
};

// Where the file defines each Huffman table; 0: nowhere yet.
struct HuffmanPlaces {
    std::size_t dc[4] = {}, ac[4] = {};
};

struct ScanHeader {
    int count = 0;
    int components[kMaxComponents];  // indices into ImageInfo::components
    int dc_slots[kMaxComponents], ac_slots[kMaxComponents];
    int band_begin = 0, band_end = 63;
    int high = 0, low = 0;  // successive approximation: bit position of the scan before, and of this one
};

// SOF0, SOF1 or SOF2 into `info`; throws for other kinds of frames, and for sizes that are illegal or too
// large.
void read_frame_header(Bytes file, const Segment& segment, const Limits& limits, ImageInfo& info);
ScanHeader read_scan_header(Bytes file, const Segment& segment, const ImageInfo& info);
void read_quant_tables(Bytes file, const Segment& segment, QuantTable (&tables)[4]);
void read_huffman_tables(Bytes file, const Segment& segment, HuffmanPlaces& places);
// The table that the file defines at a place that read_huffman_tables has found.
void define_huffman_table(Bytes file, std::size_t place, HuffmanTable& table);
int read_restart_interval(Bytes file, const Segment& segment);

// What APP0, APP1 and APP14 say about colours and orientation. Malformed ones are ignored, as everyone does.
class AppSegments {
  public:
    void read(Bytes file, const Segment& segment);
    ColourModel colour_model(const ImageInfo& info) const;
    int orientation() const { return orientation_ ? orientation_ : 1; }

  private:
    bool jfif_ = false;
    bool adobe_ = false;
    int adobe_transform_ = 0;
    int orientation_ = 0;
};

}  // namespace freqvision
