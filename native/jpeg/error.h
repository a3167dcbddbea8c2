// The one exception of the reader: what is wrong with a file, and where.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace freqvision {

enum class ErrorKind {
    not_jpeg,       // does not begin with a JPEG's start marker
    truncated,      // ends before its image does
    corrupt,        // contradicts the standard or itself
    missing_table,  // refers to a table that it does not define
    illegal_size,   // a side or a sampling factor that no JPEG may have
    too_large,      // more pixels or scans than the caller allows
    // Sound files of kinds that this reader does not read:
    arithmetic,
    twelve_bit,
    lossless,
    hierarchical,
    unsupported,
};

inline const char* kind_name(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::not_jpeg:
            return "not-jpeg";
        case ErrorKind::truncated:
            return "truncated";
        case ErrorKind::corrupt:
            return "corrupt";
        case ErrorKind::missing_table:
            return "missing-table";
        case ErrorKind::illegal_size:
            return "illegal-size";
        case ErrorKind::too_large:
            return "too-large";
        case ErrorKind::arithmetic:
            return "arithmetic";
        case ErrorKind::twelve_bit:
            return "12-bit";
        case ErrorKind::lossless:
            return "lossless";
        case ErrorKind::hierarchical:
            return "hierarchical";
        case ErrorKind::unsupported:
            return "unsupported";
    }
    return "corrupt";
}

struct JpegError : std::runtime_error {
    JpegError(ErrorKind kind, std::size_t offset, const std::string& what)
        : std::runtime_error(what + " (at byte " + std::to_string(offset) + ")"),
          kind(kind),
          offset(offset) {}

    ErrorKind kind;
    std::size_t offset;  // in the file
};

}  // namespace freqvision
