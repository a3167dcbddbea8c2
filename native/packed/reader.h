// A packed photo → rows of its coefficients by frequency.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "jpeg/error.h"
#include "jpeg/info.h"
#include "jpeg/rows.h"
#include "packed/format.h"

namespace freqvision {

bool is_packed(const uint8_t* data, size_t size);

// Reads one photo after another and keeps its memory, as JpegReader does; the bytes must stay where they are
// between open() and the last decode. Faults are JpegErrors. Memory: at most 256 times the bytes plus 64 MiB.
class PackedReader {
  public:
    // Checks all of the header; the checksum, where it is asked for, covers all else.
    const PackedHeader& open(const uint8_t* data, size_t size, const Limits& limits = {}, bool check = true);
    const PackedHeader& header() const { return header_; }

    // Only components with a range are decompressed, and of LZ4's only the wanted rows and columns unpacked.
    void decode(const RowRequest& request, LineSink& sink);

    void trim(size_t bytes);

  private:
    void decode_component(int number, const RowRequest& request, LineSink& sink);
    // Tell `rows` how to read one, into lines that are `stride` apart.
    template <class Rows>
    void read_chunks(int number, const uint8_t* raw, const BlockRange& range, size_t stride,
                     const Rows& rows);
    template <class Rows>
    void read_lines(int number, const uint8_t* raw, const BlockRange& range, size_t stride, const Rows& rows);

    const uint8_t* data_ = nullptr;
    size_t size_ = 0;
    size_t begin_[3] = {};  // of each component's data
    PackedHeader header_;
    std::vector<uint8_t> raw_, last_;
    std::vector<int16_t> lines_;
};

}  // namespace freqvision
