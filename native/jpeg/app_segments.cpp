// JFIF, EXIF and Adobe segments: colour model and orientation.
#include <cstring>

#include "jpeg/markers.h"

namespace freqvision {

namespace {

// Orientation (tag 0x0112) in the first directory of a TIFF structure; 0 if there is none.
int exif_orientation(const uint8_t* tiff, std::size_t size) {
    if (size < 8) return 0;
    const bool little = tiff[0] == 'I' && tiff[1] == 'I';
    if (!little && !(tiff[0] == 'M' && tiff[1] == 'M')) return 0;
    const auto u16 = [&](std::size_t at) {
        return little ? tiff[at] | tiff[at + 1] << 8 : tiff[at] << 8 | tiff[at + 1];
    };
    const auto u32 = [&](std::size_t at) {
        const auto a = static_cast<uint32_t>(u16(at)), b = static_cast<uint32_t>(u16(at + 2));
        return little ? a | b << 16 : a << 16 | b;
    };
    if (u16(2) != 42) return 0;
    const std::size_t directory = u32(4);
    if (directory > size - 2) return 0;
    const int entries = u16(directory);
    for (int i = 0; i < entries; ++i) {
        const std::size_t at = directory + 2 + std::size_t{12} * i;
        if (at + 12 > size) return 0;
        constexpr int kOrientation = 0x0112, kByte = 1, kShort = 3, kLong = 4;
        const int type = u16(at + 2);
        if (u16(at) != kOrientation || u32(at + 4) != 1) continue;
        if (type != kByte && type != kShort && type != kLong) continue;
        const uint32_t value = type == kByte    ? tiff[at + 8]
                               : type == kShort ? static_cast<uint32_t>(u16(at + 8))
                                                : u32(at + 8);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 0;
    }
    return 0;
}

}  // namespace

void AppSegments::read(Bytes file, const Segment& segment) {
    const uint8_t* payload = file.data + segment.payload;
    const auto begins = [&](const char* name, std::size_t length, std::size_t least) {
        return segment.size >= least && std::memcmp(payload, name, length) == 0;
    };
    if (segment.marker == marker::kApp0 && begins("JFIF\0", 5, 14)) {
        jfif_ = true;
    } else if (segment.marker == marker::kApp14 && begins("Adobe", 5, 12)) {
        adobe_ = true;
        adobe_transform_ = payload[11];
    } else if (segment.marker == marker::kApp1 && !orientation_ && begins("Exif\0", 5, 6)) {
        orientation_ = exif_orientation(payload + 6, segment.size - 6);
    }
}

// There is no standard for this; the rules are libjpeg's, so that colours come out as everywhere else.
ColourModel AppSegments::colour_model(const ImageInfo& info) const {
    const auto ids_are = [&](int a, int b, int c) {
        return info.components[0].id == a && info.components[1].id == b && info.components[2].id == c;
    };
    switch (info.component_count) {
        case 1:
            return ColourModel::gray;
        case 3:
            if (jfif_) return ColourModel::ycbcr;
            if (adobe_) return adobe_transform_ == 0 ? ColourModel::rgb : ColourModel::ycbcr;
            return ids_are('R', 'G', 'B') ? ColourModel::rgb : ColourModel::ycbcr;
        case 4:
            return adobe_ && adobe_transform_ != 0 ? ColourModel::ycck : ColourModel::cmyk;
        default:
            return ColourModel::unknown;
    }
}

}  // namespace freqvision
