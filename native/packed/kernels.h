// The inner loops of reading packed photos, compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace freqvision {

struct PackedKernels {
    // A chunk of a packed photo (see format.h) → values of 32 columns of the first `frequencies` lines, which
    // are `stride` apart; those beyond `columns` may be anything. Reads up to 64 bytes beyond the chunk.
    void (*unpack)(const uint8_t* widths, const uint8_t* bits, int frequencies, int columns, int16_t* lines,
                   size_t stride);

    // 32 differences → their running sums.
    void (*sum)(int16_t* line);
};

// Those for the instruction set in use (see cpu.h).
const PackedKernels& packed_kernels();

}  // namespace freqvision
