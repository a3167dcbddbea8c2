#include "packed/reader.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "packed/codec.h"

namespace freqvision {
namespace {

constexpr size_t kHeader = 36;
constexpr int kVersion = 1;
constexpr uint64_t kHalves = 0x1111111111111111;

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

// Values of four bits: the lower ones of all bytes, and the upper ones.
void widen(const uint8_t* __restrict bytes, size_t count, int16_t* __restrict lower,
           int16_t* __restrict upper) {
    for (size_t i = 0; i < count; ++i) {
        const auto value = static_cast<int16_t>(bytes[i] << 8);
        lower[i] = static_cast<int16_t>(static_cast<int16_t>(value << 4) >> 12);
        upper[i] = static_cast<int16_t>(value >> 12);
    }
}

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
            const int byte = fields.take<uint8_t>(), index = byte & 63;
            if ((byte & 64) || seen >> index & 1) corrupt(fields.position() - 1, "frequency");
            seen |= uint64_t{1} << index;
            component.halved |= static_cast<uint64_t>(byte >> 7) << index;
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
        const size_t wide = shape.blocks_wide, high = shape.blocks_high;
        const size_t values = high * wide * component.frequencies, escape = header_.exact ? 2 : 1;
        const size_t least = high * (3 + row_size(component, wide));
        const bool sound = component.raw_size >= least && component.raw_size <= least + escape * values &&
                           (component.raw_size - least) % escape == 0;
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
    raw_.resize(size_t{component.raw_size} + 8);  // eight bytes are read at once
    if (!decompress(header_.codec, data_ + begin_[number], component.packed_size, raw_.data(),
                    component.raw_size))
        corrupt(begin_[number], "component " + std::to_string(number) + " cannot be decompressed");

    const bool exact = header_.exact;
    const size_t row_bytes = row_size(component, wide);
    const uint8_t *counts = raw_.data(), *rows = counts + 3 * high, *low = rows + row_bytes * high;
    const size_t available = (raw_.data() + component.raw_size - low) / (exact ? 2 : 1);
    const uint8_t* upper = low + available;
    const auto count_of = [&](int row) {
        return counts[row] | size_t{counts[row + high]} << 8 | size_t{counts[row + 2 * high]} << 16;
    };
    size_t escape = 0, last = 0;  // of the row
    for (int row = 0; row < range.row_begin; ++row) last += count_of(row);
    const auto escaped = [&] {
        const int value = exact ? upper[escape] << 8 | low[escape] : low[escape];
        ++escape;
        return exact ? static_cast<int16_t>(value) : static_cast<int8_t>(value);
    };
    const size_t size = wide + kLinePadding;
    lines_.assign(size * (component.frequencies + 1), 0);  // the last one stays zero
    const int16_t* lines[64];
    std::fill_n(lines, 64, lines_.data() + size * component.frequencies);
    for (int k = 0; k < component.frequencies; ++k)
        if (request.frequencies[number] >> component.index[k] & 1)
            lines[component.index[k]] = &lines_[size * k];
    for (int row = range.row_begin; row < range.row_end; ++row) {
        escape = last;
        last += count_of(row);
        if (last > available) corrupt(begin_[number], "more values than it holds");
        const uint8_t* bytes = rows + row_bytes * row;
        for (int k = 0; k < component.frequencies; ++k) {
            const size_t taken = line_size(component, k, wide);
            int16_t* const line = &lines_[size * k];
            const auto* values = reinterpret_cast<const int8_t*>(bytes);
            const bool halved = component.halved >> component.index[k] & 1;
            const bool shown = request.frequencies[number] >> component.index[k] & 1;
            if (halved && shown) {
                widen(bytes, taken, line, line + taken);
            } else if (shown) {
                std::copy_n(values, wide, line);
            }
            for (size_t i = 0; halved && i < taken && escape < last; i += 8) {
                uint64_t eight;
                std::memcpy(&eight, bytes + i, 8);
                if (taken - i < 8) eight &= (uint64_t{1} << 8 * (taken - i)) - 1;
                // 8 in each half of a byte that is −8.
                uint64_t found = eight ^ kHalves * 8;
                found = ~(((found & kHalves * 7) + kHalves * 7) | found | kHalves * 7);
                for (; found && escape < last; found &= found - 1) {
                    const size_t place = std::countr_zero(found) / 4;
                    line[i + place / 2 + place % 2 * taken] = escaped();
                }
            }
            for (const int8_t* from = values; exact && !halved && escape < last; ++from) {
                from = static_cast<const int8_t*>(std::memchr(from, 0x80, values + wide - from));
                if (!from) break;
                line[from - values] = escaped();
            }
            if (component.index[k] == 0) {
                uint16_t left = 0;
                for (size_t column = 0; column < wide; ++column) {
                    left = static_cast<uint16_t>(left + line[column]);
                    line[column] = exact ? static_cast<int16_t>(left) : static_cast<int8_t>(left);
                }
            }
            bytes += taken;
        }
        sink.lines(number, row, lines);
    }
}

void PackedReader::trim(size_t bytes) {
    if (raw_.capacity() > bytes) std::vector<uint8_t>().swap(raw_);
}

}  // namespace freqvision
