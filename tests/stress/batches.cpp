// Decodes random batches of real, cut and missing files on many threads, and checks what must always hold:
// the same result as one thread gives, nothing written beside it, and memory, descriptors and threads that
// stay where they were after a tenth of the decodes. See run.py.
//
//     batches DECODES SEED FILE...
//
// With the name of a file in the environment's FREQVISION_RESULTS it also writes there what one thread gave,
// for comparison with another machine's: of each decode the data type (-1: it failed) and the number of
// bytes, both int32, then the bytes. See aarch64.py.
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "common.h"
#include "cpu.h"
#include "pipeline/batch.h"

using namespace freqvision;
using namespace freqvision::test;

namespace {

constexpr int kThreads = 4;
constexpr int kBatch = 16;
constexpr uint8_t kGuard = 0xA5;

// What the process holds between two rounds, when there is no decoder.
struct Held {
    double allocated, resident;  // megabytes: asked for and not freed; in memory
    long descriptors, threads;
};

Held held() {
    // Without what the allocator keeps for later: each round has new threads, which scatter over its arenas.
    malloc_trim(0);
    const struct mallinfo2 info = mallinfo2();
    std::ifstream file("/proc/self/statm");
    long total = 0, resident = 0;
    file >> total >> resident;
    const auto count = [](const char* folder) {
        return static_cast<long>(std::distance(std::filesystem::directory_iterator(folder), {}));
    };
    return {static_cast<double>(info.uordblks + info.hblkhd) / (1 << 20),
            static_cast<double>(resident) * sysconf(_SC_PAGESIZE) / (1 << 20), count("/proc/self/fd"),
            count("/proc/self/task")};
}

void print(long decodes, const Held& held) {
    std::printf("%ld decodes: %.1f MB allocated, %.1f MB resident, %ld descriptors, %ld threads\n", decodes,
                held.allocated, held.resident, held.descriptors, held.threads);
    std::fflush(stdout);
}

// A decoder's results, each with guard bytes behind it.
struct Results {
    std::vector<Buffer> memory;
    std::vector<std::optional<Failure>> failures;
};

Results decode(BatchDecoder& decoder, const std::vector<OutputSpec>& specs,
               const std::vector<Source>& sources, std::vector<Job> jobs) {
    Results results;
    for (Job& job : jobs) {
        results.memory.emplace_back(output_size(specs[job.spec], job.view) + 64, kGuard);
        job.to = results.memory.back().data();
    }
    decoder.open(sources);
    results.failures = decoder.decode(jobs);
    for (size_t i = 0; i < jobs.size(); ++i)
        for (size_t k = 0; k < 64; ++k)
            require(results.memory[i][results.memory[i].size() - 64 + k] == kGuard,
                    "written beside the output");
    decoder.close();
    return results;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    // With an arena for each of many threads the allocator keeps what it likes: 78 to 178 MB where 27 are
    // asked for.
    mallopt(M_ARENA_MAX, 1);
    const long decodes = std::atol(argv[1]);
    Random random(std::strtoull(argv[2], nullptr, 10));
    std::vector<Buffer> files;
    for (int i = 3; i < argc; ++i) files.push_back(read(argv[i]));

    std::ofstream results;
    if (const char* path = std::getenv("FREQVISION_RESULTS")) results.open(path, std::ios::binary);

    std::optional<Held> warm;
    long done = 0;
    for (long round = 0, next = (decodes + 9) / 10; done < decodes; ++round) {
        if (done >= next) {
            const Held now = held();
            print(done, now);
            if (!warm) warm = now;
            next += (decodes + 9) / 10;
        }
        // Any of them, so that the numbers drawn are the same on every machine; one that is lacking is
        // refused.
        set_isa(static_cast<Isa>(number(random, 0, static_cast<int>(Isa::avx512))));
        std::vector<OutputSpec> specs{random_spec(random)};
        if (number(random, 0, 1)) specs.push_back(random_spec(random));
        Limits limits;
        limits.max_pixels = 1 << 24;
        const bool upright = number(random, 0, 1), lenient = number(random, 0, 3) == 0;
        BatchDecoder many(specs, kThreads, limits, upright, lenient), one(specs, 1, limits, upright, lenient);
        for (int repeat = 0; repeat < 20 && done < decodes; ++repeat) {
            std::vector<Source> sources;
            for (int i = 0; i < kBatch; ++i) {
                const int which = number(random, 0, static_cast<int>(files.size()) - 1);
                if (number(random, 0, 3) == 0) {
                    sources.push_back({argv[3 + which], nullptr, 0});
                } else {
                    const Buffer& file = files[which];
                    const int length = static_cast<int>(file.size());
                    const bool cut = number(random, 0, 15) == 0;
                    sources.push_back(
                        {{}, file.data(), static_cast<size_t>(cut ? number(random, 0, length) : length)});
                }
            }
            many.open(sources);
            std::vector<Job> jobs;
            for (int i = 0; i < kBatch; ++i) {
                const BatchDecoder::Opened& opened = many.opened()[i];
                if (opened.failure) continue;
                const bool whole = number(random, 0, 1);
                for (int views = number(random, 1, 3); views > 0; --views) {
                    const int spec = number(random, 0, static_cast<int>(specs.size()) - 1);
                    jobs.push_back({i, spec,
                                    random_view(random, opened.height, opened.width, specs[spec].pixels()),
                                    whole, nullptr});
                    jobs.back().remember = i % 2;
                }
            }
            many.close();
            const Results expected = decode(one, specs, sources, jobs),
                          actual = decode(many, specs, sources, jobs);
            for (int i = 0; i < kBatch; ++i)
                require(expected.failures[i].has_value() == actual.failures[i].has_value(),
                        "threads change what fails");
            for (size_t i = 0; i < jobs.size(); ++i) {
                const std::optional<Failure>& failure = expected.failures[jobs[i].source];
                const bool failed = failure && failure->kind != Failure::Kind::damage;
                if (!failed) require(expected.memory[i] == actual.memory[i], "threads change the result");
                if (!results.is_open()) continue;
                const DataType type = specs[jobs[i].spec].type;
                const int32_t head[] = {
                    failed ? -1 : static_cast<int32_t>(type),
                    failed ? 0 : static_cast<int32_t>(output_size(specs[jobs[i].spec], jobs[i].view))};
                results.write(reinterpret_cast<const char*>(head), sizeof head);
                results.write(reinterpret_cast<const char*>(expected.memory[i].data()), head[1]);
            }
            done += 2 * kBatch;
        }
    }
    const Held end = held();
    print(done, end);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which keep what is freed
    if (warm &&
        !results.is_open()) {  // an emulator that runs other machines' code keeps its translations too
        require(end.allocated < warm->allocated + 0.1, "allocated memory grows");
        require(end.resident < warm->resident + 8, "resident memory grows");
        require(end.descriptors == warm->descriptors && end.threads == warm->threads,
                "descriptors or threads are left over");
    }
#endif
    return 0;
}
