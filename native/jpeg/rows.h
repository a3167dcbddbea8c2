// The interface between the JPEG reader and whoever consumes its coefficients.
#pragma once

#include <cstdint>

namespace freqvision {

constexpr int kMaxComponents = 4;

// A half-open rectangle of blocks of one component.
struct BlockRange {
    int row_begin = 0, row_end = 0, column_begin = 0, column_end = 0;
    bool empty() const { return row_begin >= row_end || column_begin >= column_end; }
};

// Order of the 64 coefficients inside a block: natural is 8·u + v, transposed is 8·v + u.
enum class BlockOrder { natural, transposed };

// What a consumer wants of an image. Blocks outside `ranges` are parsed but not stored; a component with an
// empty range is only skipped over. `frequencies` (bit 8·u + v, whatever the order) lets a progressive decode
// stop once no later scan can change a wanted coefficient; unwanted ones may then be incomplete.
struct RowRequest {
    BlockRange ranges[kMaxComponents];
    uint64_t frequencies[kMaxComponents] = {~0ull, ~0ull, ~0ull, ~0ull};
    // How many rows' lines stay as they are, the last one counted.
    int kept[kMaxComponents] = {1, 1, 1, 1};
    BlockOrder order = BlockOrder::natural;
    // Parse what is not wanted, too, so that damage anywhere in the file is met whatever the ranges.
    bool whole = false;
};

// Receives each wanted block row once, top to bottom within a component (components interleave).
class RowSink {
  public:
    virtual ~RowSink() = default;
    // `blocks` holds column_end − column_begin blocks of 64 quantised coefficients and is valid during the
    // call.
    virtual void row(int component, int block_row, const int16_t* blocks) = 0;
};

// The same from a store that is ordered by frequency: lines[8·u + v] holds a value for each block of the row,
// of which those outside the wanted columns may be anything. kLinePadding more may be read.
constexpr int kLinePadding = 8;
class LineSink {
  public:
    virtual ~LineSink() = default;
    virtual void lines(int component, int block_row, const int16_t* const* lines) = 0;
};

}  // namespace freqvision
