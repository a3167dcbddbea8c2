// Files on disk: the one rule for what is opened, and how much of it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "jpeg/info.h"

namespace freqvision {

// A file that the system, or the rule, does not let us read.
struct FileError : std::runtime_error {
    FileError(int code, const std::string& what) : std::runtime_error(what), code(code) {}
    int code;  // errno
};

// Throws `too_large` for more bytes than the limit.
void check_file_size(uint64_t size, const Limits& limits);

// A regular file within the limits, open for reading. Never waits for a writer, as opening a FIFO would.
class File {
  public:
    File(const std::string& path, const Limits& limits);  // throws FileError or JpegError
    ~File();
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    std::size_t size() const { return size_; }
    // The next bytes: as many as asked for, unless the file has got shorter meanwhile. Returns how many.
    std::size_t read(uint8_t* to, std::size_t count);

  private:
    int descriptor_ = -1;
    std::size_t size_ = 0;
};

}  // namespace freqvision
