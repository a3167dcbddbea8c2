// LZ4 and zstd, which the static library of C-Blosc2 holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "packed/format.h"

namespace freqvision {

std::vector<uint8_t> compress(Codec codec, const std::vector<uint8_t>& raw, int level);

// Whether the data are exactly `raw_size` bytes; never writes beyond them.
bool decompress(Codec codec, const uint8_t* data, size_t size, uint8_t* raw, size_t raw_size);

uint64_t checksum(const uint8_t* data, size_t size);

}  // namespace freqvision
