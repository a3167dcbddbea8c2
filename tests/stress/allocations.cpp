// Fails one allocation of a batch, each in turn; afterwards the decoder must give what a fresh one gives.
// See run.py.
//
//     allocations FILE...
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <new>
#include <vector>

#include "pipeline/batch.h"

using namespace freqvision;

namespace {

std::atomic<long> countdown{-1};  // the allocation that fails; negative: none does
std::atomic<bool> failed_one{false};

void* allocate(std::size_t size) {
    if (countdown.load() >= 0 && countdown.fetch_sub(1) == 0) {
        failed_one = true;
        throw std::bad_alloc();
    }
    if (void* memory = std::malloc(size ? size : 1)) return memory;
    throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

void require(bool condition, const char* what, long allocation) {
    if (condition) return;
    std::fprintf(stderr, "broken after failing allocation %ld: %s\n", allocation, what);
    std::abort();
}

using Buffer = std::vector<uint8_t>;

Buffer read(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

OutputSpec spec() {
    OutputSpec spec;
    for (int i = 0; i < 192; ++i) spec.channels.push_back(i);
    spec.gain.assign(192, 0.1f);
    spec.bias.assign(192, 1.0f);
    return spec;
}

struct Result {
    bool failed = false;
    std::vector<Buffer> memory;
    bool operator==(const Result&) const = default;
};

// `copies` of a file; the allocation that counts down to zero fails.
Result decode(BatchDecoder& decoder, const Buffer& file, bool large, int copies, long fail = -1) {
    const std::vector<Source> sources(copies, Source{{}, file.data(), file.size()});
    std::vector<View> views(copies);
    std::vector<void*> outputs(copies);
    Result result;
    countdown = fail;
    try {
        decoder.open(sources);
        countdown.exchange(-1);
        for (int i = 0; i < copies; ++i) {
            const BatchDecoder::Opened opened = decoder.opened()[i];
            result.memory.emplace_back();
            if (opened.failure) {
                result.failed = true;
                continue;
            }
            const int side = large ? 200 : 64;
            views[i] = {0, 0, opened.height, opened.width, side, side, -4, 0, side, side, large};
            result.memory[i].resize(size_t{192} * (side / 8) * (side / 8) * 4, 0xA5);
            outputs[i] = result.memory[i].data();
        }
        countdown = fail;
        for (const auto& failure : decoder.decode(views, outputs)) result.failed |= failure.has_value();
    } catch (const std::bad_alloc&) {
        result.failed = true;
    }
    countdown = -1;
    decoder.close();
    return result;
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
            BatchDecoder fresh_small(spec(), threads, {}), fresh_large(spec(), threads, {});
            const Result small = decode(fresh_small, other, false, 1),
                         large = decode(fresh_large, file, true, copies);
            for (long allocation = 0;; ++allocation, ++tried) {
                BatchDecoder decoder(spec(), threads, {});
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
    std::printf("%ld failing allocations\n", tried);
    return 0;
}
