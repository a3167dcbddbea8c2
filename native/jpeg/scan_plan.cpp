#include "jpeg/scan_plan.h"

#include <algorithm>
#include <string>

#include "jpeg/zigzag.h"

namespace freqvision {

namespace {

// For each component and zigzag index, the lowest bit that has been sent; kNothing before the first scan.
constexpr int8_t kNothing = 127;

struct Progress {
    int8_t low[kMaxComponents][64];
    Progress() { std::fill_n(&low[0][0], kMaxComponents * 64, kNothing); }
};

enum class Order { next, repeated, impossible };

// Takes note of a scan, unless it is impossible: refines what has not been sent, or skips bits. As in
// libjpeg, first bits may be sent again once all have been sent.
Order advance(const ScanHeader& scan, Progress& progress) {
    Order order = Order::next;
    for (int i = 0; i < scan.count; ++i) {
        const int8_t* low = progress.low[scan.components[i]];
        for (int k = scan.band_begin; k <= scan.band_end; ++k) {
            if (scan.high != (low[k] == kNothing ? 0 : low[k])) return Order::impossible;
            if (scan.high == 0 && low[k] != kNothing) order = Order::repeated;
        }
    }
    for (int i = 0; i < scan.count; ++i) {
        int8_t* low = progress.low[scan.components[i]];
        std::fill(low + scan.band_begin, low + scan.band_end + 1, static_cast<int8_t>(scan.low));
    }
    return order;
}

uint64_t band_mask(int begin, int end) {
    uint64_t mask = 0;
    for (int k = begin; k <= std::min(end, 63); ++k) mask |= uint64_t{1} << kZigzag[k];
    return mask;
}

// How far beyond its band a scan may put values: first ones by a run, refinements where no zero is left.
int reach(const ScanHeader& scan) {
    return scan.band_begin == 0 ? scan.band_end : scan.band_end + (scan.high ? 1 : 15);
}

void report_gaps(const ImageInfo& info, const RowRequest& request, const Progress& progress,
                 Problems& problems) {
    for (int i = 0; i < info.component_count; ++i) {
        if (request.ranges[i].empty()) continue;
        const int8_t* low = progress.low[i];
        const std::string name = "component " + std::to_string(info.components[i].id);
        if (std::all_of(low, low + 64, [](int8_t bit) { return bit == kNothing; })) {
            problems.note("no scan carries " + name);
        } else if (low[0] == kNothing) {
            problems.note("no scan carries the DC coefficients of " + name);
        } else if (std::any_of(low, low + 64, [](int8_t bit) { return bit != 0; })) {
            problems.note("the scans do not carry all bits of all coefficients of " + name);
        }
    }
}

}  // namespace

std::size_t count_until_complete(const ImageInfo& info, const std::vector<Scan>& scans) {
    Progress progress;
    for (std::size_t i = 0; i < scans.size(); ++i) {
        advance(scans[i].header, progress);
        const int8_t* low = progress.low[0];
        if (std::all_of(low, low + 64 * info.component_count, [](int8_t bit) { return bit == 0; }))
            return i + 1;
    }
    return 0;
}

void plan_scans(const ImageInfo& info, const RowRequest& request, std::vector<Scan>& scans,
                Problems& problems) {
    Progress progress;
    for (Scan& scan : scans) {
        const Order order = advance(scan.header, progress);
        scan.needed = order != Order::impossible;
        scan.repeats = order == Order::repeated;
        if (!scan.needed) {
            problems.report(
                {ErrorKind::corrupt, scan.segment.offset,
                 "corrupt JPEG: a scan that does not continue what the scans before it have sent"});
        }
    }
    report_gaps(info, request, progress, problems);
    if (request.whole) return;

    uint64_t wanted[kMaxComponents];
    for (int i = 0; i < kMaxComponents; ++i) {
        wanted[i] = request.ranges[i].empty() ? 0 : info.progressive ? request.frequencies[i] : ~uint64_t{0};
    }
    for (auto scan = scans.rbegin(); scan != scans.rend(); ++scan) {
        if (!scan->needed) continue;
        const uint64_t band = band_mask(scan->header.band_begin, scan->header.band_end);
        const uint64_t touched = band_mask(scan->header.band_begin, reach(scan->header));
        scan->needed = false;
        for (int i = 0; i < scan->header.count; ++i) {
            uint64_t& mask = wanted[scan->header.components[i]];
            if (!(mask & touched)) continue;
            scan->needed = true;
            if (scan->header.high) mask |= band;
        }
    }
}

}  // namespace freqvision
