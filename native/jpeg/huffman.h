// Huffman tables: as a file defines them, and in the forms the decoding loops look them up.
#pragma once

#include <cstdint>

namespace freqvision {

constexpr int kDcBits = 9;
constexpr int kAcBits = 10;
constexpr int kSymbolBits = 9;

// Values of the run field of an AC entry beyond real runs. Any of them ends the block's loop.
constexpr unsigned kEndOfBlock = 128;
constexpr unsigned kEscape = 192;  // a code longer than kAcBits, a value longer than kValueBits, or no code

// The signed values (T.81 F.2.2.1, EXTEND) of n bits, at places 2ⁿ − 1 + bits; n ≤ 10 is all that 8-bit
// samples need.
constexpr int kValueBits = 10;
struct SignedValues {
    int16_t at[(2 << kValueBits) - 1];
};
extern const SignedValues kValues;

// The canonical code itself, for codes longer than a look-up table's index.
struct HuffmanCode {
    uint32_t
        limit[18];  // limit[n]: first left-aligned 16-bit code longer than n bits; limit[17] ends a search
    int32_t offset[17];   // index of a code of n bits in `values` is offset[n] + code
    uint8_t values[256];  // symbols in order of their codes
};

// One AC symbol, or two where the index holds the codes of both. Values are not in the table: of the second
// the index need not hold it. Where there is one symbol, it is the first and the last.
struct AcEntry {
    uint8_t bits;         // of codes and values
    uint8_t run;          // the sum of each symbol's run + 1
    uint8_t first_run;    // the first symbol's
    uint8_t first_shift;  // 64 − bits of the first symbol; of an escape the fewest bits its code may have
    uint16_t first_mask;  // 2ⁿ − 1, where the first value has n bits
    uint16_t last_mask;
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
    // Fields of dc, from the lowest byte: bits of code and value, 0, bits of code, 63 − bits of value.
    uint32_t dc[1 << kDcBits];
    AcEntry ac[1 << kAcBits];
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
