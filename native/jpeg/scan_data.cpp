#include "jpeg/scan_data.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace freqvision {

void ScanData::start(Bytes file, std::size_t position, Problems& problems) {
    file_ = file;
    problems_ = &problems;
    restarts_ = 0;
    // Without stuffing the data is never longer than the rest of the file.
    const std::size_t needed = file.size - position + kEntropyPadding + 64;
    if (needed > capacity_) {
        buffer_.reset(new uint8_t[needed + needed / 2]);
        capacity_ = needed + needed / 2;
    }
    load(position);
}

void ScanData::trim(std::size_t bytes) {
    if (capacity_ <= bytes) return;
    buffer_.reset();
    capacity_ = 0;
}

void ScanData::load(std::size_t position) {
    interval_begin_ = position;
    const UnstuffResult result =
        jpeg_kernels().unstuff(file_.data + position, file_.data + file_.size, buffer_.get());
    position_ = after_marker_ = result.source - file_.data;
    // Read once: a damaged file may ask for the same marker once for each block.
    while (after_marker_ < file_.size && file_.data[after_marker_] == 0xFF) ++after_marker_;
    marker_ = after_marker_ < file_.size ? file_.data[after_marker_++] : static_cast<int>(marker::kNone);
    std::memset(result.target, 0, kEntropyPadding);
    bits = BitState{buffer_.get(), result.target, 0, 0};
    usable_ = true;
}

bool ScanData::ends_image() const { return marker_ == marker::kNone || marker_ == marker::kEoi; }

std::size_t ScanData::bytes_used() const { return bits.next - buffer_.get() - bits.count / 8; }

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
    const std::size_t size = bits.end - buffer_.get(), used = bytes_used();
    const auto is_padding = [](uint8_t byte) { return byte == 0 || byte == 0xFF; };
    if (used >= size || std::all_of(buffer_.get() + used, buffer_.get() + size, is_padding)) return;
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
    const std::size_t size = bits.end - buffer_.get(), used = bytes_used();
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
        usable_ = false;
    }
    load(after_marker_);
}

void ScanData::finish() { note_unread(); }

}  // namespace freqvision
