// What the header of a JPEG file says.
#pragma once

#include <cstdint>

#include "jpeg/rows.h"

namespace freqvision {

enum class ColourModel { gray, ycbcr, rgb, cmyk, ycck, unknown };

inline const char* colour_model_name(ColourModel model) {
    switch (model) {
        case ColourModel::gray:
            return "gray";
        case ColourModel::ycbcr:
            return "YCbCr";
        case ColourModel::rgb:
            return "RGB";
        case ColourModel::cmyk:
            return "CMYK";
        case ColourModel::ycck:
            return "YCCK";
        case ColourModel::unknown:
            break;
    }
    return "unknown";
}

struct Component {
    uint8_t id = 0;
    int h = 1, v = 1;                      // sampling factors, 1 to 4
    int width = 0, height = 0;             // samples, without padding
    int blocks_wide = 0, blocks_high = 0;  // ceil(samples / 8): real blocks, without the padding of MCUs
    int quant_slot = 0;                    // 0 to 3
    bool has_quant = false;
    uint16_t quant[64] = {};      // natural order
    const float* step = nullptr;  // instead of quant, of a packed photo
    uint64_t stored = ~0ull;      // bit 8·u + v: this frequency may not be zero
};

struct ImageInfo {
    int width = 0, height = 0;
    int origin_y = 0, origin_x = 0;  // of the photo in the grid of blocks: not 0 in packed photos only
    int component_count = 0;
    Component components[kMaxComponents];
    int max_h = 1, max_v = 1;
    ColourModel colour_model = ColourModel::unknown;
    int orientation = 1;  // EXIF, 1 to 8
    bool progressive = false;
    int restart_interval = 0;  // MCUs of the first scan; 0 = none
};

// Bounds on what a file may make the reader do. Memory: the file's size, and 2 bytes for each sample of a
// multi-scan file, a few rows of blocks for others. Time: the number of blocks times the number of scans.
struct Limits {
    int64_t max_pixels = int64_t{1} << 28;
    int64_t max_bytes = int64_t{1} << 28;  // of the file
    int max_scans = 100;
};

}  // namespace freqvision
