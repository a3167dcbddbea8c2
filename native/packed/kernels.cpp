// Compiled several times, each with its own FREQVISION_ISA and flags; see pipeline/kernels.cpp.
#include "packed/kernels.h"

#ifdef __AVX512BW__
#include <immintrin.h>
#endif

namespace freqvision::FREQVISION_ISA {
namespace {

// `size` bytes hold one bit of each value, the lowest of all values first. Always of eight bits, or sixteen:
// branches on every width would be mispredicted. What lies above `width` are other values' bits.
#ifdef __AVX512BW__

template <int Begin>
inline __m512i add_bits(const uint8_t* bits, size_t size, __m512i x) {
    for (int i = Begin; i < Begin + 8; ++i) {
        uint32_t bit;
        __builtin_memcpy(&bit, bits + i * size, 4);
        x = _mm512_mask_add_epi16(x, bit, x, _mm512_set1_epi16(static_cast<int16_t>(1 << i)));
    }
    return x;
}

inline void unpack_line(const uint8_t* bits, size_t size, int width, int16_t* line) {
    __m512i x = add_bits<0>(bits, size, _mm512_setzero_si512());
    if (width > 8) x = add_bits<8>(bits, size, x);
    const __m128i unused = _mm_cvtsi32_si128(16 - width);
    _mm512_storeu_si512(line, _mm512_sra_epi16(_mm512_sll_epi16(x, unused), unused));
}

#else

typedef int16_t Shorts16 __attribute__((vector_size(32), aligned(2)));

template <int Begin>
inline Shorts16 add_bits(const uint8_t* bits, size_t size, Shorts16 x) {
    constexpr Shorts16 kPlace = {1,      1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,
                                 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, INT16_MIN};
    for (int i = Begin; i < Begin + 8; ++i) {
        int16_t bit;
        __builtin_memcpy(&bit, bits + i * size, 2);
        const auto place = static_cast<int16_t>(1 << i);  // named: with UBSan a cast is no scalar for vectors
        x |= ((kPlace & bit) != 0) & place;
    }
    return x;
}

inline void unpack_line(const uint8_t* bits, size_t size, int width, int16_t* line) {
    const int unused = (16 - width) & 15;
    const auto any = static_cast<int16_t>(-(width > 0));
    for (int half = 0; half < 2; ++half) {
        Shorts16 x = add_bits<0>(bits + 2 * half, size, Shorts16{});
        if (width > 8) x = add_bits<8>(bits + 2 * half, size, x);
        x = (x << unused >> unused) & any;
        __builtin_memcpy(line + 16 * half, &x, sizeof x);
    }
}

#endif

void unpack(const uint8_t* widths, const uint8_t* bits, int frequencies, int columns, int16_t* lines,
            size_t stride) {
    const size_t size = (columns + 7) / 8;
    // Mostly the last ones, the highest, are zero.
    int end = frequencies;
    for (; end > 0 && (widths[(end - 1) / 2] >> (end - 1) % 2 * 4 & 15) == 0; --end)
        __builtin_memset(lines + (end - 1) * stride, 0, 64);
    for (int k = 0; k < end; ++k, lines += stride) {
        int width = widths[k / 2] >> k % 2 * 4 & 15;
        width += width == 15;
        unpack_line(bits, size, width, lines);
        bits += width * size;
    }
}

void sum(int16_t* line) {
    // Eight at a time by shifts of a vector, in which the carry from the left is one addition. Unsigned: sums
    // of damaged differences wrap around.
    typedef uint16_t Shorts8 __attribute__((vector_size(16), aligned(2)));
    typedef uint64_t Longs2 __attribute__((vector_size(16)));
    Shorts8 carry = {};
    for (int i = 0; i < 32; i += 8) {
        Shorts8 x;
        __builtin_memcpy(&x, line + i, sizeof x);
        x += reinterpret_cast<Shorts8>(reinterpret_cast<Longs2>(x) << 16);  // in each half
        x += reinterpret_cast<Shorts8>(reinterpret_cast<Longs2>(x) << 32);
        x += Shorts8{0, 0, 0, 0, x[3], x[3], x[3], x[3]};
        x += carry;
        __builtin_memcpy(line + i, &x, sizeof x);
        carry = Shorts8{} + x[7];
    }
}

}  // namespace

extern const PackedKernels kPackedKernels;
const PackedKernels kPackedKernels = {unpack, sum};

}  // namespace freqvision::FREQVISION_ISA
