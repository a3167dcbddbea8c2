// Baseline and extended sequential Huffman decoding (T.81 F.2.2).
#include "jpeg/bits.h"

namespace freqvision::FREQVISION_ISA {

namespace {

// One or two AC symbols whose entry is in the table: codes, runs and values without a branch. The chain from
// one entry to the next is a shift, a load and a shift; the values are computed beside it, mostly by loads,
// of which processors can do more at once than shifts.
template <bool kStore>
FREQVISION_INLINE const AcEntry* ac_symbols(Bits& bits, const AcEntry* table, const uint8_t* positions,
                                            int16_t* block, unsigned& k) {
    const uint64_t place = bits.window >> (64 - kAcBits);
    const unsigned taken = table[place].bits;
    uint64_t same = place;
    FREQVISION_OPAQUE(same);  // otherwise the chain's load waits for the entry's address to be computed
    const AcEntry* const entry = &table[same];
    if constexpr (kStore) {
        const uint64_t first_mask = entry->first_mask, last_mask = entry->last_mask;
        const uint64_t first = bits.window >> (entry->first_shift & 63) & first_mask;
        const uint64_t last = bits.window >> (-taken & 63) & last_mask;
        // Where there is no second symbol, both have one place and value.
        block[positions[k + entry->run]] = kValues.at[last_mask + last];
        block[positions[k + entry->first_run]] = kValues.at[first_mask + first];
    }
    k += entry->run;
    bits.drop(taken);
    return entry;
}

template <bool kStore>
RunStatus decode_block(Bits& bits, const BlockSlot& slot, uint32_t& prediction, const uint8_t* positions,
                       int16_t* block) {
    bits.refill();
    const uint32_t entry = slot.dc->dc[bits.window >> (64 - kDcBits)];
    if (FREQVISION_LIKELY(entry != 0)) {
        prediction += static_cast<uint32_t>(extend(bits.window << (entry >> 16 & 63), entry >> 24));
        bits.drop(entry & 63);
    } else {
        const int size = long_symbol(bits, slot.dc->code, kDcBits + 1);
        if (size < 0) return RunStatus::bad_code;
        prediction += static_cast<uint32_t>(extend(bits.window, 63 - size));
        bits.drop(size);
        bits.refill();
    }

    if constexpr (kStore) std::memset(block, 0, 128);
    const AcEntry* const table = slot.ac->ac;
    unsigned k = 0;  // zigzag index of the last coefficient
    for (;;) {
        // At least 30 bits are in the window here, and an entry takes at most kAcBits + kValueBits.
        const AcEntry* last;
        for (;;) {
            last = ac_symbols<kStore>(bits, table, positions, block, k);
            if (k >= 63) break;
            bits.refill();
            last = ac_symbols<kStore>(bits, table, positions, block, k);
            if (k >= 63) break;
        }
        const unsigned second_run = last->run - last->first_run, first = k - second_run;
        if (FREQVISION_UNLIKELY(first - 63 < kEndOfBlock - 63) && second_run) {
            // The block ended with the first: the second is of the next block's bits.
            k = first;
            bits.put_back(last->bits + last->first_shift - 64);
        }
        if (FREQVISION_LIKELY(k < kEscape)) break;
        k -= kEscape;
        bits.refill();
        const int symbol = long_symbol(bits, slot.ac->code, last->first_shift);
        if (symbol < 0) return RunStatus::bad_code;
        const int size = symbol & 15, run = symbol >> 4;
        if (size == 0 && run != 15) {
            k = kEndOfBlock;
            break;
        }
        k += run + 1;
        if constexpr (kStore) block[positions[k]] = static_cast<int16_t>(extend(bits.window, 63 - size));
        bits.drop(size);
        bits.refill();
        if (k >= 63) break;
    }
    if constexpr (kStore) block[0] = static_cast<int16_t>(prediction);
    if (FREQVISION_UNLIKELY(k - 64 < kEndOfBlock - 64)) bits.strayed = true;
    return FREQVISION_UNLIKELY(bits.overrun()) ? RunStatus::overrun : RunStatus::ok;
}

}  // namespace

RunResult sequential(BitState& state, McuJob& job, int begin, int end) {
    Bits bits(state);
    const uint8_t* const positions = job.positions;
    // What resamples the rows has put them out of the nearest cache.
    for (int i = 0; i < job.slot_count; ++i)
        if (i == 0 || job.slots[i].ac != job.slots[i - 1].ac)
            for (int k = 0; k < 1 << kAcBits; k += 8) FREQVISION_PREFETCH(&job.slots[i].ac->ac[k]);
    for (int mcu = begin; mcu < end; ++mcu) {
        for (int i = 0; i < job.slot_count; ++i) {
            const BlockSlot& slot = job.slots[i];
            uint32_t& prediction = job.predictions[slot.component];
            const int column = mcu * slot.column_step + slot.column_offset;
            const bool wanted = slot.row && column >= slot.column_begin && column < slot.column_end;
            const RunStatus status =
                wanted ? decode_block<true>(bits, slot, prediction, positions,
                                            slot.row + std::ptrdiff_t{column - slot.column_begin} * 64)
                       : decode_block<false>(bits, slot, prediction, positions, nullptr);
            if (FREQVISION_UNLIKELY(status != RunStatus::ok)) {
                bits.store(state);
                return {mcu - begin, status};
            }
        }
    }
    bits.store(state);
    return {end - begin, RunStatus::ok};
}

}  // namespace freqvision::FREQVISION_ISA
