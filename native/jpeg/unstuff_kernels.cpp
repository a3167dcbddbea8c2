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

}  // namespace

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
