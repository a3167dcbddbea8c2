#include "jpeg/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "jpeg/error.h"

#ifdef _WIN32
#include <io.h>

#include <filesystem>
#else
#include <unistd.h>
#endif

namespace freqvision {

namespace {

#ifdef _WIN32
using Status = struct _stat64;
int open_file(const std::string& path) {
    const auto* begin = reinterpret_cast<const char8_t*>(path.data());
    return _wopen(std::filesystem::path(begin, begin + path.size()).c_str(), _O_RDONLY | _O_BINARY);
}
int status_of(int descriptor, Status& status) { return _fstat64(descriptor, &status); }
int read_some(int descriptor, uint8_t* to, std::size_t count) {
    return _read(descriptor, to, static_cast<unsigned>(count));
}
void close_file(int descriptor) { _close(descriptor); }
#else
using Status = struct stat;
int open_file(const std::string& path) {
    return ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}
int status_of(int descriptor, Status& status) { return ::fstat(descriptor, &status); }
ssize_t read_some(int descriptor, uint8_t* to, std::size_t count) { return ::read(descriptor, to, count); }
void close_file(int descriptor) { ::close(descriptor); }
#endif

[[noreturn]] void fail(int code) { throw FileError(code, std::generic_category().message(code)); }

const char* kind_of(unsigned mode) {
    switch (mode & S_IFMT) {
        case S_IFDIR:
            return "a directory";
        case S_IFCHR:
            return "a device";
#ifndef _WIN32
        case S_IFBLK:
            return "a device";
        case S_IFIFO:
            return "a FIFO";
        case S_IFSOCK:
            return "a socket";
#endif
        default:
            return "a special file";
    }
}

}  // namespace

void check_file_size(uint64_t size, const Limits& limits) {
    if (size <= static_cast<uint64_t>(limits.max_bytes)) return;
    throw JpegError(ErrorKind::too_large, 0,
                    "the file has " + std::to_string(size) + " bytes, more than the limit of " +
                        std::to_string(limits.max_bytes) + "; raise max_bytes if you trust the file");
}

File::File(const std::string& path, const Limits& limits) {
    if (path.find('\0') != std::string::npos) throw FileError(EINVAL, "the path holds a null character");
    descriptor_ = open_file(path);
    if (descriptor_ < 0) fail(errno);
    try {
        Status status;
        if (status_of(descriptor_, status) != 0) fail(errno);
        if ((status.st_mode & S_IFMT) != S_IFREG) {
            throw FileError((status.st_mode & S_IFMT) == S_IFDIR ? EISDIR : EINVAL,
                            std::string("not a regular file but ") + kind_of(status.st_mode));
        }
        check_file_size(static_cast<uint64_t>(status.st_size), limits);
        size_ = static_cast<std::size_t>(status.st_size);
    } catch (...) {
        close_file(descriptor_);
        throw;
    }
}

File::~File() { close_file(descriptor_); }

std::size_t File::read(uint8_t* to, std::size_t count) {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // systems refuse, or cut, more at once
    std::size_t done = 0;
    while (done < count) {
        const auto got = read_some(descriptor_, to + done, std::min(count - done, kMost));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail(errno);
        if (got == 0) break;
        done += static_cast<std::size_t>(got);
    }
    return done;
}

}  // namespace freqvision
