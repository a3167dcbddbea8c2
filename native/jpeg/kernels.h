// The loops over entropy-coded data, compiled once for each instruction set (see CMakeLists.txt).
//
// They see plain data only: whatever is inline in a header they include would be compiled for several
// instruction sets under one name, and the linker would keep any one of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "jpeg/huffman.h"

namespace freqvision {

constexpr int kMaxBlocksInMcu = 10;  // T.81 B.2.3

// One block takes at most 64 · (16 + 15) bits: this many bytes of zeros follow the data, so that overruns
// need a check only once for each block.
constexpr std::size_t kEntropyPadding = 512;

// Entropy-coded data without byte stuffing, and how far it has been read.
struct BitState {
    const uint8_t* next = nullptr;  // not yet in the window
    const uint8_t* end = nullptr;   // of the data; kEntropyPadding bytes of zeros follow
    uint64_t window = 0;            // left-aligned
    uint64_t count = 0;             // valid bits in the window
    bool strayed = false;           // a run left its block or band: a sign of damage, but not a proof
};

struct UnstuffResult {
    const uint8_t* source;  // where it stopped: at the first byte of a marker, or at the end
    uint8_t* target;        // behind the last byte written
};

enum class RunStatus : int { ok, bad_code, overrun };

struct RunResult {
    int done;  // MCUs or blocks completed
    RunStatus status;
};

// A block of an MCU and where it goes. `row` is where column `column_begin` of this block row is stored;
// blocks outside the columns are only parsed. nullptr: the whole row is.
struct BlockSlot {
    const HuffmanTable* dc;
    const HuffmanTable* ac;
    int component;
    int column_step, column_offset;  // column = MCU · step + offset
    int row_step, row_offset;        // likewise; the kernels look at `row` only
    int column_begin, column_end;
    int16_t* row;
};

struct McuJob {
    BlockSlot slots[kMaxBlocksInMcu];
    int slot_count;
    uint32_t
        predictions[4];  // DC of the block before, by component; unsigned: a hostile file may overflow it
    const uint8_t* positions;
    int shift;  // progressive: the bit position that a scan carries
};

// A progressive scan of AC coefficients, over the blocks of one row.
struct BandJob {
    const HuffmanTable* table;
    const uint8_t* positions;
    int16_t* row;
    uint64_t* nonzero;         // for each block, which coefficients are not zero (bit: zigzag index)
    int band_begin, band_end;  // zigzag indices, both inclusive
    int shift;
    uint32_t end_of_band_run;
};

struct JpegKernels {
    // Copies entropy-coded data up to the next marker, 0xFF00 becoming 0xFF. May write 64 bytes too many.
    UnstuffResult (*unstuff)(const uint8_t* source, const uint8_t* end, uint8_t* target);
    // The first marker other than RSTn: its first 0xFF, or the end.
    const uint8_t* (*find_marker)(const uint8_t* begin, const uint8_t* end);
    // MCUs (or, for bands, blocks) begin ≤ i < end of one row.
    RunResult (*sequential)(BitState&, McuJob&, int begin, int end);
    RunResult (*dc_first)(BitState&, McuJob&, int begin, int end);
    RunResult (*dc_refine)(BitState&, McuJob&, int begin, int end);
    RunResult (*ac_first)(BitState&, BandJob&, int begin, int end);
    RunResult (*ac_refine)(BitState&, BandJob&, int begin, int end);
};

// Those for the instruction set in use (see cpu.h).
const JpegKernels& jpeg_kernels();

#define FREQVISION_DECLARE_KERNELS(isa)                                                \
    namespace isa {                                                                    \
    UnstuffResult unstuff(const uint8_t* source, const uint8_t* end, uint8_t* target); \
    const uint8_t* find_marker(const uint8_t* begin, const uint8_t* end);              \
    RunResult sequential(BitState&, McuJob&, int begin, int end);                      \
    RunResult dc_first(BitState&, McuJob&, int begin, int end);                        \
    RunResult dc_refine(BitState&, McuJob&, int begin, int end);                       \
    RunResult ac_first(BitState&, BandJob&, int begin, int end);                       \
    RunResult ac_refine(BitState&, BandJob&, int begin, int end);                      \
    }

FREQVISION_DECLARE_KERNELS(baseline)
FREQVISION_DECLARE_KERNELS(avx2)
FREQVISION_DECLARE_KERNELS(avx512)
#undef FREQVISION_DECLARE_KERNELS

}  // namespace freqvision
