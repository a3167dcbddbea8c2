// Progressive Huffman decoding (T.81 G.2). Coefficients of several scans add up in the same blocks.
#include <algorithm>

#include "jpeg/bits.h"

namespace freqvision::FREQVISION_ISA {

namespace {

// Calls decode(slot, block) for each block of the MCUs; block is nullptr where it lies outside the image.
// Nothing is stored that was decoded from bits beyond the end.
template <class Decode>
FREQVISION_INLINE RunResult for_each_block(McuJob& job, int begin, int end, Decode decode) {
    for (int mcu = begin; mcu < end; ++mcu) {
        for (int i = 0; i < job.slot_count; ++i) {
            const BlockSlot& slot = job.slots[i];
            const int column = mcu * slot.column_step + slot.column_offset;
            const bool wanted = slot.row && column >= slot.column_begin && column < slot.column_end;
            int16_t* block = wanted ? slot.row + std::ptrdiff_t{column - slot.column_begin} * 64 : nullptr;
            const RunStatus status = decode(slot, block);
            if (status != RunStatus::ok) return {mcu - begin, status};
        }
    }
    return {end - begin, RunStatus::ok};
}

int16_t shifted(int value, int shift) { return static_cast<int16_t>(static_cast<uint32_t>(value) << shift); }

}  // namespace

RunResult dc_first(BitState& state, McuJob& job, int begin, int end) {
    Bits bits(state);
    const RunResult result = for_each_block(job, begin, end, [&](const BlockSlot& slot, int16_t* block) {
        bits.refill();
        const int size = symbol(bits, *slot.dc);
        if (size < 0) return RunStatus::bad_code;
        uint32_t& prediction = job.predictions[slot.component];
        prediction += static_cast<uint32_t>(extend(bits.window, 63 - size));
        bits.drop(size);
        if (bits.overrun()) return RunStatus::overrun;
        if (block) block[0] = shifted(static_cast<int>(prediction), job.shift);
        return RunStatus::ok;
    });
    bits.store(state);
    return result;
}

RunResult dc_refine(BitState& state, McuJob& job, int begin, int end) {
    Bits bits(state);
    const int16_t bit = static_cast<int16_t>(1 << job.shift);
    const RunResult result = for_each_block(job, begin, end, [&](const BlockSlot&, int16_t* block) {
        bits.need(1);
        if (bits.take(1) && block) block[0] = static_cast<int16_t>(block[0] | bit);  // beyond the end: a 0
        return bits.overrun() ? RunStatus::overrun : RunStatus::ok;
    });
    bits.store(state);
    return result;
}

RunResult ac_first(BitState& state, BandJob& job, int begin, int end) {
    Bits bits(state);
    const HuffmanTable& table = *job.table;
    RunStatus status = RunStatus::ok;
    uint32_t run_of_ends = job.end_of_band_run;
    int i = begin;
    while (i < end) {
        if (run_of_ends) {  // blocks without anything in this band cost nothing
            const int skipped =
                run_of_ends < static_cast<uint32_t>(end - i) ? static_cast<int>(run_of_ends) : end - i;
            run_of_ends -= skipped;
            i += skipped;
            continue;
        }
        int16_t* block = job.row + std::ptrdiff_t{i} * 64;
        uint64_t& nonzero = job.nonzero[i];
        for (int k = job.band_begin; k <= job.band_end; ++k) {
            bits.refill();
            const int rs = symbol(bits, table);
            if (rs < 0) {
                status = RunStatus::bad_code;
                break;
            }
            const int run = rs >> 4, size = rs & 15;
            if (size) {
                bits.strayed |= k + run > job.band_end;
                k = std::min(k + run, 63);  // beyond the band, too, as in libjpeg
                const int value = extend(bits.window, 63 - size);
                bits.drop(size);
                if (bits.overrun()) break;
                const int16_t coefficient = shifted(value, job.shift);
                block[job.positions[k]] = coefficient;
                nonzero = (nonzero & ~(uint64_t{1} << k)) | uint64_t{coefficient != 0} << k;
            } else if (run == 15) {
                k += 15;
            } else {
                run_of_ends = (1u << run) + bits.take(run) - 1;
                break;
            }
        }
        if (status == RunStatus::ok && bits.overrun()) status = RunStatus::overrun;
        if (status != RunStatus::ok) break;
        ++i;
    }
    job.end_of_band_run = run_of_ends;
    bits.store(state);
    return {i - begin, status};
}

RunResult ac_refine(BitState& state, BandJob& job, int begin, int end) {
    Bits bits(state);
    const HuffmanTable& table = *job.table;
    const int16_t plus = static_cast<int16_t>(1 << job.shift);
    const int16_t minus = static_cast<int16_t>(-plus);
    RunStatus status = RunStatus::ok;
    uint32_t run_of_ends = job.end_of_band_run;
    int i = begin;

    // A coefficient that is not zero yet gets one more bit of magnitude.
    const auto correct = [&](int16_t& coefficient) {
        bits.need(1);
        if (bits.take(1) && !(coefficient & plus)) {
            coefficient = static_cast<int16_t>(coefficient + (coefficient >= 0 ? plus : minus));
        }
    };

    const uint64_t band = ~uint64_t{0} >> (63 - job.band_end);  // and what is before it
    for (; i < end; ++i) {
        int16_t* block = job.row + std::ptrdiff_t{i} * 64;
        uint64_t& nonzero = job.nonzero[i];
        int k = job.band_begin;
        if (run_of_ends == 0) {
            for (; k <= job.band_end; ++k) {
                bits.refill();
                const int rs = symbol(bits, table);
                if (rs < 0 || (rs & 15) > 1) {
                    status = RunStatus::bad_code;
                    break;
                }
                int zeros = rs >> 4;
                int16_t value = 0;
                if (rs & 15) {
                    value = bits.take(1) ? plus : minus;
                } else if (zeros != 15) {
                    run_of_ends = (1u << zeros) + bits.take(zeros);
                    break;
                }
                if (bits.overrun()) break;
                // Past as many zeros, up to another one.
                for (uint64_t ahead = nonzero & band; k <= job.band_end; ++k) {
                    ahead = ahead >> k << k;
                    const int next = ahead ? std::countr_zero(ahead) : job.band_end + 1;
                    if (zeros < next - k) {
                        k += zeros;
                        break;
                    }
                    zeros -= next - k;
                    k = next;
                    if (ahead) correct(block[job.positions[k]]);
                }
                if (value) {
                    // Where no zero is left: over what stands after the band, as in libjpeg.
                    bits.strayed |= k > job.band_end;
                    k = std::min({k, job.band_end + 1, 63});
                    block[job.positions[k]] = value;
                    nonzero |= uint64_t{1} << k;
                }
            }
        }
        if (status != RunStatus::ok) break;
        if (run_of_ends) {
            if (k <= job.band_end) {
                for (uint64_t ahead = (nonzero & band) >> k << k; ahead; ahead &= ahead - 1)
                    correct(block[job.positions[std::countr_zero(ahead)]]);
            }
            --run_of_ends;
        }
        if (bits.overrun()) {
            status = RunStatus::overrun;
            break;
        }
    }
    job.end_of_band_run = run_of_ends;
    bits.store(state);
    return {i - begin, status};
}

}  // namespace freqvision::FREQVISION_ISA
