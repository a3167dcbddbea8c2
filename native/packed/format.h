// A packed photo: the coefficients of some frequencies, as int8 with a step for each, compressed.
//
// All numbers are little-endian.
//   header       "FQPK", version, codec, exact, components (a byte each); width, height; width and height of
//                the photo it was made of (uint32); orientation, colour model (a byte each), two zero bytes;
//                XXH64 of all that follows
//   component    h, v, number of frequencies n, zero (a byte each); sizes of its data, packed and raw
//                (uint32); n indices 8·u + v, plus 128 where values have four bits (a byte each); n steps
//                (float32)
//   data         of each component, compressed: for each row of blocks and each frequency a line of int8, or
//                of four bits: the lower ones of the line's bytes, then the upper ones. DC is stored as the
//                difference from the block to the left. What does not fit is −8 of four bits, −128 of eight
//                (which is itself if not `exact`), and follows all lines in the order of their bytes, lower
//                four bits first: the lower bytes, then, if `exact`, the upper ones. Before the lines stands
//                how many of them each row of blocks has: the lowest bytes, the middle, the highest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "jpeg/info.h"

namespace freqvision {

enum class Codec : uint8_t { none, lz4, zstd };

// A component's part of a packed photo, without its data.
struct PackedComponent {
    int frequencies = 0;
    uint8_t index[64] = {};  // 8·u + v
    uint64_t halved = 0;     // bit 8·u + v: its values have four bits
    float step[64] = {};     // of 8·u + v
    uint32_t packed_size = 0, raw_size = 0;
};

struct PackedHeader {
    ImageInfo info;  // of the stored grid; without quantisation tables
    PackedComponent components[3];
    int source_width = 0, source_height = 0;
    Codec codec = Codec::lz4;
    bool exact = false;
};

// What is packed. `values` holds, for each component, either `blocks` of 64 int16 in natural order (exact) or
// for each frequency a plane of int8.
struct PackedImage {
    PackedHeader header;
    const int16_t* blocks[3] = {};
    const int8_t* planes[3] = {};
};

// Bytes of a line of `wide` values, and of a row of blocks.
inline size_t line_size(const PackedComponent& component, int k, size_t wide) {
    return component.halved >> component.index[k] & 1 ? (wide + 1) / 2 : wide;
}
inline size_t row_size(const PackedComponent& component, size_t wide) {
    size_t size = 0;
    for (int k = 0; k < component.frequencies; ++k) size += line_size(component, k, wide);
    return size;
}

// Sets each component's size in samples and blocks from the image's size and the sampling factors.
void set_geometry(ImageInfo& info);

// A flat photo compresses without limit; what a small file may claim is limited all the same.
constexpr size_t kExpansion = 256, kFree = size_t{64} << 20;
inline bool claims_too_much(size_t raw, size_t packed) { return raw > kFree && raw / kExpansion > packed; }

// `level`: of the codec; larger is smaller and slower. What zstd would make smaller than a reader takes is
// left to LZ4, which never does.
std::vector<uint8_t> pack(PackedImage image, int level);

}  // namespace freqvision
