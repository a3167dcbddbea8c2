// Photos → tensors, for any bytes whatever. Runs under libFuzzer (clang -fsanitize=fuzzer) and under
// driver.cpp.
//
// The last bytes of an input choose where it is cut into two photos, the specs and the views; files need no
// end, so that any JPEG is an input.
#include <cstdint>
#include <cstring>
#include <vector>

#include "../stress/common.h"
#include "cpu.h"
#include "packed/codec.h"
#include "pipeline/batch.h"

using namespace freqvision;
using namespace freqvision::test;

namespace {

constexpr uint8_t kGuard = 0xA5;
constexpr size_t kGuards = 64;
constexpr int kLargest = 48;  // side of an output

struct Choices {
    uint32_t cut;
    bool upright, whole;
    Isa isa;        // to compare with
    uint8_t views;  // of the photo, by each spec
    uint64_t seed;  // of specs and views
};

Choices choices_of(const uint8_t*& data, size_t& size) {
    Choices choices{};
    uint8_t bytes[14] = {};
    const size_t taken = std::min(size, sizeof bytes);
    size -= taken;
    std::memcpy(bytes, data + size, taken);
    std::memcpy(&choices.cut, bytes, 4);
    choices.upright = bytes[4] & 1;
    choices.whole = bytes[4] & 2;
    choices.isa = static_cast<Isa>(bytes[4] >> 2 & 1);
    choices.views = 1 + bytes[5] % 2;
    std::memcpy(&choices.seed, bytes + 6, 8);
    return choices;
}

struct Result {
    std::optional<ErrorKind> failure;
    std::vector<Buffer> outputs;
    bool operator==(const Result&) const = default;
};

// All views of a photo by both specs, chosen by a seed.
Result decode(BatchDecoder& decoder, const std::vector<OutputSpec>& specs, const uint8_t* data, size_t size,
              const Choices& choices) {
    Result result;
    decoder.open({Source{{}, data, size}});
    const BatchDecoder::Opened opened = decoder.opened()[0];
    if (opened.failure) {
        result.failure = opened.failure->error;
        decoder.close();
        return result;
    }
    require(opened.height > 0 && opened.width > 0, "a photo without a size");
    Random random(choices.seed);
    std::vector<Job> jobs;
    for (int spec = 0; spec < static_cast<int>(specs.size()); ++spec) {
        for (int view = 0; view < choices.views; ++view) {
            jobs.push_back({0, spec,
                            random_view(random, opened.height, opened.width, specs[spec].pixels(), kLargest),
                            choices.whole, nullptr});
            result.outputs.emplace_back(output_size(specs[spec], jobs.back().view) + kGuards, kGuard);
        }
    }
    for (size_t i = 0; i < jobs.size(); ++i) jobs[i].to = result.outputs[i].data();
    const std::optional<Failure> failure = decoder.decode(jobs)[0];
    decoder.close();
    for (const Buffer& output : result.outputs)
        for (size_t i = 0; i < kGuards; ++i)
            require(output[output.size() - 1 - i] == kGuard, "written beside an output");
    if (failure) {
        require(failure->kind == Failure::Kind::jpeg, "neither decoded nor damaged");
        require(failure->offset <= size, "an error beyond the end of the file");
        result = {failure->error, {}};
    }
    return result;
}

// A packed photo with a checksum that fits, so that what the checksum guards is met, too.
Buffer sealed(const uint8_t* data, size_t size) {
    constexpr size_t kHeader = 36, kPlace = 28;  // see packed/format.h
    Buffer bytes(data, data + size);
    if (size < kHeader || !is_packed(data, size)) return bytes;
    const uint64_t sum = checksum(data + kHeader, size - kHeader);
    std::memcpy(&bytes[kPlace], &sum, sizeof sum);
    return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const Choices choices = choices_of(data, size);
    const size_t cut = size ? choices.cut % (size + 1) : 0;
    Random random(choices.seed);
    const std::vector<OutputSpec> specs = {random_spec(random), random_spec(random)};
    Limits limits;
    limits.max_pixels = 1 << 16;

    set_isa(best_isa());
    BatchDecoder decoder(specs, 1, limits, choices.upright), fresh(specs, 1, limits, choices.upright);
    // Nothing of a photo may show in the next.
    const Buffer before = sealed(data, cut), photo = sealed(data + cut, size - cut);
    decode(decoder, specs, before.data(), before.size(), choices);
    const Result second = decode(decoder, specs, photo.data(), photo.size(), choices);
    const Result alone = decode(fresh, specs, photo.data(), photo.size(), choices);
    require(alone == second, "a photo differs after another");

    if (!set_isa(choices.isa)) return 0;
    BatchDecoder other(specs, 1, limits, choices.upright);
    require(decode(other, specs, photo.data(), photo.size(), choices).failure == second.failure,
            "instruction sets have different verdicts");
    return 0;
}
