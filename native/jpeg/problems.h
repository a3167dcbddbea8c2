// What a decode does about a damaged file: throw, or remember and go on.
#pragma once

#include <string>
#include <vector>

#include "jpeg/error.h"

namespace freqvision {

class Problems {
  public:
    void clear(bool strict) {
        strict_ = strict;
        warnings_.clear();
    }

    // Something was lost: an error if strict, else a warning.
    void report(const JpegError& error) {
        if (strict_) throw error;
        note(error.what());
    }

    // Something odd that loses nothing.
    void note(const std::string& warning) {
        if (warnings_.size() < kMaxWarnings) warnings_.push_back(warning);
    }

    bool strict() const { return strict_; }
    const std::vector<std::string>& warnings() const { return warnings_; }

  private:
    static constexpr std::size_t kMaxWarnings = 100;  // a hostile file could cause millions
    bool strict_ = true;
    std::vector<std::string> warnings_;
};

}  // namespace freqvision
