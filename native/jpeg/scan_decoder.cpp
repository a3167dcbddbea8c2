#include "jpeg/scan_decoder.h"

#include <algorithm>

#include "jpeg/zigzag.h"

namespace freqvision {

namespace {

// Scans whose unit is the MCU: sequential ones, and progressive ones of DC coefficients.
class McuBlocks {
  public:
    explicit McuBlocks(const ScanTask& task) : task_(task), progressive_(task.info.progressive) {
        const JpegKernels& kernels = jpeg_kernels();
        decode_ = !progressive_         ? kernels.sequential
                  : task.scan.high == 0 ? kernels.dc_first
                                        : kernels.dc_refine;
        job_.slot_count = 0;
        job_.positions = block_positions(task.order);
        job_.shift = task.scan.low;
        restart();
        for (int i = 0; i < task.scan.count; ++i) {
            const int index = task.scan.components[i];
            const Component& component = task.info.components[index];
            // A scan of one component is not interleaved: its MCU is one block, whatever the sampling (T.81
            // A.2.2).
            const int h = task.scan.count == 1 ? 1 : component.h;
            const int v = task.scan.count == 1 ? 1 : component.v;
            if (task.targets[index].data)
                last_row_ = std::max(last_row_, (task.targets[index].range.row_end - 1) / v);
            for (int y = 0; y < v; ++y) {
                for (int x = 0; x < h; ++x) {
                    const BlockRange& range = task.targets[index].range;
                    job_.slots[job_.slot_count++] = {&task.tables.dc[task.scan.dc_slots[i]],
                                                     &task.tables.ac[task.scan.ac_slots[i]],
                                                     index,
                                                     h,
                                                     x,
                                                     v,
                                                     y,
                                                     range.column_begin,
                                                     range.column_end,
                                                     nullptr};
                }
            }
        }
    }

    int in_unit() const { return job_.slot_count; }
    void restart() { std::fill_n(job_.predictions, 4, 0u); }

    void begin_row(int mcu_row) {
        for (int i = 0; i < job_.slot_count; ++i) {
            BlockSlot& slot = job_.slots[i];
            slot.row =
                task_.targets[slot.component].row(mcu_row * slot.row_step + slot.row_offset, slot.row_offset);
        }
    }

    RunResult decode(BitState& bits, int begin, int end) { return decode_(bits, job_, begin, end); }

    // The blocks of MCUs that could not be decoded.
    void blank(int begin, int end) {
        if (progressive_) return;
        for (int i = 0; i < job_.slot_count; ++i) {
            const BlockSlot& slot = job_.slots[i];
            if (!slot.row) continue;
            for (int mcu = begin; mcu < end; ++mcu) {
                const int column = mcu * slot.column_step + slot.column_offset;
                if (column < slot.column_begin || column >= slot.column_end) continue;
                std::fill_n(slot.row + std::ptrdiff_t{64} * (column - slot.column_begin), 64, int16_t{0});
            }
        }
    }

    // Whether the scan goes on.
    bool end_row(int mcu_row) {
        for (int i = 0; i < job_.slot_count; ++i) {
            const BlockSlot& slot = job_.slots[i];
            if (!task_.sink || slot.column_offset || !slot.row) continue;
            task_.sink->row(slot.component, mcu_row * slot.row_step + slot.row_offset, slot.row);
        }
        return task_.whole || mcu_row < last_row_;
    }

  private:
    const ScanTask& task_;
    bool progressive_;
    RunResult (*decode_)(BitState&, McuJob&, int, int);
    McuJob job_;
    int last_row_ = -1;  // of MCUs that hold something wanted
};

// Progressive scans of AC coefficients; always of one component, whole planes.
class BandBlocks {
  public:
    explicit BandBlocks(const ScanTask& task) : target_(task.targets[task.scan.components[0]]) {
        const JpegKernels& kernels = jpeg_kernels();
        decode_ = task.scan.high == 0 ? kernels.ac_first : kernels.ac_refine;
        job_.table = &task.tables.ac[task.scan.ac_slots[0]];
        job_.positions = block_positions(task.order);
        job_.band_begin = task.scan.band_begin;
        job_.band_end = task.scan.band_end;
        job_.shift = task.scan.low;
        restart();
    }

    int in_unit() const { return 1; }
    void restart() { job_.end_of_band_run = 0; }
    void begin_row(int row) {
        job_.row = target_.row(row, 0);
        job_.nonzero = target_.nonzero + std::ptrdiff_t{row} * target_.range.column_end;
    }
    RunResult decode(BitState& bits, int begin, int end) { return decode_(bits, job_, begin, end); }
    void blank(int, int) {}
    bool end_row(int) { return true; }

  private:
    const Target& target_;
    RunResult (*decode_)(BitState&, BandJob&, int, int);
    BandJob job_;
};

}  // namespace

template <class Blocks>
void ScanDecoder::run(const ScanTask& task, int wide, int high, Blocks& blocks, Problems& problems) {
    data_.start(task.file, task.position, problems);
    const int interval = task.restart_interval;
    const int most = static_cast<int>(ScanData::kReady / ScanData::kMostOfBlock) / blocks.in_unit() - 1;
    int left = interval;
    for (int row = 0; row < high; ++row) {
        blocks.begin_row(row);
        for (int x = 0; x < wide;) {
            if (interval && left == 0) {
                data_.next_interval();
                blocks.restart();
                left = interval;
            }
            const int count = std::min({interval ? left : wide, wide - x, most});
            int done = 0;
            if (data_.usable()) {
                data_.fill((count + 1) * blocks.in_unit() * ScanData::kMostOfBlock);
                const RunResult result = blocks.decode(data_.bits, x, x + count);
                done = result.done;
                if (result.status != RunStatus::ok) data_.fail(result.status);
            }
            if (done < count) blocks.blank(x + done, x + count);
            x += count;
            left -= count;
        }
        if (!blocks.end_row(row) && row + 1 < high) return;
    }
    data_.finish();
}

void ScanDecoder::decode(const ScanTask& task, Problems& problems) {
    const Component& first = task.info.components[task.scan.components[0]];
    const int mcu_width = 8 * task.info.max_h, mcu_height = 8 * task.info.max_v;
    const bool interleaved = task.scan.count > 1;
    const int wide = interleaved ? (task.info.width + mcu_width - 1) / mcu_width : first.blocks_wide;
    const int high = interleaved ? (task.info.height + mcu_height - 1) / mcu_height : first.blocks_high;
    if (task.scan.band_begin > 0) {
        BandBlocks blocks(task);
        run(task, wide, high, blocks, problems);
    } else {
        McuBlocks blocks(task);
        run(task, wide, high, blocks, problems);
    }
}

}  // namespace freqvision
