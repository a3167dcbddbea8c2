// The order in which a JPEG stores the 64 coefficients of a block.
#pragma once

#include <array>
#include <cstdint>

#include "jpeg/rows.h"

namespace freqvision {

inline constexpr std::array<uint8_t, 64> kZigzag = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,   //
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,  //
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,  //
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

// Position of the k-th stored coefficient in a block. A run that leaves the block (64 to 127) puts its value
// in the last place, as in libjpeg. Higher indices (the end of the block, an escape) point at the DC
// coefficient, which is written last, so that none of them needs a test of its own.
using BlockPositions = std::array<uint8_t, 256>;

constexpr BlockPositions make_positions(BlockOrder order) {
    BlockPositions positions{};
    for (int k = 0; k < 128; ++k) {
        const int natural = k < 64 ? kZigzag[k] : 63;
        positions[k] =
            static_cast<uint8_t>(order == BlockOrder::natural ? natural : (natural % 8) * 8 + natural / 8);
    }
    return positions;
}

inline constexpr BlockPositions kNaturalPositions = make_positions(BlockOrder::natural);
inline constexpr BlockPositions kTransposedPositions = make_positions(BlockOrder::transposed);

inline const uint8_t* block_positions(BlockOrder order) {
    return (order == BlockOrder::natural ? kNaturalPositions : kTransposedPositions).data();
}

}  // namespace freqvision
