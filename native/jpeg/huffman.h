// Huffman tables: as a file defines them, and in the forms the decoding loops look them up.
#pragma once

#include <cstdint>

namespace freqvision {

constexpr int kDcBits = 9;
constexpr int kAcBits = 10;
constexpr int kSymbolBits = 9;

// Values of the run field of an AC entry beyond real runs. Any of them ends the block's loop.
constexpr unsigned kEndOfBlock = 128;
constexpr unsigned kEscape = 192;  // a code longer than kAcBits, or none at all

// The canonical code itself, for codes longer than a look-up table's index.
struct HuffmanCode {
    uint32_t
        limit[18];  // limit[n]: first left-aligned 16-bit code longer than n bits; limit[17] ends a search
    int32_t offset[17];   // index of a code of n bits in `values` is offset[n] + code
    uint8_t values[256];  // symbols in order of their codes
};

// Forms of one table. Which of them is made depends on the scan that uses it.
struct HuffmanTable {
    // Definition, as in a DHT segment.
    uint8_t counts[17] = {};  // counts[n]: codes of n bits
    uint8_t symbols[256] = {};
    int symbol_count = 0;

    // Derived; `ready` says which are up to date.
    enum : uint8_t { kCode = 1, kDc = 2, kAc = 4, kSymbols = 8 };
    uint8_t ready = 0;
    HuffmanCode code;
    // Fields of dc, and of ac for one symbol, from the lowest byte: bits of code and value, run + 1, bits of
    // code, 63 − bits of value. An entry of ac takes in the next symbol, too, where the index holds all of
    // its bits: then the first field counts those of both, and there follow its value (16 bits), its run + 1
    // (0: there is none) and the bits of the first.
    uint32_t dc[1 << kDcBits];
    uint64_t ac[1 << kAcBits];
    uint16_t plain[1 << kSymbolBits];  // bits of code · 256 + symbol; 0 = a longer code, or none

    // Keeps the derived forms where the definition is the one already there: most files share a few tables.
    void define(const uint8_t* counts_1_to_16, const uint8_t* new_symbols, int count);

    // Each returns whether the definition is a legal one for that use.
    bool prepare_dc();
    bool prepare_ac();
    bool prepare_plain(bool is_dc);

  private:
    bool prepare_code();
    bool legal_dc() const;
};

struct HuffmanTables {
    HuffmanTable dc[4], ac[4];
};

// The tables of ITU-T T.81 annex K.3, which Motion JPEG leaves out. `slot` is 0 (luma) or 1 (chroma).
void define_standard(HuffmanTable& table, bool is_dc, int slot);

}  // namespace freqvision
