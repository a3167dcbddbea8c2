// Removal of byte stuffing (T.81 B.1.1.5), so that the bit reader need not look at the bytes it takes.
#include <cstring>

#include "jpeg/kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace freqvision::FREQVISION_ISA {

namespace {

// Copies up to the next 0xFF or the end, in pieces of which the last may be written too long.
inline void copy_plain(const uint8_t*& source, const uint8_t* end, uint8_t*& target) {
#if defined(__AVX2__)
    while (end - source >= 32) {
        const __m256i piece = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), piece);
        const auto stuffed =
            static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(piece, _mm256_set1_epi8(-1))));
        const int plain = stuffed ? __builtin_ctz(stuffed) : 32;
        source += plain;
        target += plain;
        if (stuffed) return;
    }
#elif defined(__SSE2__) && defined(__GNUC__)
    while (end - source >= 16) {
        const __m128i piece = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(target), piece);
        const auto stuffed =
            static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(piece, _mm_set1_epi8(-1))));
        const int plain = stuffed ? __builtin_ctz(stuffed) : 16;
        source += plain;
        target += plain;
        if (stuffed) return;
    }
#else
    while (end - source >= 8) {
        uint64_t piece;
        std::memcpy(&piece, source, 8);
        // A byte is 0xFF where its complement is zero.
        const uint64_t inverse = ~piece;
        if ((inverse - 0x0101010101010101u) & piece & 0x8080808080808080u) break;
        std::memcpy(target, source, 8);
        source += 8;
        target += 8;
    }
#endif
    while (source < end && *source != 0xFF) *target++ = *source++;
}

// To the next 0xFF that is not followed by 0 or a restart marker's code, or to the last bytes.
inline const uint8_t* find_candidate(const uint8_t* at, const uint8_t* end) {
#if defined(__AVX2__)
    const __m256i ff = _mm256_set1_epi8(-1), zero = _mm256_setzero_si256();
    const __m256i restart = _mm256_set1_epi8(static_cast<char>(0xD0)),
                  high = _mm256_set1_epi8(static_cast<char>(0xF8));
    for (; end - at > 32; at += 32) {
        const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
        const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at + 1));
        const __m256i plain = _mm256_or_si256(_mm256_cmpeq_epi8(second, zero),
                                              _mm256_cmpeq_epi8(_mm256_and_si256(second, high), restart));
        const auto found = static_cast<uint32_t>(
            _mm256_movemask_epi8(_mm256_andnot_si256(plain, _mm256_cmpeq_epi8(first, ff))));
        if (found) return at + __builtin_ctz(found);
    }
#elif defined(__SSE2__) && defined(__GNUC__)
    const __m128i ff = _mm_set1_epi8(-1), zero = _mm_setzero_si128();
    const __m128i restart = _mm_set1_epi8(static_cast<char>(0xD0)),
                  high = _mm_set1_epi8(static_cast<char>(0xF8));
    for (; end - at > 16; at += 16) {
        const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 1));
        const __m128i plain =
            _mm_or_si128(_mm_cmpeq_epi8(second, zero), _mm_cmpeq_epi8(_mm_and_si128(second, high), restart));
        const auto found =
            static_cast<uint32_t>(_mm_movemask_epi8(_mm_andnot_si128(plain, _mm_cmpeq_epi8(first, ff))));
        if (found) return at + __builtin_ctz(found);
    }
#endif
    const void* found = at < end ? std::memchr(at, 0xFF, end - at) : nullptr;
    return found ? static_cast<const uint8_t*>(found) : end;
}

}  // namespace

const uint8_t* find_marker(const uint8_t* begin, const uint8_t* end) {
    for (const uint8_t* at = begin;;) {
        at = find_candidate(at, end);
        const uint8_t* code = at;
        while (code < end && *code == 0xFF) ++code;  // fill bytes
        if (code == end) return end;
        if (*code != 0 && (*code & 0xF8) != 0xD0) return at;
        at = code + 1;
    }
}

UnstuffResult unstuff(const uint8_t* source, const uint8_t* end, uint8_t* target) {
    for (;;) {
        copy_plain(source, end, target);
        if (source == end) return {source, target};
        // Fill bytes may stand before the byte that decides (T.81 B.1.1.2).
        const uint8_t* after = source + 1;
        while (after < end && *after == 0xFF) ++after;
        if (after == end || *after != 0) return {source, target};
        *target++ = 0xFF;
        source = after + 1;
    }
}

}  // namespace freqvision::FREQVISION_ISA
