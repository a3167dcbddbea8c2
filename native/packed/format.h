// A packed photo: the coefficients of some frequencies, as int8 with a step for each, compressed.
//
// All numbers are little-endian.
//   header       "FQPK", version, codec, exact, components (a byte each); width, height; width and height of
//                the photo it was made of (uint32); orientation, colour model (a byte each); row and column
//                of the photo's first pixel in the first block (a byte each), 0 unless all components are of
//                full size; XXH64 of all that follows
//   component    h, v, number of frequencies n, zero (a byte each); sizes of its data, packed and raw
//                (uint32); n indices 8·u + v (a byte each); n steps (float32)
//   data         of each component, compressed, or, but for zstd, as it is where both sizes are equal
//
// For zstd, which codes short values by few bits itself, data are lines: for each row of blocks and each
// frequency an int8 for each block. DC is stored as the difference from the block to the left. What does not
// fit is −128 (which is itself if not `exact`), and follows all lines in their order: the lower bytes, then
// the upper ones. Before the lines stands how many of them each row of blocks has: the lowest bytes, the
// middle, the highest.
//
// Otherwise data are chunks of 32 blocks of a row, the last of a row of those that are left. First their
// sizes (uint16), then the chunks, row by row. A chunk has for each frequency half a byte, its width (15
// stands for 16 bits), the lower one first, then for each frequency its values in so many bits, two's
// complement: the lowest bits of all blocks, then the next ones, each in whole bytes. DC is the difference
// from the block to the left in the chunk.
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

// Blocks of a row of a chunk, and chunks of a row of `wide` blocks.
constexpr size_t kChunk = 32;
inline size_t chunks_in(size_t wide) { return (wide + kChunk - 1) / kChunk; }
// Bytes of a chunk's widths, and of one bit of its values.
inline size_t widths_size(size_t frequencies) { return (frequencies + 1) / 2; }
inline size_t bits_size(size_t columns) { return (columns + 7) / 8; }

// Sets each component's size in samples and blocks from the image's size and the sampling factors.
void set_geometry(ImageInfo& info);

// A flat photo compresses without limit; how many values a small file may claim is limited all the same.
constexpr size_t kExpansion = 256, kFree = size_t{64} << 20;
inline bool claims_too_much(size_t values, size_t packed) {
    return values > kFree && values / kExpansion > packed;
}

// `level`: of the codec; larger is smaller and slower. What would be smaller than a reader takes is not
// compressed.
std::vector<uint8_t> pack(PackedImage image, int level);

}  // namespace freqvision
