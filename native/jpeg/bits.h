// The bit reader of the kernels. Everything is static and in a namespace of its instruction set (see
// kernels.h).
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "jpeg/kernels.h"

#if defined(_MSC_VER)
#include <stdlib.h>
#define FREQVISION_INLINE __forceinline
#define FREQVISION_LIKELY(x) (x)
#define FREQVISION_UNLIKELY(x) (x)
#define FREQVISION_OPAQUE(x)
#define FREQVISION_PREFETCH(address)
#else
#define FREQVISION_INLINE inline __attribute__((always_inline))
#define FREQVISION_LIKELY(x) __builtin_expect(!!(x), 1)
#define FREQVISION_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FREQVISION_OPAQUE(x) asm("" : "+r"(x))  // the compiler no longer knows what it is
#define FREQVISION_PREFETCH(address) __builtin_prefetch(address)
#endif

namespace freqvision::FREQVISION_ISA {

// A copy of BitState that the compiler can keep in registers.
struct Bits {
    const uint8_t* next;
    const uint8_t* end;
    uint64_t window;
    uint64_t count;
    bool strayed = false;

    explicit Bits(const BitState& state)
        : next(state.next), end(state.end), window(state.window), count(state.count) {}

    void store(BitState& state) const {
        state.next = next;
        state.window = window;
        state.count = count;
        state.strayed |= strayed;
    }

    // At least 56 bits are in the window afterwards. Without a branch: bits that are in the window already
    // are ORed with themselves.
    FREQVISION_INLINE void refill() {
        uint64_t word;
        std::memcpy(&word, next, 8);
        if constexpr (std::endian::native == std::endian::little) {
#if defined(_MSC_VER)
            word = _byteswap_uint64(word);
#else
            word = __builtin_bswap64(word);
#endif
        }
        window |= word >> count;
        next += (63 - count) >> 3;
        count |= 56;
    }

    FREQVISION_INLINE void drop(unsigned bits) {
        window <<= bits & 63;
        count -= bits;
    }

    // Of the bits that were taken last; the first of the data are never among them.
    void put_back(unsigned bits) {
        const uint64_t unread = count + bits;
        next -= (unread + 7) / 8;
        window = count = 0;
        refill();
        drop(-unread & 7);
    }

    FREQVISION_INLINE void need(unsigned bits) {
        if (count < bits) refill();
    }

    // 0 ≤ bits ≤ 16, of which at least as many are in the window.
    FREQVISION_INLINE uint32_t take(unsigned bits) {
        const uint32_t value = static_cast<uint32_t>(window >> 1 >> (63 - bits));
        drop(bits);
        return value;
    }

    // More bits were taken than there are.
    FREQVISION_INLINE bool overrun() const {
        return FREQVISION_UNLIKELY(next > end) && static_cast<uint64_t>(next - end) * 8 > count;
    }
};

// The signed value (T.81 F.2.2.1, EXTEND) in the first bits of a left-aligned word, given 63 − number of
// bits; 0 for no bits. A value that begins with a 0 bit is negative, and its magnitude the complement of its
// bits.
FREQVISION_INLINE static int extend(uint64_t word, unsigned shift) {
    const uint64_t negative = ~static_cast<uint64_t>(static_cast<int64_t>(word) >> 63);
    const uint64_t magnitude = (word ^ negative) >> 1 >> (shift & 63);
    return static_cast<int>((magnitude ^ negative) - negative);
}

// The symbol of a code of any length, or −1 if it is no code. Needs 16 bits in the window; drops the code.
static int long_symbol(Bits& bits, const HuffmanCode& code, int shortest) {
    const uint32_t peek = static_cast<uint32_t>(bits.window >> 48);
    int length = shortest;
    for (int i = shortest; i <= 16; ++i) length += peek >= code.limit[i];  // which length it is, is chance
    if (length > 16) return -1;
    bits.drop(length);
    return code.values[(code.offset[length] + static_cast<int>(peek >> (16 - length))) & 255];
}

// For progressive scans. Needs 16 bits in the window.
FREQVISION_INLINE static int symbol(Bits& bits, const HuffmanTable& table) {
    const uint32_t entry = table.plain[bits.window >> (64 - kSymbolBits)];
    if (FREQVISION_LIKELY(entry != 0)) {
        bits.drop(entry >> 8);
        return entry & 255;
    }
    return long_symbol(bits, table.code, kSymbolBits + 1);
}

}  // namespace freqvision::FREQVISION_ISA
