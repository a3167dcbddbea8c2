// Compiled several times, each with its own FREQVISION_ISA and flags; see pipeline/kernels.cpp.
#include "packed/kernels.h"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace freqvision::FREQVISION_ISA {
namespace {

// `size` bytes hold one bit of each value, the lowest of all values first. Always of eight bits, or sixteen:
// branches on every width would be mispredicted.
#ifdef __AVX2__

// Where the bits of values of a `width` are, eight values in four bytes: first bits 0 to 3 of the values 0 to
// 7, of the values 8 to 15 and so on, then the same of bits 4 to 7. Bits above the width are its highest, the
// sign.
struct Order {
    alignas(32) uint8_t of[5][9][32] = {};  // size, width
    constexpr Order() {
        for (int size = 1; size <= 4; ++size)
            for (int width = 0; width <= 8; ++width)
                for (int i = 0; i < 32; ++i) {
                    const int column = i / 4 % 4, bit = i / 16 * 4 + i % 4;
                    const int begin = i < 16 || width <= 4 ? 0 : 4;  // of the 16 bytes
                    const int from = (bit < width ? bit : width - 1) - begin;
                    const bool none = width == 0 || column >= size;
                    of[size][width][i] = static_cast<uint8_t>(none ? 0x80 : size * from + column);
                }
    }
};
constexpr Order kOrder;

inline __m128i load16(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

// 32 values of up to eight bits.
inline __m256i unpack_bytes(const uint8_t* bits, size_t size, int width) {
    const auto* order = reinterpret_cast<const __m256i*>(kOrder.of[size][width]);
    __m256i x = _mm256_set_m128i(load16(bits + static_cast<size_t>(width > 4) * 4 * size), load16(bits));
    x = _mm256_shuffle_epi8(x, _mm256_load_si256(order));
    x = _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    // Eight bytes of a bit of eight values become eight values.
    const auto swap = [&](int distance, int64_t which) {
        __m256i change = _mm256_xor_si256(x, _mm256_srli_epi64(x, distance));
        change = _mm256_and_si256(change, _mm256_set1_epi64x(which));
        x = _mm256_xor_si256(x, _mm256_xor_si256(change, _mm256_slli_epi64(change, distance)));
    };
    swap(7, 0x00AA00AA00AA00AA);
    swap(14, 0x0000CCCC0000CCCC);
    swap(28, 0x00000000F0F0F0F0);
    return x;
}

inline void unpack_line(const uint8_t* bits, size_t size, int width, int16_t* line) {
    const auto widen = [](__m256i x, int half) {
        return _mm256_cvtepi8_epi16(half ? _mm256_extracti128_si256(x, 1) : _mm256_castsi256_si128(x));
    };
    auto* const to = reinterpret_cast<__m256i*>(line);
    if (width <= 8) {
        const __m256i x = unpack_bytes(bits, size, width);
        for (int half = 0; half < 2; ++half) _mm256_storeu_si256(to + half, widen(x, half));
        return;
    }
    const __m256i low = unpack_bytes(bits, size, 8), high = unpack_bytes(bits + 8 * size, size, width - 8);
    for (int half = 0; half < 2; ++half) {
        const __m256i x = _mm256_and_si256(widen(low, half), _mm256_set1_epi16(0xFF));
        _mm256_storeu_si256(to + half, _mm256_or_si256(x, _mm256_slli_epi16(widen(high, half), 8)));
    }
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
    static constexpr uint8_t kWidth[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16};
    const auto unpack_next = [&](int coded) {
        const int width = kWidth[coded];
        unpack_line(bits, size, width, lines);
        bits += width * size;
        lines += stride;
    };
    int k = 0;
    for (; k + 2 <= end; k += 2) {  // both of a byte
        unpack_next(widths[k / 2] & 15);
        unpack_next(widths[k / 2] >> 4);
    }
    if (k < end) unpack_next(widths[k / 2] & 15);
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
