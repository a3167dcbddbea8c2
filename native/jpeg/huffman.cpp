#include "jpeg/huffman.h"

#include <algorithm>
#include <cstring>

namespace freqvision {

void HuffmanTable::define(const uint8_t* counts_1_to_16, const uint8_t* new_symbols, int count) {
    if (count == symbol_count && std::memcmp(counts + 1, counts_1_to_16, 16) == 0 &&
        std::memcmp(symbols, new_symbols, count) == 0) {
        return;
    }
    ready = 0;
    symbol_count = count;
    std::memcpy(counts + 1, counts_1_to_16, 16);
    std::memcpy(symbols, new_symbols, count);
}

bool HuffmanTable::prepare_code() {
    if (ready & kCode) return true;
    uint32_t next = 0;  // the next code, right-aligned at the current length
    int index = 0;
    for (int bits = 1; bits <= 16; ++bits) {
        code.offset[bits] = index - static_cast<int>(next);
        next += counts[bits];
        index += counts[bits];
        // No code may consist of ones only (T.81 C.2).
        if (counts[bits] && next >= (1u << bits)) return false;
        code.limit[bits] = next << (16 - bits);
        next <<= 1;
    }
    code.limit[17] = ~0u;
    std::fill(std::copy_n(symbols, symbol_count, code.values), code.values + 256, uint8_t{0});
    ready |= kCode;
    return true;
}

bool HuffmanTable::legal_dc() const {
    return std::all_of(symbols, symbols + symbol_count, [](uint8_t symbol) { return symbol <= 15; });
}

namespace {

// Calls fill(first index, number of indices, bits of code, symbol) for each code that fits an index of
// `width` bits.
template <class Fill>
void for_each_short_code(const HuffmanTable& table, int width, Fill fill) {
    int index = 0;
    uint32_t begin = 0;
    for (int bits = 1; bits <= width; ++bits) {
        const uint32_t span = 1u << (width - bits);
        for (int i = 0; i < table.counts[bits]; ++i, begin += span)
            fill(begin, span, bits, table.symbols[index++]);
    }
}

constexpr SignedValues make_values() {
    SignedValues values{};
    for (int n = 1; n <= kValueBits; ++n)
        for (int bits = 0; bits < 1 << n; ++bits)
            values.at[(1 << n) - 1 + bits] =
                static_cast<int16_t>(bits < 1 << (n - 1) ? bits - (1 << n) + 1 : bits);
    return values;
}

}  // namespace

constinit const SignedValues kValues = make_values();

bool HuffmanTable::prepare_dc() {
    if (ready & kDc) return true;
    if (!prepare_code() || !legal_dc()) return false;
    std::fill_n(dc, 1 << kDcBits, 0u);
    for_each_short_code(*this, kDcBits, [&](uint32_t begin, uint32_t span, int bits, uint8_t symbol) {
        const uint32_t code_bits = bits, value_bits = symbol;
        std::fill_n(dc + begin, span, (code_bits + value_bits) | code_bits << 16 | (63 - value_bits) << 24);
    });
    ready |= kDc;
    return true;
}

bool HuffmanTable::prepare_ac() {
    if (ready & kAc) return true;
    if (!prepare_code()) return false;
    struct Symbol {
        unsigned code_bits, bits, run;
        uint16_t mask;
    };
    Symbol symbols_at[1 << kAcBits];
    std::fill_n(symbols_at, 1 << kAcBits, Symbol{kAcBits + 1, 0, kEscape, 0});
    for_each_short_code(*this, kAcBits, [&](uint32_t begin, uint32_t span, int bits, uint8_t symbol) {
        const unsigned code_bits = bits, value_bits = symbol & 15, run = symbol >> 4;
        Symbol at{code_bits, code_bits + value_bits, run + 1, static_cast<uint16_t>((1 << value_bits) - 1)};
        if (value_bits == 0 && run != 15) at.run = kEndOfBlock;
        if (value_bits > kValueBits) at = {code_bits, 0, kEscape, 0};
        std::fill_n(symbols_at + begin, span, at);
    });
    for (uint32_t index = 0; index < 1 << kAcBits; ++index) {
        const Symbol& first = symbols_at[index];
        // What follows the first symbol; zeros stand for bits that the index does not hold.
        const Symbol& second = symbols_at[index << (first.bits & 31) & ((1 << kAcBits) - 1)];
        const bool paired =
            first.run < kEndOfBlock && second.run != kEscape && first.bits + second.code_bits <= kAcBits;
        ac[index] = {static_cast<uint8_t>(first.bits + (paired ? second.bits : 0)),
                     static_cast<uint8_t>(first.run + (paired ? second.run : 0)),
                     static_cast<uint8_t>(first.run),
                     static_cast<uint8_t>(first.run == kEscape ? first.code_bits : 64 - first.bits),
                     first.mask,
                     paired ? second.mask : first.mask};
    }
    ready |= kAc;
    return true;
}

bool HuffmanTable::prepare_plain(bool is_dc) {
    if (is_dc && !legal_dc()) return false;
    if (ready & kSymbols) return true;
    if (!prepare_code()) return false;
    std::fill_n(plain, 1 << kSymbolBits, uint16_t{0});
    for_each_short_code(*this, kSymbolBits, [&](uint32_t begin, uint32_t span, int bits, uint8_t symbol) {
        std::fill_n(plain + begin, span, static_cast<uint16_t>(bits << 8 | symbol));
    });
    ready |= kSymbols;
    return true;
}

namespace {

struct Standard {
    uint8_t counts[16];
    uint8_t symbols[162];
    int count;
};

// T.81 tables K.3 to K.6.
constexpr Standard kStandard[2][2] = {
    {{{0, 1, 5, 1, 1, 1, 1, 1, 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 12},
     {{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 12}},
    {{{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125},
      {0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22,
       0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33,
       0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34,
       0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55,
       0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76,
       0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96,
       0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5,
       0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4,
       0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1,
       0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa},
      162},
     {{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119},
      {0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13,
       0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62,
       0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29,
       0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54,
       0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75,
       0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94,
       0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3,
       0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2,
       0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea,
       0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa},
      162}}};

}  // namespace

void define_standard(HuffmanTable& table, bool is_dc, int slot) {
    const Standard& standard = kStandard[is_dc ? 0 : 1][slot];
    table.define(standard.counts, standard.symbols, standard.count);
}

}  // namespace freqvision
