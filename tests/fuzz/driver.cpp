// Runs a fuzz target over files, and then over mutations of them, where libFuzzer is not at hand.
//
//     driver SECONDS SEED FOLDER_FOR_CRASHES FILE...
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<uint8_t>;
using Clock = std::chrono::steady_clock;

Input current;
std::string crash_path;
constexpr double kSlow = 20;  // seconds; with sanitizers

void save_current(int signal) {
    std::ofstream(crash_path, std::ios::binary)
        .write(reinterpret_cast<const char*>(current.data()), current.size());
    std::fprintf(stderr, "signal %d; the input is in %s\n", signal, crash_path.c_str());
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void run(Input input) {
    current = std::move(input);
    // A buffer of just that size, so that the sanitizer sees the first byte too many.
    const auto begin = Clock::now();
    LLVMFuzzerTestOneInput(current.data(), current.size());
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (seconds > kSlow) {
        std::fprintf(stderr, "slow: %.1f s\n", seconds);
        std::abort();
    }
}

class Mutator {
  public:
    explicit Mutator(uint64_t seed) : random_(seed) {}

    std::size_t below(std::size_t limit) { return limit ? random_() % limit : 0; }

    Input mutate(Input input, const Input& other) {
        // Most of what matters stands at the beginning.
        const std::size_t count = 1 + below(below(2) ? 3 : 30);
        for (std::size_t i = 0; i < count; ++i) {
            if (input.empty()) return input;
            const std::size_t reach = below(2) ? std::min<std::size_t>(input.size(), 800) : input.size();
            const std::size_t at = below(reach), length = std::min(1 + below(64), input.size() - at);
            switch (below(9)) {
                case 0:
                    input[at] ^= static_cast<uint8_t>(1 << below(8));
                    break;
                case 1:
                    input[at] = static_cast<uint8_t>(random_());
                    break;
                case 2:
                    input[at] = kEdges[below(std::size(kEdges))];
                    break;
                case 3:
                    input.erase(input.begin() + at, input.begin() + at + length);
                    break;
                case 4: {
                    const Input piece(input.begin() + at, input.begin() + at + length);
                    const std::size_t target = below(input.size());
                    input.insert(input.begin() + target, piece.begin(), piece.end());
                    break;
                }
                case 5:
                    input.resize(below(input.size()) + 1);
                    break;
                case 6: {
                    const uint8_t marker[] = {0xFF, kMarkers[below(std::size(kMarkers))]};
                    input.insert(input.begin() + at, std::begin(marker), std::end(marker));
                    break;
                }
                case 7:
                    if (at + 1 < input.size() && input[at] == 0xFF)
                        input[at + 1] = kMarkers[below(std::size(kMarkers))];
                    break;
                default:
                    if (!other.empty() && below(4) == 0) {
                        const std::size_t from = below(other.size());
                        input.resize(at);
                        input.insert(input.end(), other.begin() + from, other.end());
                    }
            }
        }
        return input;
    }

  private:
    static constexpr uint8_t kEdges[] = {0, 1, 2, 3, 4, 8, 15, 16, 63, 64, 127, 128, 254, 255};
    static constexpr uint8_t kMarkers[] = {0xC0, 0xC1, 0xC2, 0xC4, 0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6,
                                           0xD7, 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE1, 0xFE, 0xFF, 0x00};
    std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4)
        return std::fprintf(stderr, "usage: %s SECONDS SEED FOLDER_FOR_CRASHES FILE...\n", argv[0]), 2;
    const double seconds = std::atof(argv[1]);
    const uint64_t seed = std::strtoull(argv[2], nullptr, 10);
    crash_path = std::string(argv[3]) + "/crash-" + argv[2] + ".jpg";
    std::signal(SIGABRT, save_current);
    std::signal(SIGSEGV, save_current);

    std::vector<Input> seeds;
    for (int i = 4; i < argc; ++i) {
        std::ifstream file(argv[i], std::ios::binary);
        seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        run(seeds.back());
    }
    std::printf("%zu files passed\n", seeds.size());
    // Small ones are mutated much more often for the same time.
    std::sort(seeds.begin(), seeds.end(), [](const Input& a, const Input& b) { return a.size() < b.size(); });

    Mutator mutator(seed);
    uint64_t runs = 0;
    const auto begin = Clock::now();
    while (!seeds.empty() && std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
        const std::size_t pick = std::min(mutator.below(seeds.size()), mutator.below(seeds.size()));
        run(mutator.mutate(seeds[pick], seeds[mutator.below(seeds.size())]));
        ++runs;
    }
    std::printf("%llu mutations passed (seed %llu)\n", static_cast<unsigned long long>(runs),
                static_cast<unsigned long long>(seed));
    return 0;
}
