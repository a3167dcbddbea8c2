#include "jpeg/scan_data.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace freqvision {

namespace {

// The data of a large photo is unstuffed by pieces: they are read while they are still in the cache.
constexpr std::size_t kPiece = std::size_t{128} << 10;
constexpr std::size_t kBehind = 16;  // bytes that the bit reader may go back

}  // namespace

void ScanData::start(Bytes file, std::size_t position, Problems& problems) {
    file_ = file;
    problems_ = &problems;
    restarts_ = 0;
    load(position);
}

void ScanData::trim(std::size_t bytes) {
    if (capacity_ <= bytes) return;
    buffer_.reset();
    capacity_ = 0;
}

void ScanData::load(std::size_t position) {
    interval_begin_ = source_ = position;
    dropped_ = 0;
    whole_ = false;
    bits = BitState{buffer_.get(), buffer_.get(), 0, 0};
    usable_ = true;
}

void ScanData::reserve(std::size_t bytes) {
    const std::size_t begin = std::max(bits.next - buffer_.get(), std::ptrdiff_t{kBehind}) - kBehind,
                      kept = bits.end - buffer_.get() - begin, needed = kept + bytes;
    dropped_ += begin;
    const std::size_t next = bits.next - buffer_.get() - begin;
    if (needed > capacity_) {
        std::unique_ptr<uint8_t[]> larger(new uint8_t[needed + needed / 2]);
        std::copy_n(buffer_.get() + begin, kept, larger.get());
        buffer_.swap(larger);
        capacity_ = needed + needed / 2;
    } else {
        std::memmove(buffer_.get(), buffer_.get() + begin, kept);
    }
    bits.next = buffer_.get() + next;
    bits.end = buffer_.get() + kept;
}

void ScanData::fill(std::size_t bytes) {
    const uint8_t* const file_end = file_.data + file_.size;
    while (!whole_ && static_cast<std::size_t>(bits.end - bits.next) < bytes) {
        const uint8_t* const source = file_.data + source_;
        const std::size_t size = std::min(kPiece, file_.size - source_);
        reserve(size + kEntropyPadding + 64);  // which data without stuffing never exceeds
        uint8_t* const target = buffer_.get() + (bits.end - buffer_.get());
        UnstuffResult result = jpeg_kernels().unstuff(source, source + size, target);
        const uint8_t* after = result.source;
        while (after < file_end && *after == 0xFF) ++after;
        if (result.source < source + size && after < file_end && *after == 0) {
            *result.target++ = 0xFF;  // stuffed, but the piece ended in between
            result.source = after + 1;
        } else if (result.source < source + size || result.source == file_end) {
            // Read once: a damaged file may ask for the same marker once for each block.
            whole_ = true;
            position_ = result.source - file_.data;
            marker_ = after < file_end ? *after : static_cast<int>(marker::kNone);
            after_marker_ = after - file_.data + (after < file_end);
        }
        source_ = result.source - file_.data;
        std::memset(result.target, 0, kEntropyPadding);
        bits.end = result.target;
    }
}

void ScanData::fill_all() { fill(SIZE_MAX); }

bool ScanData::ends_image() const { return marker_ == marker::kNone || marker_ == marker::kEoi; }

std::size_t ScanData::size() const { return dropped_ + (bits.end - buffer_.get()); }

std::size_t ScanData::bytes_used() const { return dropped_ + (bits.next - buffer_.get()) - bits.count / 8; }

std::size_t ScanData::file_offset(std::size_t used) const {
    std::size_t at = interval_begin_;
    for (std::size_t i = 0; i < used && at < position_; ++i) {
        if (file_.data[at++] != 0xFF) continue;
        while (at < position_ && file_.data[at] == 0xFF) ++at;
        ++at;  // the stuffed zero
    }
    return std::min(at, position_);
}

void ScanData::note_unread() {
    if (!usable_ || problems_->full()) return;
    const std::size_t size = this->size(), used = bytes_used();
    const auto is_padding = [](uint8_t byte) { return byte == 0 || byte == 0xFF; };
    if (used >= size || std::all_of(bits.end - (size - used), bits.end, is_padding)) return;
    const std::size_t at = file_offset(used);
    const std::string what = std::to_string(size - used) + " bytes of image data belong to no block";
    // Neither would do: libjpeg passes runs without a word, and trailers may follow. It sees the marker, and
    // not the bytes before it, where its buffer of bits holds both.
    constexpr std::size_t kBuffered = 8;
    if (bits.strayed && size - used > kBuffered) {
        problems_->report(
            {ErrorKind::corrupt, at, "corrupt JPEG: runs of coefficients leave their blocks, and " + what});
    } else {
        problems_->note(what + " (at byte " + std::to_string(at) + ")");
    }
}

void ScanData::fail(RunStatus status) {
    usable_ = false;
    if (problems_->full()) return;
    fill_all();
    const std::size_t size = this->size(), used = bytes_used();
    // Beyond the data the kernels read zeros, which may look like a bad code first.
    constexpr std::size_t kLongestCode = 2;
    if (status == RunStatus::overrun || used + kLongestCode > size) {
        const bool ends = ends_image();
        problems_->report({ends ? ErrorKind::truncated : ErrorKind::corrupt, position_,
                           std::string(ends ? "truncated" : "corrupt") + " JPEG: the image data " +
                               (ends ? "ends" : "of a restart interval or scan ends") +
                               " before its last block"});
    } else {
        problems_->report(
            {ErrorKind::corrupt, file_offset(used),
             "corrupt JPEG: the image data holds a bit sequence that is no Huffman code of its table"});
    }
}

// In a damaged file the markers' numbers, modulo 8, tell intervals that are missing from intervals that are
// superfluous.
void ScanData::next_interval() {
    fill_all();
    note_unread();
    const int expected = restarts_++ & 7;
    for (;;) {
        const bool is_restart = marker_ >= marker::kRst0 && marker_ <= marker::kRst7;
        if (is_restart && marker_ - marker::kRst0 == expected) break;
        if (usable_) {
            const bool ends = ends_image();
            usable_ = false;
            problems_->report({ends ? ErrorKind::truncated : ErrorKind::corrupt, position_,
                               std::string(ends ? "truncated" : "corrupt") + " JPEG: restart marker " +
                                   std::to_string(expected) + " is missing"});
        }
        usable_ = false;
        if (!is_restart) return;
        const int ahead = (marker_ - marker::kRst0 - expected) & 7;
        if (ahead <= 2) return;  // this interval is missing
        if (ahead < 6) break;    // anything may have happened: take it for the expected one
        load(after_marker_);     // superfluous: pass over it
        fill_all();
        usable_ = false;
    }
    load(after_marker_);
}

void ScanData::finish() {
    fill_all();
    note_unread();
}

}  // namespace freqvision
