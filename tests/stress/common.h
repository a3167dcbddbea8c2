// What the native tests share: random specs and views, files, and a require that aborts.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "pipeline/batch.h"

namespace freqvision::test {

using Buffer = std::vector<uint8_t>;

inline void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

inline Buffer read(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

using Random = std::mt19937_64;
inline int number(Random& random, int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
}

inline OutputSpec random_spec(Random& random) {
    OutputSpec spec;
    spec.filter = number(random, 0, 1) ? Filter::bilinear : Filter::bicubic;
    if (number(random, 0, 1)) {
        spec.matrix.assign(number(random, 0, 3) ? 3 : 1, {1, 0, 0});
        if (spec.matrix.size() == 3)
            spec.matrix = {{1, 0, 1.402f}, {1, -0.34414f, -0.71414f}, {1, 1.772f, 0}};
        spec.gain.assign(spec.depth(), 1.0f);
        spec.bias.assign(spec.depth(), 0.0f);
        spec.fill.assign(spec.depth(), 7.0f);
        spec.interleaved = number(random, 0, 1);
        const int type = number(random, 0, 3);
        spec.type = type == 3 ? DataType::uint8 : static_cast<DataType>(type);
        return spec;
    }
    const int share = number(random, 1, 8);
    for (int channel = 0; channel < 192; ++channel)
        if (number(random, 1, 8) <= share || channel == 0) spec.channels.push_back(channel);
    spec.gain.assign(spec.channels.size(), 0.1f);
    spec.bias.assign(spec.channels.size(), 1.0f);
    spec.type = static_cast<DataType>(number(random, 0, 3));
    return spec;
}

inline View random_view(Random& random, int height, int width, bool pixels, int most = 300) {
    View view{};
    view.box_top = number(random, 0, height - 1);
    view.box_left = number(random, 0, width - 1);
    view.box_height = number(random, 1, height - view.box_top);
    view.box_width = number(random, 1, width - view.box_left);
    view.height = number(random, 1, most);
    view.width = number(random, 1, most);
    view.crop_top = number(random, -40, view.height);
    view.crop_left = number(random, -40, view.width);
    view.crop_height = pixels ? number(random, 1, most) : 8 * number(random, 1, most / 8);
    view.crop_width = pixels ? number(random, 1, most) : 8 * number(random, 1, most / 8);
    view.flip = number(random, 0, 1);
    return view;
}

inline size_t output_size(const OutputSpec& spec, const View& view) {
    const int side = spec.pixels() ? 1 : 8;
    return spec.depth() * (view.crop_height / side) * (view.crop_width / side) * size_of(spec.type);
}

}  // namespace freqvision::test
