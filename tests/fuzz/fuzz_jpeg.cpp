// What must hold for any bytes whatever. Runs under libFuzzer (clang -fsanitize=fuzzer) and under driver.cpp.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cpu.h"
#include "jpeg/reader.h"

using namespace freqvision;

namespace {

using Planes = std::vector<std::vector<int16_t>>;

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

Limits limits() {
    Limits limits;
    limits.max_pixels = 1 << 20;
    return limits;
}

// Whether it was decoded; if so, into `planes`.
bool decode_planes(JpegReader& reader, const uint8_t* data, std::size_t size, bool strict, Planes& planes) {
    try {
        const ImageInfo& info = reader.open(data, size, limits());
        reader.check(strict);
        planes.assign(info.component_count, {});
        int16_t* pointers[kMaxComponents] = {};
        for (int i = 0; i < info.component_count; ++i) {
            // Not zeros: whatever the reader leaves untouched must show.
            planes[i].assign(
                std::size_t{64} * info.components[i].blocks_high * info.components[i].blocks_wide, 12345);
            pointers[i] = planes[i].data();
        }
        reader.decode_planes(pointers, strict);
        return true;
    } catch (const JpegError& error) {
        require(error.offset <= size, "an error beyond the end of the file");
        return false;
    }
}

// Compares the rows of a request with planes decoded before.
class ComparingSink : public RowSink {
  public:
    ComparingSink(const ImageInfo& info, const RowRequest& request, const Planes& planes)
        : info_(info), request_(request), planes_(planes) {
        for (int i = 0; i < kMaxComponents; ++i) next_[i] = request.ranges[i].row_begin;
    }

    void row(int component, int block_row, const int16_t* blocks) override {
        const BlockRange& range = request_.ranges[component];
        require(block_row == next_[component]++, "rows out of order");
        const int wide = info_.components[component].blocks_wide;
        for (int column = range.column_begin; column < range.column_end; ++column) {
            const int16_t* expected =
                planes_[component].data() + (std::ptrdiff_t{block_row} * wide + column) * 64;
            for (int k = 0; k < 64; ++k, ++blocks) {
                const int natural = request_.order == BlockOrder::natural ? k : k % 8 * 8 + k / 8;
                if (request_.frequencies[component] >> natural & 1) {
                    require(*blocks == expected[natural], "a row differs from its plane");
                }
            }
        }
    }

    void finish() const {
        for (int i = 0; i < info_.component_count; ++i) {
            const BlockRange& range = request_.ranges[i];
            require(range.empty() || next_[i] == range.row_end, "rows missing");
        }
    }

  private:
    const ImageInfo& info_;
    const RowRequest& request_;
    const Planes& planes_;
    int next_[kMaxComponents];
};

class IgnoringSink : public RowSink {
    void row(int, int, const int16_t*) override {}
};

// Whether `read` finds nothing wrong.
template <class Read>
bool verdict(JpegReader& reader, const uint8_t* data, std::size_t size, Read read) {
    try {
        reader.open(data, size, limits());
        read();
        return true;
    } catch (const JpegError&) {
        return false;
    }
}

uint64_t random_number(uint64_t& state) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

RowRequest random_request(const ImageInfo& info, uint64_t& state) {
    RowRequest request;
    const auto interval = [&](int size, int& begin, int& end) {
        begin = static_cast<int>(random_number(state) % size);
        end = begin + 1 + static_cast<int>(random_number(state) % (size - begin));
    };
    for (int i = 0; i < info.component_count; ++i) {
        if (random_number(state) % 4 == 0) continue;
        BlockRange& range = request.ranges[i];
        interval(info.components[i].blocks_high, range.row_begin, range.row_end);
        interval(info.components[i].blocks_wide, range.column_begin, range.column_end);
        request.frequencies[i] =
            random_number(state) << 33 ^ random_number(state) << 11 ^ random_number(state);
    }
    if (random_number(state) % 2) request.order = BlockOrder::transposed;
    return request;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    static JpegReader reader;  // one for all inputs: nothing of a file may show in the next
    static Planes strict, lenient, other;
    uint64_t state = size;
    for (std::size_t i = 0; i < size; i += 1 + size / 64) state = state * 31 + data[i];

    set_isa(best_isa());
    const bool sound = decode_planes(reader, data, size, true, strict);
    const bool readable = decode_planes(reader, data, size, false, lenient);
    require(readable || !sound, "strict reads what lenient does not");
    if (sound) require(strict == lenient && !reader.damage(), "strict and lenient differ");
    if (!readable) return 0;
    require(sound || reader.damage(), "strict refuses what lenient finds nothing wrong with");

    for (Isa isa : {Isa::baseline, Isa::avx2}) {
        if (!set_isa(isa)) continue;
        require(decode_planes(reader, data, size, false, other) && other == lenient,
                "instruction sets differ");
    }
    // A part of a damaged progressive file may come from other scans than the whole.
    if (sound) {
        const RowRequest request = random_request(reader.info(), state);
        ComparingSink sink(reader.info(), request, lenient);
        reader.decode(request, sink, true);
        sink.finish();
    }
    // The verdict on the whole file, from nothing and from any part.
    require(verdict(reader, data, size, [&] { reader.judge(); }) == sound, "judged otherwise than read");
    require(verdict(reader, data, size,
                    [&] {
                        RowRequest request = random_request(reader.info(), state);
                        request.whole = true;
                        IgnoringSink sink;
                        reader.decode(request, sink, true);
                    }) == sound,
            "a part gives another verdict than the whole");
    return 0;
}
