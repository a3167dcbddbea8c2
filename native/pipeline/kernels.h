// The inner loops of the resampler, compiled once for each instruction set and chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace freqvision {

enum class DataType { float32, float16, bfloat16, int8, uint8 };
size_t size_of(DataType type);

constexpr int kLanes = 8;     // one lane for each vertical frequency of a block
constexpr int kMaxGroup = 2;  // see ResampleKernels::group
constexpr int kColumns = 16;  // output columns are padded to a multiple of this

// A group is `group` block rows side by side (the width of a vector), or more of them where high frequencies
// u are zero: [source block][frequency v][row][frequency u]. A strip is what the horizontal product leaves of
// one block row: [u][output frequency][column].
struct ResampleKernels {
    int group;

    // For building operators: out[b][k][f] = sum over i of basis[f][i] · rows[b][i][k], all counts 8 but
    // those of b and f. Raises largest[k] to the greatest magnitude.
    void (*project)(const float (*rows)[8], int blocks, const float* const* basis, int frequencies,
                    float* out, float* largest);

    // A group of `group` rows of int16 blocks in transposed order × quantisation table.
    void (*dequantise)(const int16_t* const* rows, int count, const float* quant, float* group);

    // One from lines of values, from column `begin` on: lines[8 · group · v + l] becomes lane l of frequency
    // v < count_v, in steps of `quant` in the same order. Writes up to 7 blocks more.
    void (*spread)(const int16_t* const* lines, int begin, int count, int count_v, const float* quant,
                   float* group);
    // Lines of all frequencies, lines[8 · u + v] → blocks in transposed order, up to 7 more.
    void (*gather)(const int16_t* const* lines, int begin, int count, int16_t* blocks);

    // As dequantise, with an inverse DCT from frequencies v to columns: a group [source
    // column][row][frequency u]. The scale of the inverse DCT is in `quant`.
    void (*inverse)(const int16_t* const* rows, int count, const float* quant, float* group);

    // The samples of such rows, inverse DCTs along both axes: strips[8 · row + sample row][column].
    void (*samples)(const int16_t* const* rows, int count, const float* quant, float* const* strips);

    // Columns of the operator on one group, of which the first `count_v` v's (an even number) may not be
    // zero. `weights`, `first`, `count`, `offset` are the Operator's, with `first` counted from the group's
    // first block. What comes of lane l is written to lanes[l][f · stride + column].
    void (*horizontal)(const float* group, int count_v, const float* weights, const int* first,
                       const int* count, const size_t* offset, int origin, int columns, int frequencies,
                       int stride, float* const* lanes, float* scratch);

    // Columns of an operator on samples on such a group, and the inverse DCT from frequencies u to rows.
    // Writes strips[8 · row + sample row][column].
    void (*resample)(const float* group, const float* weights, const int* first, int count, int origin,
                     int columns, float* const* strips, float* scratch);

    // One output row from rows of samples: the sum of weights[row] · strips[row].
    void (*blend)(const float* const* strips, int rows, const float* weights, int columns, float* to);

    // One output block row of the channels that share a horizontal frequency: for each k < outputs,
    // to[k][column] = sum over source rows and u < sources of weights[(row · 8 + u) · frequencies + picks[k]]
    // · strip. `strips[row]` points at the horizontal frequency in question, `step` apart from one u to the
    // next.
    void (*vertical)(const float* const* strips, int rows, size_t step, int sources, const float* weights,
                     int frequencies, const int* picks, int outputs, int columns, float* const* to);

    // The channels of a row of pixels: x = sum of matrix[k][i] · components[i] + 128, clamped to 0…255, and
    // gain[k] · x + bias[k], cast as by store, to to[k]. Up to kColumns − 1 columns more are read.
    void (*mix)(const float* const* components, int count, const float (*matrix)[3], int channels,
                int columns, const float* gain, const float* bias, DataType type, void* const* to);

    // gain · x + bias, cast: the normalised row of one channel. int8 is rounded to even, uint8 (whose input
    // is not negative) half up as pixels are; both saturate.
    void (*store)(const float* from, int columns, float gain, float bias, DataType type, void* to);

    // `channels` rows of `columns` values of `size` bytes, one after another → one row of pixels.
    void (*interleave)(const uint8_t* from, int channels, int columns, size_t size, uint8_t* to);

    // Up to 8 lines, `line_size` bytes apart, of `columns` elements of `size` bytes → columns: line i's
    // element c goes to place i of the line at c · step.
    void (*turn)(const uint8_t* from, int lines, size_t line_size, int columns, size_t size, uint8_t* to,
                 size_t step);
};

// Those for the instruction set in use (see cpu.h).
const ResampleKernels& resample_kernels();

}  // namespace freqvision
