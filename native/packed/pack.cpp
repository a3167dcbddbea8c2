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

// A line of one frequency's values, DC as differences.
void line_of(const PackedImage& image, int number, size_t row, int k, std::vector<int16_t>& line) {
    const Component& shape = image.header.info.components[number];
    const int index = image.header.components[number].index[k];
    const size_t wide = shape.blocks_wide, plane = wide * shape.blocks_high;
    line.resize(wide + 1);
    line[wide] = 0;  // to make a pair
    uint16_t left = 0;
    for (size_t column = 0; column < wide; ++column) {
        const size_t block = row * wide + column;
        const int16_t* blocks = image.blocks[number];
        const auto value = static_cast<uint16_t>(blocks ? blocks[64 * block + index]
                                                        : image.planes[number][k * plane + block]);
        line[column] = static_cast<int16_t>(value);
        if (index != 0) continue;
        line[column] = static_cast<int16_t>(value - left);
        if (!image.header.exact) line[column] = static_cast<int8_t>(line[column]);
        left = value;
    }
}

// LZ4 does not code short values by fewer bits, so those of four bits are made for it; zstd does better
// itself. A frequency has four bits if less than one of so many values does not fit: each of these costs
// time.
constexpr size_t kFitting = 12;

void choose_halved(PackedImage& image, int number) {
    PackedComponent& component = image.header.components[number];
    const Component& shape = image.header.info.components[number];
    if (image.header.codec != Codec::lz4) return;
    std::vector<int16_t> line;
    for (int k = 0; k < component.frequencies; ++k) {
        size_t escapes = 0;
        for (int row = 0; row < shape.blocks_high; ++row) {
            line_of(image, number, row, k, line);
            escapes += std::count_if(line.begin(), line.end(), [](int x) { return x < -7 || x > 7; });
        }
        if (kFitting * escapes < size_t{1} * shape.blocks_high * shape.blocks_wide)
            component.halved |= uint64_t{1} << component.index[k];
    }
}

// The lines of all rows of blocks, and what does not fit in them.
std::vector<uint8_t> rows_of(const PackedImage& image, int number) {
    const Component& shape = image.header.info.components[number];
    const PackedComponent& component = image.header.components[number];
    const size_t high = shape.blocks_high, wide = shape.blocks_wide;
    std::vector<uint8_t> rows(3 * high), low, upper;
    std::vector<int16_t> line;
    const auto fitting = [&](int16_t value, int least) {
        if (value > least && value < -least) return value;
        if (least == -128 && !image.header.exact) return value;
        low.push_back(static_cast<uint8_t>(value));
        if (image.header.exact) upper.push_back(static_cast<uint8_t>(value >> 8));
        return static_cast<int16_t>(least);
    };
    for (size_t row = 0; row < high; ++row) {
        const size_t before = low.size();
        for (int k = 0; k < component.frequencies; ++k) {
            line_of(image, number, row, k, line);
            const size_t size = line_size(component, k, wide);
            const bool halved = component.halved >> component.index[k] & 1;
            for (size_t i = 0; i < size; ++i) {
                const int first = fitting(line[i], halved ? -8 : -128);
                const int second = halved ? fitting(line[size + i < wide ? size + i : wide], -8) : 0;
                rows.push_back(static_cast<uint8_t>(halved ? (first & 15) | second << 4 : first));
            }
        }
        const size_t count = low.size() - before;
        for (int byte = 0; byte < 3; ++byte)
            rows[byte * high + row] = static_cast<uint8_t>(count >> 8 * byte);
    }
    rows.insert(rows.end(), low.begin(), low.end());
    rows.insert(rows.end(), upper.begin(), upper.end());
    return rows;
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

std::vector<uint8_t> pack(PackedImage image, int level) {
    const PackedHeader& header = image.header;
    std::vector<uint8_t> body, data;
    size_t total = 0;
    for (int i = 0; i < header.info.component_count; ++i) {
        choose_halved(image, i);
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
        for (int k = 0; k < component.frequencies; ++k)
            body.push_back(component.index[k] | (component.halved >> component.index[k] & 1) << 7);
        for (int k = 0; k < component.frequencies; ++k) append(body, component.step[component.index[k]]);
        data.insert(data.end(), packed.begin(), packed.end());
    }
    body.insert(body.end(), data.begin(), data.end());
    if (header.codec == Codec::zstd && claims_too_much(total, body.size())) {
        image.header.codec = Codec::lz4;
        return pack(image, 9);
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
