// Compiled several times, each with its own FREQVISION_ISA and flags: nothing here may be shared between
// translation units (no inline functions of the standard library), or the linker could pick a copy that
// the processor cannot run.
#include "pipeline/kernels.h"

#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#define FREQVISION_GROUP 2
#else
#define FREQVISION_GROUP 1
#endif

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(Indices, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(Indices, a, b, ...) __builtin_shuffle(a, b, Indices{__VA_ARGS__})
#endif
#define INTERLEAVE_LOW(a, b) SHUFFLE(Bytes16, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define INTERLEAVE_HIGH(a, b) \
    SHUFFLE(Bytes16, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)

namespace freqvision::FREQVISION_ISA {
namespace {

constexpr int kGroup = FREQVISION_GROUP;
constexpr int kWidth = kGroup * kLanes;

typedef float Floats8 __attribute__((vector_size(32), aligned(4)));
typedef int Ints8 __attribute__((vector_size(32), aligned(4)));
typedef int16_t Shorts8 __attribute__((vector_size(16), aligned(2)));
typedef int16_t Shorts16 __attribute__((vector_size(32), aligned(2)));
typedef uint8_t Bytes16 __attribute__((vector_size(16), aligned(1)));
typedef uint64_t Longs2 __attribute__((vector_size(16), aligned(8)));
// As wide as the processor's registers: one group of rows in the horizontal, columns in the vertical product.
typedef float Floats __attribute__((vector_size(4 * kWidth), aligned(4)));
typedef int Ints __attribute__((vector_size(4 * kWidth), aligned(4)));
typedef uint8_t Bytes __attribute__((vector_size(kWidth), aligned(1)));

template <class T>
inline T load(const void* from) {
    T value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}
template <class T>
inline void save(void* to, T value) {
    __builtin_memcpy(to, &value, sizeof value);
}

// Eight values of two vectors, or of each of a group's rows in them.
template <int... i>
inline Floats8 shuffle(Floats8 a, Floats8 b) {
    return SHUFFLE(Ints8, a, b, i...);
}
#if FREQVISION_GROUP == 2
template <int... i>
inline Floats shuffle(Floats a, Floats b) {
    return SHUFFLE(Ints, a, b, (i < 8 ? i : i + 8)..., (i < 8 ? i + 8 : i + 16)...);
}
#endif

// Eight bytes and eight zeros, by a register: a vector put together in memory is read back late.
inline Bytes16 load_half(const void* from) {
    return reinterpret_cast<Bytes16>(Longs2{load<uint64_t>(from), 0});
}

void project(const float (*rows)[8], int blocks, const float* const* basis, int frequencies, float* out,
             float* largest) {
    Floats8 greatest = load<Floats8>(largest);
    for (int b = 0; b < blocks; ++b, rows += 8, out += 8 * frequencies) {
        for (int f = 0; f < frequencies; ++f) {
            Floats8 sum = {};
            for (int i = 0; i < 8; ++i) sum += basis[f][i] * load<Floats8>(rows[i]);
            for (int k = 0; k < 8; ++k) out[k * frequencies + f] = sum[k];
            const Floats8 magnitude = sum < 0 ? -sum : sum;
            greatest = magnitude > greatest ? magnitude : greatest;
        }
    }
    save(largest, greatest);
}

#if FREQVISION_GROUP == 2
using Shorts = Shorts16;
inline Shorts load_both(const int16_t* first, const int16_t* second) {
    return reinterpret_cast<Shorts>(
        _mm256_inserti128_si256(_mm256_castsi128_si256(load<__m128i>(first)), load<__m128i>(second), 1));
}
inline Floats widen(Shorts x) {
    const __mmask16 all = 0xFFFF;  // compilers warn of the functions without a mask
    return reinterpret_cast<Floats>(
        _mm512_maskz_cvtepi32_ps(all, _mm512_maskz_cvtepi16_epi32(all, reinterpret_cast<__m256i>(x))));
}
#else
using Shorts = Shorts8;
inline Shorts load_both(const int16_t* first, const int16_t*) { return load<Shorts>(first); }
inline Floats widen(Shorts x) { return __builtin_convertvector(x, Floats); }
#endif

// Eight values of each row of a group.
inline Floats load_rows(const int16_t* const* rows, size_t at) {
    return widen(load_both(rows[0] + at, rows[kGroup - 1] + at));
}

// A row of the quantisation table for each row of a group.
inline Floats load_steps(const float* quant) {
    Floats steps;
    for (int row = 0; row < kGroup; ++row)
        __builtin_memcpy(reinterpret_cast<float*>(&steps) + 8 * row, quant, 32);
    return steps;
}

void dequantise(const int16_t* const* rows, int count, const float* quant, float* group) {
    Floats table[8];
    for (int v = 0; v < 8; ++v) table[v] = load_steps(quant + 8 * v);
    for (int b = 0; b < count; ++b)
        for (int v = 0; v < 8; ++v)
            save(group + kWidth * (8 * b + v), load_rows(rows, 64 * b + 8 * v) * table[v]);
}

// The lower or upper halves of a and b, by turns, of each 16 bytes. Elements as long as what stays together:
// compilers then take one instruction.
template <class Element, bool Upper, class Vector, size_t... I>
inline Vector zip(Vector a, Vector b, std::index_sequence<I...>) {
    typedef Element Elements __attribute__((vector_size(sizeof(Vector))));
    constexpr size_t kHalf = 8 / sizeof(Element), kAll = sizeof...(I);
    const auto x = reinterpret_cast<Elements>(a), y = reinterpret_cast<Elements>(b);
    return reinterpret_cast<Vector>(
        SHUFFLE(Elements, x, y, (I / 2 + I / (2 * kHalf) * kHalf + Upper * kHalf + I % 2 * kAll)...));
}
template <class Element, class Vector>
inline void zip_pairs(Vector (&x)[8], int apart, Vector (&to)[8]) {
    constexpr std::make_index_sequence<sizeof(Vector) / sizeof(Element)> kPlaces;
    for (int i = 0; i < 8; i += 2 * apart) {
        for (int j = 0; j < apart; ++j) {
            to[i + 2 * j] = zip<Element, false>(x[i + j], x[i + j + apart], kPlaces);
            to[i + 2 * j + 1] = zip<Element, true>(x[i + j], x[i + j + apart], kPlaces);
        }
    }
}

// In: x[l] holds eight columns of line l (and of line 8 + l). Out: x[i] holds column i of all lines.
template <class Vector>
inline void turn_lines(Vector (&x)[8]) {
    Vector y[8];
    zip_pairs<int16_t>(x, 1, y);
    zip_pairs<int>(y, 2, x);
    zip_pairs<int64_t>(x, 4, y);
    for (int i = 0; i < 8; ++i) x[i] = y[i];
}

void spread(const int16_t* const* lines, int begin, int count, int count_v, const float* quant,
            float* group) {
    for (int b = 0; b < count; b += 8, group += 64 * kWidth) {
        for (int v = 0; v < count_v; ++v) {
            alignas(64) Shorts x[8];  // templates forget that its type may lie anywhere
            for (int l = 0; l < 8; ++l) {
                const int16_t* const* of = lines + kWidth * v + l;  // and of a second row, eight lanes on
                x[l] = load_both(of[0] + begin + b, of[kWidth - 8] + begin + b);
            }
            turn_lines(x);
            const Floats table = load<Floats>(quant + kWidth * v);
            for (int i = 0; i < 8; ++i) save(group + kWidth * (8 * i + v), widen(x[i]) * table);
        }
    }
}

void gather(const int16_t* const* lines, int begin, int count, int16_t* blocks) {
    for (int v = 0; v < 8; ++v) {
        for (int b = 0; b < count; b += 8) {
            alignas(64) Shorts8 x[8];
            for (int u = 0; u < 8; ++u) x[u] = load<Shorts8>(lines[8 * u + v] + begin + b);
            turn_lines(x);
            for (int i = 0; i < 8; ++i) save(blocks + 64 * (b + i) + 8 * v, x[i]);
        }
    }
}

// In: tile[c] holds the eight u's of column c. Out: tile[u] holds eight columns. Of each row of a group.
template <class Vector>
inline void transpose(Vector (&tile)[8]) {
    Vector a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = shuffle<0, 8, 2, 10, 4, 12, 6, 14>(tile[i], tile[i + 1]);
        a[i + 1] = shuffle<1, 9, 3, 11, 5, 13, 7, 15>(tile[i], tile[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int j = 0; j < 2; ++j) {
            b[i + j] = shuffle<0, 1, 8, 9, 4, 5, 12, 13>(a[i + j], a[i + j + 2]);
            b[i + j + 2] = shuffle<2, 3, 10, 11, 6, 7, 14, 15>(a[i + j], a[i + j + 2]);
        }
    }
    for (int i = 0; i < 4; ++i) {
        tile[i] = shuffle<0, 1, 2, 3, 8, 9, 10, 11>(b[i], b[i + 4]);
        tile[i + 4] = shuffle<4, 5, 6, 7, 12, 13, 14, 15>(b[i], b[i + 4]);
    }
}

// Eight columns of what a group's rows have come to: lanes[8 · row + i][at…] from tile[i].
inline void save_rows(const Floats (&tile)[8], float* const* lanes, ptrdiff_t at) {
    for (int row = 0; row < kGroup; ++row)
        for (int i = 0; i < 8; ++i)
            __builtin_memcpy(lanes[8 * row + i] + at, reinterpret_cast<const float*>(&tile[i]) + 8 * row, 32);
}

// The inverse DCT of eight values, in each lane, by Arai, Agui and Nakajima: 5 multiplications, 29 additions.
template <class Vector>
inline void inverse_dct(Vector (&x)[8]) {
    const Vector sum04 = x[0] + x[4], difference04 = x[0] - x[4], sum26 = x[2] + x[6];
    const Vector difference26 = (x[2] - x[6]) * 1.414213562f - sum26;
    const Vector e0 = sum04 + sum26, e3 = sum04 - sum26;
    const Vector e1 = difference04 + difference26, e2 = difference04 - difference26;
    const Vector sum53 = x[5] + x[3], difference53 = x[5] - x[3];
    const Vector sum17 = x[1] + x[7], difference17 = x[1] - x[7];
    const Vector z = (difference53 + difference17) * 1.847759065f;
    const Vector o7 = sum17 + sum53;
    const Vector o6 = z - difference53 * 2.613125930f - o7;
    const Vector o5 = (sum17 - sum53) * 1.414213562f - o6;
    const Vector o4 = difference17 * 1.082392200f - z + o5;
    x[0] = e0 + o7;
    x[7] = e0 - o7;
    x[1] = e1 + o6;
    x[6] = e1 - o6;
    x[2] = e2 + o5;
    x[5] = e2 - o5;
    x[4] = e3 + o4;
    x[3] = e3 - o4;
}

// Gives block by block the inverse DCTs along v: x[c] holds the u's of column c, of each row of a group.
template <class Give>
inline void inverse_columns(const int16_t* const* rows, int count, const float* quant, const Give& give) {
    Floats table[8];
    for (int v = 0; v < 8; ++v) table[v] = load_steps(quant + 8 * v);
    for (int b = 0; b < count; ++b) {
        alignas(64) Floats x[8];
        for (int v = 0; v < 8; ++v) x[v] = load_rows(rows, 64 * b + 8 * v) * table[v];
        inverse_dct(x);
        give(b, x);
    }
}

void inverse(const int16_t* const* rows, int count, const float* quant, float* group) {
    inverse_columns(rows, count, quant, [&](int b, const Floats(&x)[8]) {
        for (int c = 0; c < 8; ++c) save(group + kWidth * (8 * b + c), x[c]);
    });
}

void samples(const int16_t* const* rows, int count, const float* quant, float* const* strips) {
    inverse_columns(rows, count, quant, [&](int b, Floats(&x)[8]) {
        transpose(x);
        inverse_dct(x);
        save_rows(x, strips, 8 * b);
    });
}

void resample(const float* group, const float* weights, const int* first, int count, int origin, int columns,
              float* const* strips, float* scratch) {
    for (int c0 = 0; c0 < columns; c0 += 8) {
        const int width = columns - c0 < 8 ? columns - c0 : 8;
        for (int c = 0; c < width; ++c) {
            const float* w = weights + static_cast<ptrdiff_t>(count) * (c0 + c);
            const float* x = group + static_cast<ptrdiff_t>(kWidth) * (first[c0 + c] - origin);
            Floats sum = {};
            for (int i = 0; i < count; ++i) sum += w[i] * load<Floats>(x + kWidth * i);
            save(scratch + c * kWidth, sum);
        }
        alignas(64) Floats tile[8];
        for (int c = 0; c < 8; ++c) tile[c] = load<Floats>(scratch + c * kWidth);
        transpose(tile);
        inverse_dct(tile);
        save_rows(tile, strips, c0);
    }
}

template <int C>
inline void blend_tile(const float* const* strips, int rows, const float* weights, int column, float* to) {
    Floats sum[C] = {};
    for (int row = 0; row < rows; ++row)
        for (int c = 0; c < C; ++c) sum[c] += weights[row] * load<Floats>(strips[row] + column + kWidth * c);
    for (int c = 0; c < C; ++c) save(to + column + kWidth * c, sum[c]);
}

void blend(const float* const* strips, int rows, const float* weights, int columns, float* to) {
    int column = 0;
    for (; column + 4 * kWidth <= columns; column += 4 * kWidth)
        blend_tile<4>(strips, rows, weights, column, to);
    for (; column < columns; column += kWidth) blend_tile<1>(strips, rows, weights, column, to);
}

template <int F>
void horizontal_columns(const float* group, int count_v, const float* weights, const int* first,
                        const int* count, const size_t* offset, int origin, int columns, int stride,
                        float* const* lanes, float* scratch) {
    for (int c0 = 0; c0 < columns; c0 += 8) {
        const int width = columns - c0 < 8 ? columns - c0 : 8;
        for (int c = 0; c < width; ++c) {
            Floats even[F] = {}, odd[F] = {};  // two chains each, to hide the latency of the additions
            const float* w = weights + offset[c0 + c];
            const int begin = first[c0 + c] - origin;
            for (int b = begin; b < begin + count[c0 + c]; ++b, w += 8 * F) {
                const float* x = group + static_cast<size_t>(64) * kGroup * b;
                for (int v = 0; v < count_v; v += 2) {
                    const Floats x0 = load<Floats>(x + kWidth * v), x1 = load<Floats>(x + kWidth * (v + 1));
                    for (int f = 0; f < F; ++f) {
                        even[f] += w[v * F + f] * x0;
                        odd[f] += w[(v + 1) * F + f] * x1;
                    }
                }
            }
            for (int f = 0; f < F; ++f) save(scratch + (f * 8 + c) * kWidth, even[f] + odd[f]);
        }
        for (int f = 0; f < F; ++f) {
            alignas(64) Floats tile[8];
            for (int c = 0; c < 8; ++c) tile[c] = load<Floats>(scratch + (f * 8 + c) * kWidth);
            transpose(tile);
            save_rows(tile, lanes, static_cast<ptrdiff_t>(f) * stride + c0);
        }
    }
}

void horizontal(const float* group, int count_v, const float* weights, const int* first, const int* count,
                const size_t* offset, int origin, int columns, int frequencies, int stride,
                float* const* lanes, float* scratch) {
    switch (frequencies) {
#define FREQVISION_CASE(F)                                                                                   \
    case F:                                                                                                  \
        return horizontal_columns<F>(group, count_v, weights, first, count, offset, origin, columns, stride, \
                                     lanes, scratch);
        FREQVISION_CASE(1)
        FREQVISION_CASE(2)
        FREQVISION_CASE(3)
        FREQVISION_CASE(4)
        FREQVISION_CASE(5)
        FREQVISION_CASE(6)
        FREQVISION_CASE(7)
        FREQVISION_CASE(8)
#undef FREQVISION_CASE
    }
}

// K outputs × C vectors of columns stay in registers while the source rows stream by.
template <int K, int C>
inline void vertical_tile(const float* const* strips, int rows, size_t step, int sources,
                          const float* weights, int frequencies, const int* picks, int column,
                          float* const* to) {
    Floats sum[K][C] = {};
    for (int row = 0; row < rows; ++row, weights += 8 * frequencies) {
        const float *x = strips[row] + column, *w = weights;
        for (int u = 0; u < sources; ++u, x += step, w += frequencies) {
            Floats value[C];
            for (int c = 0; c < C; ++c) value[c] = load<Floats>(x + kWidth * c);
            for (int k = 0; k < K; ++k)
                for (int c = 0; c < C; ++c) sum[k][c] += w[picks[k]] * value[c];
        }
    }
    for (int k = 0; k < K; ++k)
        for (int c = 0; c < C; ++c) save(to[k] + column + kWidth * c, sum[k][c]);
}

template <int K>
void vertical_outputs(const float* const* strips, int rows, size_t step, int sources, const float* weights,
                      int frequencies, const int* picks, int columns, float* const* to) {
    constexpr int kTile = kGroup == 2 ? 4 : 2;
    int column = 0;
    for (; column + kTile * kWidth <= columns; column += kTile * kWidth)
        vertical_tile<K, kTile>(strips, rows, step, sources, weights, frequencies, picks, column, to);
    for (; column < columns; column += kWidth)
        vertical_tile<K, 1>(strips, rows, step, sources, weights, frequencies, picks, column, to);
}

void vertical(const float* const* strips, int rows, size_t step, int sources, const float* weights,
              int frequencies, const int* picks, int outputs, int columns, float* const* to) {
    for (; outputs >= 4; outputs -= 4, picks += 4, to += 4)
        vertical_outputs<4>(strips, rows, step, sources, weights, frequencies, picks, columns, to);
    switch (outputs) {
#define FREQVISION_CASE(K) \
    case K:                \
        return vertical_outputs<K>(strips, rows, step, sources, weights, frequencies, picks, columns, to);
        FREQVISION_CASE(3)
        FREQVISION_CASE(2)
        FREQVISION_CASE(1)
#undef FREQVISION_CASE
    }
}

// Round to nearest even by the hardware's own addition: exact for |x| < 2²².
inline float round_even(float x) {
    constexpr float magic = 12582912.0f;  // 1.5 · 2²³
    return (x + magic) - magic;
}

inline uint16_t to_bfloat16(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// Round to nearest even, subnormals and overflow to infinity included; the input is finite.
inline uint16_t to_float16(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    const uint32_t sign = (bits >> 16) & 0x8000;
    bits &= 0x7FFFFFFF;
    if (bits >= 0x477FF000) return static_cast<uint16_t>(sign | 0x7C00);
    if (bits < 0x38800000) {  // subnormal: let the addition of 0.5 align and round the fraction
        float magnitude;
        __builtin_memcpy(&magnitude, &bits, 4);
        magnitude += 0.5f;
        __builtin_memcpy(&bits, &magnitude, 4);
        return static_cast<uint16_t>(sign | (bits - 0x3F000000));
    }
    bits += 0xC8000FFF + ((bits >> 13) & 1);  // rebias the exponent and round
    return static_cast<uint16_t>(sign | (bits >> 13));
}

template <DataType type>
inline auto cast(float x) {
    if constexpr (type == DataType::float32) {
        return x;
    } else if constexpr (type == DataType::float16) {
        return to_float16(x);
    } else if constexpr (type == DataType::bfloat16) {
        return to_bfloat16(x);
    } else if constexpr (type == DataType::int8) {
        x = x < -128 ? -128 : x;
        return static_cast<int8_t>(static_cast<int>(round_even(x > 127 ? 127 : x)));
    } else {
        x += 0.5f;
        return static_cast<uint8_t>(static_cast<int>(x > 255 ? 255 : x));
    }
}

template <DataType type>
void store_as(const float* from, int columns, float gain, float bias, void* to) {
    auto* const out = static_cast<decltype(cast<type>(0))*>(to);
    for (int c = 0; c < columns; ++c) out[c] = cast<type>(gain * from[c] + bias);
}

// Calls function<type>(arguments...).
#define FREQVISION_BY_TYPE(type, function, ...)               \
    switch (type) {                                           \
        case DataType::float32:                               \
            return function<DataType::float32>(__VA_ARGS__);  \
        case DataType::float16:                               \
            return function<DataType::float16>(__VA_ARGS__);  \
        case DataType::bfloat16:                              \
            return function<DataType::bfloat16>(__VA_ARGS__); \
        case DataType::int8:                                  \
            return function<DataType::int8>(__VA_ARGS__);     \
        case DataType::uint8:                                 \
            return function<DataType::uint8>(__VA_ARGS__);    \
    }

void store(const float* from, int columns, float gain, float bias, DataType type, void* to) {
    FREQVISION_BY_TYPE(type, store_as, from, columns, gain, bias, to)
}

template <DataType type>
void mix_as(const float* const* components, int count, const float (*matrix)[3], int channels, int columns,
            const float* gain, const float* bias, void* const* to) {
    const Floats zero = {}, most = zero + 255.0f;
    using Value = decltype(cast<type>(0));
    for (int c = 0; c < columns; c += kWidth) {
        Floats x[3] = {};
        for (int i = 0; i < count; ++i) x[i] = load<Floats>(components[i] + c);
        for (int k = 0; k < channels; ++k) {
            Floats sum = matrix[k][0] * x[0] + 128.0f;
            if (count == 3) sum += matrix[k][1] * x[1] + matrix[k][2] * x[2];
            sum = sum > zero ? sum : zero;
            sum = gain[k] * (sum < most ? sum : most) + bias[k];
            Value values[kWidth];
            if constexpr (type == DataType::uint8) {
                sum += 0.5f;
                save(values, __builtin_convertvector(__builtin_convertvector(sum < 255.0f ? sum : most, Ints),
                                                     Bytes));
            } else {
                for (int i = 0; i < kWidth; ++i) values[i] = cast<type>(sum[i]);
            }
            Value* const out = static_cast<Value*>(to[k]) + c;
#if FREQVISION_GROUP == 2
            // Batches are larger than the cache: whole lines are not read before they are written.
            const bool whole_line = columns - c >= kWidth && reinterpret_cast<uintptr_t>(out) % 64 == 0;
            if (type == DataType::float32 && whole_line) {
                _mm512_stream_ps(reinterpret_cast<float*>(out), reinterpret_cast<__m512>(sum));
                continue;
            }
#endif
            if (columns - c >= kWidth)
                __builtin_memcpy(out, values, sizeof values);
            else
                __builtin_memcpy(out, values, (columns - c) * sizeof(Value));
        }
    }
}

void mix(const float* const* components, int count, const float (*matrix)[3], int channels, int columns,
         const float* gain, const float* bias, DataType type, void* const* to) {
    FREQVISION_BY_TYPE(type, mix_as, components, count, matrix, channels, columns, gain, bias, to)
}

template <class T>
void interleave_as(const uint8_t* from, int channels, int columns, uint8_t* to) {
    const T* in = reinterpret_cast<const T*>(from);
    T* out = reinterpret_cast<T*>(to);
    if (channels == 3) {
        for (int c = 0; c < columns; ++c) {
            out[3 * c] = in[c];
            out[3 * c + 1] = in[columns + c];
            out[3 * c + 2] = in[2 * columns + c];
        }
        return;
    }
    for (int k = 0; k < channels; ++k)
        for (int c = 0; c < columns; ++c) out[channels * c + k] = in[k * columns + c];
}

void interleave(const uint8_t* from, int channels, int columns, size_t size, uint8_t* to) {
    if (size == 1) return interleave_as<uint8_t>(from, channels, columns, to);
    if (size == 2) return interleave_as<uint16_t>(from, channels, columns, to);
    return interleave_as<uint32_t>(from, channels, columns, to);
}

template <int Size>
void turn_as(const uint8_t* from, int lines, size_t line_size, int begin, int columns, uint8_t* to,
             size_t step) {
    for (int c = begin; c < columns; ++c)
        for (int i = 0; i < lines; ++i)
            __builtin_memcpy(to + c * step + i * Size, from + i * line_size + c * Size, Size);
}

// Whole tiles of eight lines and columns; returns the columns done.
int turn_bytes(const uint8_t* from, size_t line_size, int columns, uint8_t* to, size_t step) {
    int c = 0;
    for (; c + 8 <= columns; c += 8) {
        Bytes16 a[4], b[4];
        for (int i = 0; i < 4; ++i) {
            const Bytes16 low = load_half(from + i * line_size + c);
            const Bytes16 high = load_half(from + (i + 4) * line_size + c);
            a[i] = INTERLEAVE_LOW(low, high);
        }
        for (int i = 0; i < 2; ++i) {
            b[2 * i] = INTERLEAVE_LOW(a[i], a[i + 2]);
            b[2 * i + 1] = INTERLEAVE_HIGH(a[i], a[i + 2]);
        }
        for (int i = 0; i < 2; ++i) {
            a[2 * i] = INTERLEAVE_LOW(b[i], b[i + 2]);
            a[2 * i + 1] = INTERLEAVE_HIGH(b[i], b[i + 2]);
        }
        for (int i = 0; i < 8; ++i)
            save<uint64_t>(to + (c + i) * step, reinterpret_cast<Longs2>(a[i / 2])[i % 2]);
    }
    return c;
}

int turn_floats(const uint8_t* from, size_t line_size, int columns, uint8_t* to, size_t step) {
    int c = 0;
    for (; c + 8 <= columns; c += 8) {
        alignas(64) Floats8 tile[8];
        for (int i = 0; i < 8; ++i) tile[i] = load<Floats8>(from + i * line_size + 4 * c);
        transpose(tile);
        for (int i = 0; i < 8; ++i) save(to + (c + i) * step, tile[i]);
    }
    return c;
}

void turn(const uint8_t* from, int lines, size_t line_size, int columns, size_t size, uint8_t* to,
          size_t step) {
    int begin = 0;
    if (lines == 8 && size == 1) begin = turn_bytes(from, line_size, columns, to, step);
    if (lines == 8 && size == 4) begin = turn_floats(from, line_size, columns, to, step);
    switch (size) {
#define FREQVISION_CASE(S) \
    case S:                \
        return turn_as<S>(from, lines, line_size, begin, columns, to, step);
        FREQVISION_CASE(1)
        FREQVISION_CASE(2)
        FREQVISION_CASE(3)
        FREQVISION_CASE(4)
        FREQVISION_CASE(6)
        FREQVISION_CASE(12)
#undef FREQVISION_CASE
    }
}

}  // namespace

extern const ResampleKernels kResampleKernels;
const ResampleKernels kResampleKernels = {kGroup,   project, dequantise, spread,     gather,
                                          inverse,  samples, horizontal, resample,   blend,
                                          vertical, mix,     store,      interleave, turn};

}  // namespace freqvision::FREQVISION_ISA
