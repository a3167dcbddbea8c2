// Times coefficient reading against libjpeg-turbo, in one process, in turns.
//
//     coefficients ROUNDS FILE...
//
// Prints one JSON object. Each variant reads each file once a round; of a file's times the median over the
// rounds counts, and their sum over the files is the result.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "cpu.h"
#include "jpeg/reader.h"

extern "C" {  // throughput/libjpeg.c
int libjpeg_read_coefficients(const unsigned char* file, unsigned long size);
long libjpeg_planes(const unsigned char* file, unsigned long size, int first, int last, short* planes,
                    long capacity);
}

using namespace freqvision;

namespace {

using Bytes8 = std::vector<uint8_t>;

// CPU time of this thread, which other programs hardly disturb.
double now_ms() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

// Takes rows as a pipeline would, and does nothing with them.
class NullSink : public RowSink {
  public:
    void row(int, int, const int16_t* blocks) override { sum += blocks[0]; }
    long sum = 0;
};

class Ours {
  public:
    // All coefficients into planes that stay allocated, as libjpeg's pool does.
    void planes(const Bytes8& file) {
        const ImageInfo& info = reader_.open(file.data(), file.size());
        int16_t* pointers[kMaxComponents] = {};
        for (int i = 0; i < info.component_count; ++i) {
            const std::size_t size =
                std::size_t{64} * info.components[i].blocks_high * info.components[i].blocks_wide;
            if (planes_[i].size() < size) planes_[i].resize(size);
            pointers[i] = planes_[i].data();
        }
        reader_.decode_planes(pointers, true);
    }

    // Row by row, transposed; `part` of each side, centred.
    void rows(const Bytes8& file, double part) {
        const ImageInfo& info = reader_.open(file.data(), file.size());
        RowRequest request;
        request.order = BlockOrder::transposed;
        const auto interval = [&](int size, int& begin, int& end) {
            begin = static_cast<int>(size * (1 - part) / 2);
            end = std::min(size, begin + static_cast<int>(size * part + 1));
        };
        for (int i = 0; i < info.component_count; ++i) {
            interval(info.components[i].blocks_high, request.ranges[i].row_begin, request.ranges[i].row_end);
            interval(info.components[i].blocks_wide, request.ranges[i].column_begin,
                     request.ranges[i].column_end);
        }
        reader_.decode(request, sink_, true);
    }

    // Whether libjpeg-turbo reads the same coefficients.
    bool agrees(const Bytes8& file) {
        planes(file);
        const ImageInfo& info = reader_.info();
        for (int i = 0; i < info.component_count; ++i) {
            const Component& component = info.components[i];
            const std::size_t size = std::size_t{64} * component.blocks_high * component.blocks_wide;
            std::vector<int16_t> theirs(size);
            if (libjpeg_planes(file.data(), file.size(), i, i + 1, theirs.data(), static_cast<long>(size)) !=
                static_cast<long>(size))
                return false;
            for (std::size_t k = 0; k < size; ++k)
                if (theirs[k] != static_cast<int16_t>(planes_[i][k] * component.quant[k % 64])) return false;
        }
        return true;
    }

    void header(const Bytes8& file) { reader_.open_header(file.data(), file.size()); }

  private:
    JpegReader reader_;
    NullSink sink_;
    std::vector<int16_t> planes_[kMaxComponents];
};

struct Variant {
    std::string name;
    std::function<void(const Bytes8&)> read;
    std::vector<std::vector<double>> times;  // by file, in rounds
};

double quantile(std::vector<double> values, double q) {
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(q * (values.size() - 1) + 0.5)];
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return std::fprintf(stderr, "usage: %s ROUNDS FILE...\n", argv[0]), 2;
    const int rounds = std::atoi(argv[1]);
    Ours ours;

    std::vector<Bytes8> files;
    std::size_t bytes = 0;
    for (int i = 2; i < argc; ++i) {
        std::ifstream stream(argv[i], std::ios::binary);
        Bytes8 file((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
        if (!ours.agrees(file)) return std::fprintf(stderr, "%s: the readers differ\n", argv[i]), 1;
        bytes += file.size();
        files.push_back(std::move(file));
    }

    std::vector<Variant> variants;
    variants.push_back(
        {"libjpeg-turbo", [](const Bytes8& f) { libjpeg_read_coefficients(f.data(), f.size()); }, {}});
    variants.push_back({"planes", [&](const Bytes8& f) { ours.planes(f); }, {}});
    variants.push_back({"rows", [&](const Bytes8& f) { ours.rows(f, 1); }, {}});
    variants.push_back({"rows, centre 7/8", [&](const Bytes8& f) { ours.rows(f, 0.875); }, {}});
    variants.push_back({"rows, centre 1/2", [&](const Bytes8& f) { ours.rows(f, 0.5); }, {}});
    variants.push_back({"header", [&](const Bytes8& f) { ours.header(f); }, {}});
    for (Variant& variant : variants) variant.times.resize(files.size());

    // A variant goes through all files before the next one does, so that its own code and memory are warm,
    // and not those of its rivals; rounds are short, so that a change of the machine's mood meets all alike.
    for (int round = 0; round < rounds; ++round) {
        for (std::size_t j = 0; j < variants.size(); ++j) {
            Variant& variant = variants[(j + round) % variants.size()];
            for (std::size_t i = 0; i < files.size(); ++i) {
                const double begin = now_ms();
                variant.read(files[i]);
                variant.times[i].push_back(now_ms() - begin);
            }
        }
    }

    const char* isas[] = {"baseline", "avx2", "avx512"};
    std::printf("{\"files\": %zu, \"bytes\": %zu, \"rounds\": %d, \"isa\": \"%s\", \"ms_per_file\": {",
                files.size(), bytes, rounds, isas[static_cast<int>(current_isa())]);
    for (const Variant& variant : variants) {
        double best = 0, low = 0, median = 0, high = 0;
        for (const auto& times : variant.times) {
            best += quantile(times, 0) / files.size();
            low += quantile(times, 0.25) / files.size();
            median += quantile(times, 0.5) / files.size();
            high += quantile(times, 0.75) / files.size();
        }
        std::printf("%s\"%s\": {\"median\": %.5f, \"best\": %.5f, \"q25\": %.5f, \"q75\": %.5f}",
                    &variant == &variants[0] ? "" : ", ", variant.name.c_str(), median, best, low, high);
    }
    std::printf("}}\n");
    return 0;
}
