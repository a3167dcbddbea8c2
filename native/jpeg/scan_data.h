// The entropy-coded data of a scan, restart interval by restart interval.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "jpeg/kernels.h"
#include "jpeg/markers.h"
#include "jpeg/problems.h"

namespace freqvision {

class ScanData {
  public:
    // Codes of at most 16 bits and values of at most 15, once for each coefficient.
    static constexpr std::size_t kMostOfBlock = 256;
    static constexpr std::size_t kReady = std::size_t{64} << 10;  // to be asked for at a time

    // Goes to the first interval of the scan whose data begins at `position`.
    void start(Bytes file, std::size_t position, Problems& problems);
    // Goes behind the next restart marker, or finds out that this interval's data is missing.
    void next_interval();
    // Puts so many bytes of the interval's data into `bits`, or all that there are.
    void fill(std::size_t bytes);
    // Checks what follows the last interval's data.
    void finish();

    // The interval's data cannot be decoded any further: reports why.
    void fail(RunStatus status);
    // Whether the interval has data that can be decoded. If not, its blocks keep their zeros.
    bool usable() const { return usable_; }

    // Frees the buffer if it is larger than this.
    void trim(std::size_t bytes);

    BitState bits;

  private:
    void load(std::size_t position);  // the interval that begins there
    void fill_all();
    void reserve(std::size_t bytes);             // after the data
    bool ends_image() const;                     // at position_
    std::size_t size() const;                    // of the interval's data without stuffing, once it is whole
    std::size_t bytes_used() const;              // of the interval's data without stuffing
    std::size_t file_offset(std::size_t) const;  // of a byte of the interval's data
    void note_unread();

    Bytes file_;
    Problems* problems_ = nullptr;
    std::size_t interval_begin_ = 0;
    std::size_t source_ = 0;        // in the file: what is not in the buffer yet begins there
    std::size_t dropped_ = 0;       // bytes of the interval's data that have left the buffer
    bool whole_ = false;            // its last byte is there, and what follows is known:
    std::size_t position_ = 0;      // of the marker after the interval's data, or of the end of the file
    int marker_ = marker::kNone;    // at position_; kNone at the end of the file
    std::size_t after_marker_ = 0;  // where the bytes after it begin
    int restarts_ = 0;
    bool usable_ = false;
    std::unique_ptr<uint8_t[]> buffer_;
    std::size_t capacity_ = 0;
};

}  // namespace freqvision
