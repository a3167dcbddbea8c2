// Baseline and extended sequential Huffman decoding (T.81 F.2.2).
#include "jpeg/bits.h"

namespace freqvision::FREQVISION_ISA {

namespace {

// One or two AC symbols whose entry is in the table: codes, runs and values without a branch. The chain from
// one entry to the next is a shift, a load and a shift; the values are computed beside it.
template <bool kStore>
FREQVISION_INLINE uint64_t ac_symbols(Bits& bits, const uint64_t* table, const uint8_t* positions,
                                      int16_t* block, unsigned& k) {
    const uint64_t entry = table[bits.window >> (64 - kAcBits)];
    const unsigned first = k + (entry >> 8 & 255);
    k = first + (entry >> 48 & 255);
    if constexpr (kStore) {
        // In this order: where there is no second symbol, both have one place.
        block[positions[k]] = static_cast<int16_t>(entry >> 32);
        block[positions[first]] =
            static_cast<int16_t>(extend(bits.window << (entry >> 16 & 63), entry >> 24 & 63));
    }
    bits.window <<= entry & 63;
    bits.count -= entry & 255;
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
    const uint64_t* table = slot.ac->ac;
    unsigned k = 0;  // zigzag index of the last coefficient
    for (;;) {
        // At least 30 bits are in the window here, and an entry takes at most kAcBits + 15.
        uint64_t last, window, count;
        for (;;) {
            window = bits.window, count = bits.count;
            last = ac_symbols<kStore>(bits, table, positions, block, k);
            if (k >= 63) break;
            bits.refill();
            window = bits.window, count = bits.count;
            last = ac_symbols<kStore>(bits, table, positions, block, k);
            if (k >= 63) break;
        }
        const unsigned second = last >> 48 & 255;
        if (FREQVISION_UNLIKELY(second && k - second >= 63)) {
            // The block ended with the first: the second is of the next block's bits.
            k -= second;
            bits.window = window << (last >> 56);
            bits.count = count - (last >> 56);
        }
        if (FREQVISION_LIKELY(k < kEscape)) break;
        k -= kEscape;
        bits.refill();
        const int symbol = long_symbol(bits, slot.ac->code, kAcBits + 1);
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
    return FREQVISION_UNLIKELY(bits.overrun()) ? RunStatus::overrun : RunStatus::ok;
}

}  // namespace

RunResult sequential(BitState& state, McuJob& job, int begin, int end) {
    Bits bits(state);
    const uint8_t* const positions = job.positions;
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
