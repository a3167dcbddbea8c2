#include <algorithm>
#include <bit>
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

// The values of one frequency in a row of blocks; of DC the differences, from 0 in columns that `restart`
// divides.
void line_of(const PackedImage& image, int number, size_t row, int k, size_t restart,
             std::vector<int16_t>& line) {
    const Component& shape = image.header.info.components[number];
    const int index = image.header.components[number].index[k];
    const size_t wide = shape.blocks_wide, plane = wide * shape.blocks_high;
    const int16_t* blocks = image.blocks[number];
    line.resize(wide);
    uint16_t left = 0;
    for (size_t column = 0; column < wide; ++column) {
        const size_t block = row * wide + column;
        const auto value = static_cast<uint16_t>(blocks ? blocks[64 * block + index]
                                                        : image.planes[number][k * plane + block]);
        if (column % restart == 0) left = 0;
        line[column] = static_cast<int16_t>(index == 0 ? value - left : value);
        left = value;
    }
}

// For zstd: the lines of all rows of blocks, and what does not fit in them.
std::vector<uint8_t> lines_of(const PackedImage& image, int number) {
    const Component& shape = image.header.info.components[number];
    const size_t high = shape.blocks_high, wide = shape.blocks_wide;
    std::vector<uint8_t> lines(3 * high), low, upper;
    std::vector<int16_t> line;
    for (size_t row = 0; row < high; ++row) {
        const size_t before = low.size();
        for (int k = 0; k < image.header.components[number].frequencies; ++k) {
            line_of(image, number, row, k, wide, line);
            for (int16_t value : line) {
                const bool fits = !image.header.exact || (value > -128 && value < 128);
                lines.push_back(static_cast<uint8_t>(fits ? value : -128));
                if (fits) continue;
                low.push_back(static_cast<uint8_t>(value));
                upper.push_back(static_cast<uint8_t>(value >> 8));
            }
        }
        const size_t count = low.size() - before;
        for (int byte = 0; byte < 3; ++byte)
            lines[byte * high + row] = static_cast<uint8_t>(count >> 8 * byte);
    }
    lines.insert(lines.end(), low.begin(), low.end());
    lines.insert(lines.end(), upper.begin(), upper.end());
    return lines;
}

std::vector<uint8_t> chunks_of(const PackedImage& image, int number) {
    const Component& shape = image.header.info.components[number];
    const int frequencies = image.header.components[number].frequencies;
    const size_t high = shape.blocks_high, wide = shape.blocks_wide, across = chunks_in(wide);
    std::vector<uint8_t> sizes, chunks;
    std::vector<std::vector<int16_t>> lines(frequencies);
    for (size_t chunk = 0; chunk < high * across; ++chunk) {
        const size_t begin = chunk % across * kChunk, columns = std::min(kChunk, wide - begin);
        const size_t at = chunks.size(), size = bits_size(columns);
        chunks.resize(at + widths_size(frequencies));
        for (int k = 0; k < frequencies; ++k) {
            if (begin == 0) line_of(image, number, chunk / across, k, kChunk, lines[k]);
            const int16_t* values = lines[k].data() + begin;
            int width = 0;  // of two's complement, where only 0 has none
            for (size_t i = 0; i < columns; ++i) {
                const auto magnitude = static_cast<unsigned>(values[i] < 0 ? ~values[i] : values[i]);
                if (values[i] != 0) width = std::max<int>(width, std::bit_width(magnitude) + 1);
            }
            if (width == 15) width = 16;
            chunks[at + k / 2] |= std::min(width, 15) << k % 2 * 4;
            const size_t bits = chunks.size();
            chunks.resize(bits + width * size);
            for (int bit = 0; bit < width; ++bit)
                for (size_t i = 0; i < columns; ++i)
                    chunks[bits + bit * size + i / 8] |= (values[i] >> bit & 1) << i % 8;
        }
        append(sizes, static_cast<uint16_t>(chunks.size() - at));
    }
    sizes.insert(sizes.end(), chunks.begin(), chunks.end());
    return sizes;
}

// LZ4 is for what it makes smaller by at least one of so many bytes: all else is read faster as it is.
constexpr size_t kWorthwhile = 5;

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
        component.width = share(info.origin_x + info.width, component.h, info.max_h);
        component.height = share(info.origin_y + info.height, component.v, info.max_v);
        component.blocks_wide = share(component.width, 1, 8);
        component.blocks_high = share(component.height, 1, 8);
    }
}

std::vector<uint8_t> pack(PackedImage image, int level) {
    const PackedHeader& header = image.header;
    std::vector<uint8_t> body, data;
    size_t values = 0;
    for (int i = 0; i < header.info.component_count; ++i) {
        const PackedComponent& component = header.components[i];
        const Component& shape = header.info.components[i];
        const bool lines = header.codec == Codec::zstd;
        const std::vector<uint8_t> raw = lines ? lines_of(image, i) : chunks_of(image, i);
        if (raw.size() > INT32_MAX) throw std::length_error("too large to be packed");
        values += size_t{1} * shape.blocks_high * shape.blocks_wide * component.frequencies;
        std::vector<uint8_t> packed = compress(header.codec, raw, level);
        if (!lines && packed.size() > raw.size() - raw.size() / kWorthwhile) packed = raw;
        for (int value : {shape.h, shape.v, component.frequencies, 0})
            body.push_back(static_cast<uint8_t>(value));
        append(body, static_cast<uint32_t>(packed.size()));
        append(body, static_cast<uint32_t>(raw.size()));
        body.insert(body.end(), component.index, component.index + component.frequencies);
        for (int k = 0; k < component.frequencies; ++k) append(body, component.step[component.index[k]]);
        data.insert(data.end(), packed.begin(), packed.end());
    }
    body.insert(body.end(), data.begin(), data.end());
    if (header.codec != Codec::none && claims_too_much(values, body.size())) {
        image.header.codec = Codec::none;
        return pack(image, level);
    }

    std::vector<uint8_t> photo{'F', 'Q', 'P', 'K', 1};
    photo.push_back(static_cast<uint8_t>(header.codec));
    photo.push_back(header.exact);
    photo.push_back(static_cast<uint8_t>(header.info.component_count));
    for (int side : {header.info.width, header.info.height, header.source_width, header.source_height})
        append(photo, static_cast<uint32_t>(side));
    photo.push_back(static_cast<uint8_t>(header.info.orientation));
    photo.push_back(static_cast<uint8_t>(header.info.colour_model));
    photo.push_back(static_cast<uint8_t>(header.info.origin_y));
    photo.push_back(static_cast<uint8_t>(header.info.origin_x));
    append(photo, checksum(body.data(), body.size()));
    photo.insert(photo.end(), body.begin(), body.end());
    return photo;
}

}  // namespace freqvision
