#include "packed/reader.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "packed/codec.h"
#include "packed/kernels.h"

namespace freqvision {
namespace {

constexpr size_t kHeader = 36;
constexpr int kVersion = 1;
constexpr size_t kMore = 64;  // bytes beyond a chunk may be read

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

// Bits of a value in each of a chunk's lines, added up. Up to seven bytes more are read.
size_t bits_in(const uint8_t* widths, size_t size) {
    constexpr uint64_t kNibbles = 0x0F0F0F0F0F0F0F0F, kOnes = 0x0101010101010101;
    uint64_t sums = 0;  // of each byte, at most 128
    for (size_t i = 0; i < size; i += 8) {
        uint64_t eight;
        std::memcpy(&eight, widths + i, 8);
        if (size - i < 8) eight &= (uint64_t{1} << 8 * (size - i)) - 1;
        for (uint64_t four : {eight & kNibbles, eight >> 4 & kNibbles})
            sums += four + (four & four >> 1 & four >> 2 & four >> 3 & kOnes);
    }
    constexpr uint64_t kPairs = 0x00FF00FF00FF00FF;
    return ((sums & kPairs) + (sums >> 8 & kPairs)) * 0x0001000100010001 >> 48;
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
    info.origin_y = fields.take<uint8_t>();
    info.origin_x = fields.take<uint8_t>();
    if (info.origin_y > 7 || info.origin_x > 7) corrupt(26, "a first pixel beyond the first block");
    const auto sum = fields.take<uint64_t>();
    if (check && checksum(data + kHeader, size - kHeader) != sum)
        corrupt(28, "its checksum does not match: it was damaged or cut off");

    for (int i = 0; i < count; ++i) {
        const size_t at = fields.position();
        Component& shape = info.components[i];
        PackedComponent& component = header_.components[i];
        shape.h = fields.take<uint8_t>();
        shape.v = fields.take<uint8_t>();
        const bool shifted = info.origin_y || info.origin_x;
        if (shape.h < 1 || shape.h > 4 || shape.v < 1 || shape.v > 4 || (shifted && shape.h * shape.v > 1))
            corrupt(at, "sampling factor");
        component.frequencies = fields.take<uint8_t>();
        if (component.frequencies > 64) corrupt(at + 2, "more than 64 frequencies");
        if (fields.take<uint8_t>() != 0) corrupt(at + 3, "a reserved byte that is not 0");
        component.packed_size = fields.take<uint32_t>();
        component.raw_size = fields.take<uint32_t>();
        uint64_t seen = 0;
        for (int k = 0; k < component.frequencies; ++k) {
            const uint8_t index = fields.take<uint8_t>();
            if (index > 63 || seen >> index & 1) corrupt(fields.position() - 1, "frequency");
            seen |= uint64_t{1} << index;
            component.index[k] = index;
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
    size_t position = fields.position(), all = 0;
    for (int i = 0; i < count; ++i) {
        const Component& shape = info.components[i];
        const PackedComponent& component = header_.components[i];
        const size_t wide = shape.blocks_wide, high = shape.blocks_high, n = component.frequencies;
        const size_t values = high * wide * n, chunks = high * chunks_in(wide), raw = component.raw_size;
        const bool lines = header_.codec == Codec::zstd;
        const size_t least = lines ? high * 3 + values : chunks * (2 + widths_size(n));
        const size_t most = least + (lines ? header_.exact * 2 * values : chunks * n * 2 * kChunk);
        const bool sound = raw >= least && raw <= most && (!lines || (raw - least) % 2 == 0) &&
                           (header_.codec != Codec::none || raw == component.packed_size);
        if (!sound) corrupt(position, "component " + std::to_string(i) + " is not of the photo's size");
        if (component.packed_size > size - position)
            throw JpegError(ErrorKind::truncated, size, "packed photo: ends within its data");
        begin_[i] = position;
        position += component.packed_size;
        all += std::max(values, raw);
    }
    if (position != size) corrupt(position, "bytes after its end");
    if (claims_too_much(all, size))
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
    const size_t wide = chunks_in(header_.info.components[number].blocks_wide) * kChunk;
    const uint8_t* raw = data_ + begin_[number];
    if (header_.codec == Codec::zstd || component.raw_size != component.packed_size) {
        raw_.resize(component.raw_size);
        if (!decompress(header_.codec, raw, component.packed_size, raw_.data(), component.raw_size))
            corrupt(begin_[number], "component " + std::to_string(number) + " cannot be decompressed");
        raw = raw_.data();
    }
    const size_t row_size = wide * component.frequencies, kept = request.kept[number];
    lines_.resize(row_size * kept + wide + kLinePadding);
    int16_t* const zeros = lines_.data() + row_size * kept;
    std::fill_n(zeros, wide + kLinePadding, int16_t{0});
    const int16_t* lines[64];
    std::fill_n(lines, 64, zeros);
    // `read` reads the next row.
    const auto rows = [&](const auto& read) {
        const BlockRange& range = request.ranges[number];
        for (int row = range.row_begin; row < range.row_end; ++row) {
            int16_t* const to = lines_.data() + row_size * ((row - range.row_begin) % kept);
            read(row, to);
            for (int k = 0; k < component.frequencies; ++k) lines[component.index[k]] = to + wide * k;
            sink.lines(number, row, lines);
        }
    };
    if (header_.codec == Codec::zstd)
        read_lines(number, raw, request.ranges[number], wide, rows);
    else
        read_chunks(number, raw, request.ranges[number], wide, rows);
}

template <class Rows>
void PackedReader::read_chunks(int number, const uint8_t* raw, const BlockRange& range, size_t stride,
                               const Rows& rows) {
    const PackedComponent& component = header_.components[number];
    const Component& shape = header_.info.components[number];
    const size_t across = chunks_in(shape.blocks_wide), chunks = across * shape.blocks_high;
    const size_t widths = widths_size(component.frequencies);
    // The bytes may be the caller's, who might be changing them: what is read again is checked again, and no
    // widths lead out of them.
    const size_t most = widths + component.frequencies * 16 * bits_size(kChunk) + kMore;
    const auto size_of = [&](size_t chunk) { return raw[2 * chunk] | size_t{raw[2 * chunk + 1]} << 8; };
    size_t before = 2 * chunks, all = before;
    for (size_t i = 0; i < chunks; ++i) all += size_of(i);
    if (all != component.raw_size) corrupt(begin_[number], "chunks of another size");
    for (size_t i = 0; i < across * range.row_begin; ++i) before += size_of(i);
    if (before > component.raw_size) corrupt(begin_[number], "chunks of another size");
    const PackedKernels& kernels = packed_kernels();
    const uint8_t* const indices_end = component.index + component.frequencies;
    const std::ptrdiff_t dc = std::find(component.index, indices_end, 0) - component.index;
    rows([&](int row, int16_t* lines) {
        for (size_t i = 0; i < across; ++i) {
            const size_t size = size_of(across * row + i);
            const uint8_t* chunk = raw + before;
            const size_t left = component.raw_size - before;
            if (size > left) corrupt(begin_[number], "a chunk of another size");
            before += size;
            const int column = static_cast<int>(kChunk * i);
            if (column >= range.column_end || column + static_cast<int>(kChunk) <= range.column_begin)
                continue;
            const int columns = std::min(static_cast<int>(kChunk), shape.blocks_wide - column);
            if (left < most) {
                last_.assign(std::max(size, most), 0);
                std::copy_n(chunk, size, last_.data());
                chunk = last_.data();
            }
            if (size != widths + bits_in(chunk, widths) * bits_size(columns))
                corrupt(begin_[number], "a chunk of another size");
            kernels.unpack(chunk, chunk + widths, component.frequencies, columns, lines + column, stride);
            if (dc < component.frequencies) kernels.sum(lines + stride * dc + column);
        }
    });
}

template <class Rows>
void PackedReader::read_lines(int number, const uint8_t* raw, const BlockRange& range, size_t stride,
                              const Rows& rows) {
    const PackedComponent& component = header_.components[number];
    const Component& shape = header_.info.components[number];
    const size_t wide = shape.blocks_wide, high = shape.blocks_high, row_size = wide * component.frequencies;
    const uint8_t *counts = raw, *all = counts + 3 * high, *low = all + row_size * high;
    const size_t available = (raw + component.raw_size - low) / 2;
    const uint8_t* upper = low + available;
    const auto count_of = [&](size_t row) {
        return counts[row] | size_t{counts[row + high]} << 8 | size_t{counts[row + 2 * high]} << 16;
    };
    size_t escape = 0, last = 0;  // of the row
    for (int row = 0; row < range.row_begin; ++row) last += count_of(row);
    rows([&](int row, int16_t* lines) {
        escape = last;
        last += count_of(row);
        if (last > available) corrupt(begin_[number], "more values than it holds");
        const auto* values = reinterpret_cast<const int8_t*>(all + row_size * row);
        for (int k = 0; k < component.frequencies; ++k, values += wide) {
            int16_t* const line = lines + stride * k;
            std::copy_n(values, wide, line);
            for (const int8_t* from = values; escape < last; ++from, ++escape) {
                from = static_cast<const int8_t*>(std::memchr(from, 0x80, values + wide - from));
                if (!from) break;
                line[from - values] = static_cast<int16_t>(upper[escape] << 8 | low[escape]);
            }
            if (component.index[k] != 0) continue;
            uint16_t left = 0;
            for (size_t column = 0; column < wide; ++column) {
                left = static_cast<uint16_t>(left + line[column]);
                line[column] = header_.exact ? static_cast<int16_t>(left) : static_cast<int8_t>(left);
            }
        }
    });
}

void PackedReader::trim(size_t bytes) {
    if (raw_.capacity() > bytes) std::vector<uint8_t>().swap(raw_);
}

}  // namespace freqvision
