// Packed photos of any bytes whatever, without the checksum, which would stop nearly all of them. Runs under
// libFuzzer (clang -fsanitize=fuzzer) and under driver.cpp.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "packed/reader.h"

using namespace freqvision;

namespace {

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

// Keeps the rows of a request, and sees that each comes once, in order.
class Rows final : public LineSink {
  public:
    Rows(const ImageInfo& info, const RowRequest& request) : request_(request) {
        for (int i = 0; i < info.component_count; ++i) next_[i] = request.ranges[i].row_begin;
    }

    void lines(int component, int block_row, const int16_t* const* lines) override {
        const BlockRange& range = request_.ranges[component];
        require(!range.empty() && block_row == next_[component]++, "rows out of order");
        for (int column = range.column_begin; column < range.column_end; ++column)
            for (int k = 0; k < 64; ++k) values[component].push_back(lines[k][column]);
    }

    std::vector<int16_t> values[kMaxComponents];

  private:
    const RowRequest& request_;
    int next_[kMaxComponents] = {};
};

// Whether it was read; everything, or the middle of it.
bool read(PackedReader& reader, const uint8_t* data, std::size_t size, bool middle,
          std::vector<int16_t>* values, int* wide) {
    Limits limits;
    limits.max_pixels = 1 << 20;
    try {
        const ImageInfo& info = reader.open(data, size, limits, /*check=*/false).info;
        RowRequest request;
        for (int i = 0; i < info.component_count; ++i) {
            const int high = info.components[i].blocks_high, across = info.components[i].blocks_wide;
            request.ranges[i] =
                middle ? BlockRange{high / 4, (3 * high + 3) / 4, across / 4, (3 * across + 3) / 4}
                       : BlockRange{0, high, 0, across};
            wide[i] = across;
        }
        Rows rows(info, request);
        reader.decode(request, rows);
        for (int i = 0; i < kMaxComponents; ++i) {
            if (!middle) {
                values[i] = std::move(rows.values[i]);
                continue;
            }
            const BlockRange& range = request.ranges[i];
            const int across = range.column_end - range.column_begin;
            for (std::size_t k = 0; k < rows.values[i].size(); ++k) {
                const std::size_t row = k / 64 / across, column = k / 64 % across;
                const std::size_t block = (range.row_begin + row) * wide[i] + range.column_begin + column;
                require(rows.values[i][k] == values[i][64 * block + k % 64], "a part differs from the whole");
            }
        }
        return true;
    } catch (const JpegError& error) {
        require(error.offset <= size || size < 48, "an error beyond the end of the photo");
        return false;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    static PackedReader reader;  // one for all inputs: nothing of a photo may show in the next
    std::vector<int16_t> values[kMaxComponents];
    int wide[kMaxComponents] = {};
    if (read(reader, data, size, false, values, wide))
        require(read(reader, data, size, true, values, wide), "a part cannot be read, but the whole can");
    return 0;
}
