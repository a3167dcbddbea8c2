#include "packed/reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "packed/codec.h"

namespace freqvision {
namespace {

constexpr size_t kHeader = 36;
constexpr int kVersion = 1;

[[noreturn]] void corrupt(size_t offset, const std::string& what) {
    throw JpegError(ErrorKind::corrupt, offset, "packed photo: " + what);
}

// Reads numbers from the front of a file.
class Fields {
  public:
    Fields(const uint8_t* data, size_t size) : data_(data), size_(size) {}
    template <class Number>
    Number take() {
        Number value;
        need(sizeof value);
        std::memcpy(&value, data_ + position_, sizeof value);
        position_ += sizeof value;
        return value;
    }
    void need(size_t bytes) const {
        if (bytes > size_ - position_)
            throw JpegError(ErrorKind::truncated, size_, "packed photo: ends within its header");
    }
    size_t position() const { return position_; }

  private:
    const uint8_t* data_;
    size_t size_;
    size_t position_ = 0;
};

int side(uint32_t value, size_t offset) {
    if (value == 0 || value > 65535)
        throw JpegError(ErrorKind::illegal_size, offset,
                        "packed photo: a side has 1 to 65535 pixels, not " + std::to_string(value));
    return static_cast<int>(value);
}

}  // namespace

bool is_packed(const uint8_t* data, size_t size) { return size >= 4 && std::memcmp(data, "FQPK", 4) == 0; }

const PackedHeader& PackedReader::open(const uint8_t* data, size_t size, const Limits& limits, bool check) {
    data_ = nullptr;
    header_ = {};
    if (!is_packed(data, size)) throw JpegError(ErrorKind::not_jpeg, 0, "not a packed photo");
    Fields fields(data, size);
    fields.need(kHeader);
    fields.take<uint32_t>();
    const int version = fields.take<uint8_t>(), codec = fields.take<uint8_t>();
    const int exact = fields.take<uint8_t>(), count = fields.take<uint8_t>();
    if (version != kVersion)
        throw JpegError(ErrorKind::unsupported, 4,
                        "packed photo: format version " + std::to_string(version) + ", this reads version " +
                            std::to_string(kVersion));
    if (codec > static_cast<int>(Codec::zstd)) corrupt(5, "codec " + std::to_string(codec));
    if (exact > 1) corrupt(6, "neither exact nor not");
    if (count != 1 && count != 3) corrupt(7, std::to_string(count) + " components, not 1 or 3");
    header_.codec = static_cast<Codec>(codec);
    header_.exact = exact != 0;
    ImageInfo& info = header_.info;
    info.component_count = count;
    info.width = side(fields.take<uint32_t>(), 8);
    info.height = side(fields.take<uint32_t>(), 12);
    header_.source_width = side(fields.take<uint32_t>(), 16);
    header_.source_height = side(fields.take<uint32_t>(), 20);
    if (int64_t{info.width} * info.height > limits.max_pixels)
        throw JpegError(ErrorKind::too_large, 8,
                        "packed photo: " + std::to_string(info.width) + "×" + std::to_string(info.height) +
                            " is more than max_pixels=" + std::to_string(limits.max_pixels));
    info.orientation = fields.take<uint8_t>();
    if (info.orientation < 1 || info.orientation > 8) corrupt(24, "orientation");
    info.colour_model = count == 1 ? ColourModel::gray : ColourModel::ycbcr;
    if (fields.take<uint8_t>() != static_cast<uint8_t>(info.colour_model)) corrupt(25, "colour model");
    if (fields.take<uint16_t>() != 0) corrupt(26, "reserved bytes that are not 0");
    const auto sum = fields.take<uint64_t>();
    if (check && checksum(data + kHeader, size - kHeader) != sum)
        corrupt(28, "its checksum does not match: it was damaged or cut off");

    for (int i = 0; i < count; ++i) {
        const size_t at = fields.position();
        Component& shape = info.components[i];
        PackedComponent& component = header_.components[i];
        shape.h = fields.take<uint8_t>();
        shape.v = fields.take<uint8_t>();
        if (shape.h < 1 || shape.h > 4 || shape.v < 1 || shape.v > 4) corrupt(at, "sampling factor");
        component.frequencies = fields.take<uint8_t>();
        if (component.frequencies > 64) corrupt(at + 2, "more than 64 frequencies");
        if (fields.take<uint8_t>() != 0) corrupt(at + 3, "a reserved byte that is not 0");
        component.packed_size = fields.take<uint32_t>();
        component.raw_size = fields.take<uint32_t>();
        uint64_t seen = 0;
        for (int k = 0; k < component.frequencies; ++k) {
            const int index = fields.take<uint8_t>();
            if (index > 63 || seen >> index & 1) corrupt(fields.position() - 1, "frequency");
            seen |= uint64_t{1} << index;
            component.index[k] = static_cast<uint8_t>(index);
        }
        for (int k = 0; k < component.frequencies; ++k) {
            const auto step = fields.take<float>();
            if (!(step > 0 && step <= 65535)) corrupt(fields.position() - 4, "step");
            component.step[component.index[k]] = step;
        }
    }
    set_geometry(info);
    for (int i = 0; i < count; ++i) {
        const PackedComponent& component = header_.components[i];
        info.components[i].step = component.step;
        info.components[i].stored = 0;
        for (int k = 0; k < component.frequencies; ++k)
            info.components[i].stored |= uint64_t{1} << component.index[k];
    }
    size_t position = fields.position(), raw = 0;
    for (int i = 0; i < count; ++i) {
        const Component& shape = info.components[i];
        const PackedComponent& component = header_.components[i];
        const size_t cells = size_t{1} * shape.blocks_high * shape.blocks_wide * component.frequencies;
        const size_t counts = header_.exact ? size_t{4} * (shape.blocks_high + 1) : 0;
        const bool sound = header_.exact ? component.raw_size >= cells + counts &&
                                               component.raw_size <= 3 * cells + counts &&
                                               (component.raw_size - cells - counts) % 2 == 0
                                         : component.raw_size == cells;
        if (!sound) corrupt(position, "component " + std::to_string(i) + " is not of the photo's size");
        if (component.packed_size > size - position)
            throw JpegError(ErrorKind::truncated, size, "packed photo: ends within its data");
        begin_[i] = position;
        position += component.packed_size;
        raw += component.raw_size;
    }
    if (position != size) corrupt(position, "bytes after its end");
    if (claims_too_much(raw, size))
        throw JpegError(ErrorKind::too_large, 8, "packed photo: claims more data than its bytes can hold");
    data_ = data;
    size_ = size;
    return header_;
}

void PackedReader::decode(const RowRequest& request, LineSink& sink) {
    for (int i = 0; i < header_.info.component_count; ++i)
        if (!request.ranges[i].empty()) decode_component(i, request, sink);
}

void PackedReader::decode_component(int number, const RowRequest& request, LineSink& sink) {
    const PackedComponent& component = header_.components[number];
    const Component& shape = header_.info.components[number];
    const BlockRange& range = request.ranges[number];
    const size_t wide = shape.blocks_wide, high = shape.blocks_high;
    raw_.resize(component.raw_size);
    if (!decompress(header_.codec, data_ + begin_[number], component.packed_size, raw_.data(), raw_.size()))
        corrupt(begin_[number], "component " + std::to_string(number) + " cannot be decompressed");

    const bool exact = header_.exact;
    const size_t counts = exact ? 4 * (high + 1) : 0;
    const uint8_t* rows = raw_.data() + counts;
    const uint8_t* escapes = rows + wide * high * component.frequencies;
    const size_t available = (raw_.data() + raw_.size() - escapes) / 2;
    const size_t size = wide + kLinePadding;
    lines_.assign(size * (component.frequencies + 1), 0);  // the last one stays zero
    const int16_t* lines[64];
    std::fill_n(lines, 64, lines_.data() + size * component.frequencies);
    for (int k = 0; k < component.frequencies; ++k)
        if (request.frequencies[number] >> component.index[k] & 1)
            lines[component.index[k]] = &lines_[size * k];
    for (int row = range.row_begin; row < range.row_end; ++row) {
        uint32_t escape = 0, last = 0;  // of this row
        if (exact) {
            std::memcpy(&escape, raw_.data() + 4 * static_cast<size_t>(row), 4);
            std::memcpy(&last, raw_.data() + 4 * (static_cast<size_t>(row) + 1), 4);
            if (escape > last || last > available) corrupt(begin_[number], "more values than it holds");
        }
        const auto escaped = [&] {
            int16_t value = 0;
            std::memcpy(&value, escapes + 2 * size_t{escape++}, 2);
            return value;
        };
        const auto* values = reinterpret_cast<const int8_t*>(rows + wide * component.frequencies * row);
        for (int k = 0; k < component.frequencies; ++k, values += wide) {
            const int index = component.index[k];
            int16_t* const line = &lines_[size * k];
            if (index == 0) {
                uint16_t left = 0;
                for (size_t column = 0; column < wide; ++column) {
                    const bool is_escape = exact && values[column] == -128 && escape < last;
                    left = static_cast<uint16_t>(left + (is_escape ? escaped() : values[column]));
                    line[column] = exact ? static_cast<int16_t>(left) : static_cast<int8_t>(left);
                }
                continue;
            }
            const bool shown = request.frequencies[number] >> index & 1;
            if (shown)
                std::copy(values + range.column_begin, values + range.column_end, line + range.column_begin);
            for (const int8_t* from = values; escape < last; ++from) {
                from = static_cast<const int8_t*>(std::memchr(from, 0x80, values + wide - from));
                if (!from) break;
                const int16_t value = escaped();
                if (shown) line[from - values] = value;
            }
        }
        sink.lines(number, row, lines);
    }
}

void PackedReader::trim(size_t bytes) {
    if (raw_.capacity() > bytes) std::vector<uint8_t>().swap(raw_);
}

}  // namespace freqvision
