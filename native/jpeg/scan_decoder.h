// Decodes one scan into memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "jpeg/info.h"
#include "jpeg/kernels.h"
#include "jpeg/markers.h"
#include "jpeg/problems.h"
#include "jpeg/rows.h"
#include "jpeg/scan_data.h"

namespace freqvision {

// Where the blocks of a component go: either a plane, or a buffer of the rows of one MCU row.
struct Target {
    int16_t* data = nullptr;  // nullptr: the component is only parsed
    BlockRange range;         // what is stored; `data` begins at its first column
    bool is_plane = false;
    uint64_t* nonzero = nullptr;  // of a progressive plane, for each block: which coefficients are not zero

    std::ptrdiff_t stride() const { return std::ptrdiff_t{64} * (range.column_end - range.column_begin); }

    // The blocks of `block_row`, `offset` rows into its MCU row; nullptr if it is not stored.
    int16_t* row(int block_row, int offset) const {
        if (!data || block_row < range.row_begin || block_row >= range.row_end) return nullptr;
        return data + (is_plane ? block_row - range.row_begin : offset) * stride();
    }
};

struct ScanTask {
    Bytes file;
    std::size_t position;  // of the entropy-coded data
    const ImageInfo& info;
    const ScanHeader& scan;
    const HuffmanTables& tables;
    int restart_interval;
    const Target* targets;  // one for each component of the image
    BlockOrder order;
    RowSink* sink;  // gets each stored row when its MCU row is complete, or nullptr
    bool whole;     // goes on to the end of the scan when all that is stored is complete
};

class ScanDecoder {
  public:
    // The tables that the scan uses must have been prepared. Blocks that cannot be decoded become 0, or keep
    // what earlier scans of a progressive file have put there.
    void decode(const ScanTask& task, Problems& problems);

    void trim(std::size_t bytes) { data_.trim(bytes); }

  private:
    template <class Blocks>
    void run(const ScanTask& task, int wide, int high, Blocks& blocks, Problems& problems);

    ScanData data_;
};

}  // namespace freqvision
