#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "packed/codec.h"
#include "packed/format.h"

namespace freqvision {
namespace {

template <class Number>
void append(std::vector<uint8_t>& to, Number value) {
    uint8_t bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);  // of a little-endian machine, as all that this builds on are
    to.insert(to.end(), bytes, bytes + sizeof value);
}

// Rows of int8 for each row of blocks and frequency, and what does not fit.
std::vector<uint8_t> rows_of(const PackedImage& image, int number) {
    const Component& shape = image.header.info.components[number];
    const PackedComponent& component = image.header.components[number];
    const size_t high = shape.blocks_high, wide = shape.blocks_wide;
    std::vector<uint8_t> counts, rows;
    std::vector<int16_t> escapes;
    rows.reserve(high * wide * component.frequencies);
    for (size_t row = 0; row < high; ++row) {
        append(counts, static_cast<uint32_t>(escapes.size()));
        for (int k = 0; k < component.frequencies; ++k) {
            uint16_t left = 0;
            for (size_t column = 0; column < wide; ++column) {
                const size_t block = row * wide + column;
                const int16_t* blocks = image.blocks[number];
                const auto value =
                    static_cast<uint16_t>(blocks ? blocks[64 * block + component.index[k]]
                                                 : image.planes[number][k * high * wide + block]);
                uint16_t stored = value;
                if (component.index[k] == 0) {
                    stored = static_cast<uint16_t>(value - left);
                    left = value;
                }
                const auto number16 = static_cast<int16_t>(stored);
                if (image.header.exact && (number16 <= -128 || number16 > 127)) {
                    escapes.push_back(number16);
                    rows.push_back(0x80);
                } else {
                    rows.push_back(static_cast<uint8_t>(stored));
                }
            }
        }
    }
    if (!image.header.exact) return rows;
    append(counts, static_cast<uint32_t>(escapes.size()));
    counts.insert(counts.end(), rows.begin(), rows.end());
    for (int16_t value : escapes) append(counts, value);
    return counts;
}

}  // namespace

void set_geometry(ImageInfo& info) {
    info.max_h = info.max_v = 1;
    for (int i = 0; i < info.component_count; ++i) {
        info.max_h = std::max(info.max_h, info.components[i].h);
        info.max_v = std::max(info.max_v, info.components[i].v);
    }
    const auto share = [](int64_t side, int factor, int largest) {
        return static_cast<int>((side * factor + largest - 1) / largest);
    };
    for (int i = 0; i < info.component_count; ++i) {
        Component& component = info.components[i];
        component.width = share(info.width, component.h, info.max_h);
        component.height = share(info.height, component.v, info.max_v);
        component.blocks_wide = share(component.width, 1, 8);
        component.blocks_high = share(component.height, 1, 8);
    }
}

std::vector<uint8_t> pack(const PackedImage& image, int level) {
    const PackedHeader& header = image.header;
    std::vector<uint8_t> body, data;
    size_t total = 0;
    for (int i = 0; i < header.info.component_count; ++i) {
        const PackedComponent& component = header.components[i];
        const std::vector<uint8_t> raw = rows_of(image, i);
        if (raw.size() > INT32_MAX) throw std::length_error("too large to be packed");
        total += raw.size();
        const std::vector<uint8_t> packed = compress(header.codec, raw, level);
        const Component& shape = header.info.components[i];
        for (int value : {shape.h, shape.v, component.frequencies, 0})
            body.push_back(static_cast<uint8_t>(value));
        append(body, static_cast<uint32_t>(packed.size()));
        append(body, static_cast<uint32_t>(raw.size()));
        body.insert(body.end(), component.index, component.index + component.frequencies);
        for (int k = 0; k < component.frequencies; ++k) append(body, component.step[component.index[k]]);
        data.insert(data.end(), packed.begin(), packed.end());
    }
    body.insert(body.end(), data.begin(), data.end());
    if (header.codec == Codec::zstd && claims_too_much(total, body.size())) {
        PackedImage other = image;
        other.header.codec = Codec::lz4;
        return pack(other, 9);
    }

    std::vector<uint8_t> photo{'F', 'Q', 'P', 'K', 1};
    photo.push_back(static_cast<uint8_t>(header.codec));
    photo.push_back(header.exact);
    photo.push_back(static_cast<uint8_t>(header.info.component_count));
    for (int side : {header.info.width, header.info.height, header.source_width, header.source_height})
        append(photo, static_cast<uint32_t>(side));
    photo.push_back(static_cast<uint8_t>(header.info.orientation));
    photo.push_back(static_cast<uint8_t>(header.info.colour_model));
    append(photo, uint16_t{0});
    append(photo, checksum(body.data(), body.size()));
    photo.insert(photo.end(), body.begin(), body.end());
    return photo;
}

}  // namespace freqvision
