// What a decode does about a damaged file: throw, or remember and go on.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jpeg/error.h"

namespace freqvision {

class Problems {
  public:
    static constexpr std::size_t kMaxWarnings = 100;  // a hostile file could cause millions

    void clear(bool strict) {
        strict_ = strict;
        warnings_.clear();
        damage_.reset();
    }

    // Something was lost: an error if strict, else a warning.
    void report(const JpegError& error) {
        if (strict_) throw error;
        if (!damage_) damage_ = error;
        note(error.what());
    }

    // Something odd that loses nothing.
    void note(const std::string& warning) {
        if (warnings_.size() < kMaxWarnings) warnings_.push_back(warning);
    }

    // Whether nothing more is kept, so that no message need be made.
    bool full() const { return !strict_ && damage_ && warnings_.size() == kMaxWarnings; }
    // The first thing that was lost.
    const std::optional<JpegError>& damage() const { return damage_; }
    const std::vector<std::string>& warnings() const { return warnings_; }

  private:
    bool strict_ = true;
    std::optional<JpegError> damage_;
    std::vector<std::string> warnings_;
};

}  // namespace freqvision
