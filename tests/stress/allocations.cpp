// Fails one allocation of a batch, each in turn; afterwards the decoder must give what a fresh one gives.
// See run.py.
//
//     allocations FILE...
#include <cstdio>
#include <vector>

#include "common.h"
#include "failing_allocations.h"
#include "jpeg/reader.h"
#include "pipeline/batch.h"

using namespace freqvision;
using namespace freqvision::test;

namespace {

void require(bool condition, const char* what, long allocation) {
    if (!condition) std::fprintf(stderr, "after failing allocation %ld: ", allocation);
    test::require(condition, what);
}

// All frequencies, and pixels.
std::vector<OutputSpec> specs() {
    std::vector<OutputSpec> specs(2);
    for (int i = 0; i < 192; ++i) specs[0].channels.push_back(i);
    specs[1].matrix = {{1, 0, 1.402f}, {1, -0.34414f, -0.71414f}, {1, 1.772f, 0}};
    specs[1].fill.assign(3, 0);
    for (OutputSpec& spec : specs) {
        spec.gain.assign(spec.depth(), 0.1f);
        spec.bias.assign(spec.depth(), 1.0f);
    }
    return specs;
}

struct Result {
    bool failed = false;
    std::vector<Buffer> memory;
    bool operator==(const Result&) const = default;
};

// `copies` of a file; the allocation that counts down to zero fails.
Result decode(BatchDecoder& decoder, const Buffer& file, bool large, int copies, long fail = -1) {
    const std::vector<Source> sources(copies, Source{{}, file.data(), file.size()});
    std::vector<Job> jobs;
    jobs.reserve(2 * copies);
    Result result;
    result.memory.reserve(2 * copies);
    countdown = fail;
    try {
        decoder.open(sources);
        countdown.exchange(-1);
        for (int i = 0; i < copies; ++i) {
            const BatchDecoder::Opened opened = decoder.opened()[i];
            if (opened.failure) {
                result.failed = true;
                continue;
            }
            const int side = large ? 200 : 64;
            const View view{0, 0, opened.height, opened.width, side, side, -4, 0, side, side, large};
            for (int spec = 0; spec < 2; ++spec) {
                result.memory.emplace_back(size_t{192} * (side / 8) * (side / 8) * 4, 0xA5);
                jobs.push_back({i, spec, view, large, result.memory.back().data()});
            }
        }
        countdown = fail;
        for (const auto& failure : decoder.decode(jobs)) result.failed |= failure.has_value();
    } catch (const std::bad_alloc&) {
        result.failed = true;
    }
    countdown = -1;
    decoder.close();
    return result;
}

// What a reader gives, row by row of all components and as planes; nothing where it fails.
class Rows : public RowSink {
  public:
    void row(int component, int block_row, const int16_t* blocks) override {
        const int wide = info->components[component].blocks_wide;
        values.insert(values.end(), {static_cast<int16_t>(component), static_cast<int16_t>(block_row)});
        values.insert(values.end(), blocks, blocks + std::ptrdiff_t{64} * wide);
    }
    const ImageInfo* info = nullptr;
    std::vector<int16_t> values;
};

struct Reading {
    bool failed = false;
    std::vector<int16_t> values;
    std::vector<std::string> warnings;
    bool operator==(const Reading&) const = default;
};

Reading read_all(JpegReader& reader, const Buffer& file, bool strict, long fail = -1) {
    Reading reading;
    Rows rows;
    rows.values.reserve(size_t{1} << 22);  // of the test, not of the reader
    RowRequest request;
    try {
        countdown = fail;
        const ImageInfo& info = reader.open(file.data(), file.size());
        for (int i = 0; i < info.component_count; ++i)
            request.ranges[i] = {0, info.components[i].blocks_high, 0, info.components[i].blocks_wide};
        rows.info = &info;
        reader.decode(request, rows, strict);
        countdown.exchange(-1);
        reading.warnings = reader.warnings();
    } catch (const std::exception&) {
        reading.failed = true;
        rows.values.clear();
    }
    countdown = -1;
    reading.values = rows.values;
    return reading;
}

// Every allocation of a reader fails once; afterwards it reads as a fresh one does.
long try_reader(const std::vector<Buffer>& files) {
    long tried = 0;
    for (size_t i = 0; i < files.size(); ++i) {
        if (is_packed(files[i].data(), files[i].size())) continue;
        for (const bool strict : {true, false}) {
            const Buffer &file = files[i], &other = files[(i + 2) % files.size()];
            JpegReader fresh, another;
            const Reading expected = read_all(fresh, file, strict), before = read_all(another, other, strict);
            for (long allocation = 0;; ++allocation, ++tried) {
                JpegReader reader;
                if (allocation % 2) read_all(reader, other, strict);
                const Reading reading = read_all(reader, file, strict, allocation / 2);
                const bool failed = failed_one.exchange(false);
                require(failed || reading == expected, "nothing has failed, but the reader differs",
                        allocation);
                require(read_all(reader, other, strict) == before, "another file differs", allocation);
                require(read_all(reader, file, strict) == expected, "the same file differs", allocation);
                if (!failed && allocation % 2 == 0) break;
            }
        }
    }
    return tried;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    long tried = 0;
    std::vector<Buffer> files;
    for (int i = 1; i < argc; ++i) {
        files.push_back(read(argv[i]));
        files.emplace_back(files.back().begin(), files.back().begin() + files.back().size() / 2);
    }
    for (const int threads : {1, 2}) {
        const int copies = 2 * threads - 1;
        for (size_t i = 0; i < files.size(); ++i) {
            const Buffer &file = files[i], &other = files[(i + 2) % files.size()];
            BatchDecoder fresh_small(specs(), threads, {}, true), fresh_large(specs(), threads, {}, true);
            const Result small = decode(fresh_small, other, false, 1),
                         large = decode(fresh_large, file, true, copies);
            for (long allocation = 0;; ++allocation, ++tried) {
                BatchDecoder decoder(specs(), threads, {}, true);
                decode(decoder, other, false, 1);
                const Result result = decode(decoder, file, true, copies, allocation);
                require(decode(decoder, other, false, 1) == small, "another photo differs", allocation);
                require(decode(decoder, file, true, copies) == large, "the same photo differs", allocation);
                if (!failed_one.exchange(false)) {
                    require(result == large, "nothing has failed, but the photo differs", allocation);
                    break;
                }
            }
        }
    }
    tried += try_reader(files);
    std::printf("%ld failing allocations\n", tried);
    return 0;
}
