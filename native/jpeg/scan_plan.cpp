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

// Takes note of a scan; returns false if it sends what has been sent, or refines what has not.
bool advance(const ScanHeader& scan, Progress& progress) {
    const int expected = scan.high == 0 ? kNothing : scan.high;
    for (int i = 0; i < scan.count; ++i) {
        const int8_t* low = progress.low[scan.components[i]];
        const bool fits = std::all_of(low + scan.band_begin, low + scan.band_end + 1,
                                      [&](int8_t bit) { return bit == expected; });
        if (!fits) return false;
    }
    for (int i = 0; i < scan.count; ++i) {
        int8_t* low = progress.low[scan.components[i]];
        std::fill(low + scan.band_begin, low + scan.band_end + 1, static_cast<int8_t>(scan.low));
    }
    return true;
}

uint64_t band_mask(const ScanHeader& scan) {
    uint64_t mask = 0;
    for (int k = scan.band_begin; k <= scan.band_end; ++k) mask |= uint64_t{1} << kZigzag[k];
    return mask;
}

void report_gaps(const ImageInfo& info, const RowRequest& request, const Progress& progress,
                 Problems& problems) {
    for (int i = 0; i < info.component_count; ++i) {
        if (request.ranges[i].empty()) continue;
        const int8_t* low = progress.low[i];
        const std::string name = "component " + std::to_string(info.components[i].id);
        if (std::all_of(low, low + 64, [](int8_t bit) { return bit == kNothing; })) {
            problems.report({ErrorKind::corrupt, 0, "corrupt JPEG: no scan carries " + name});
        } else if (low[0] == kNothing) {
            problems.note("no scan carries the DC coefficients of " + name);
        } else if (std::any_of(low, low + 64, [](int8_t bit) { return bit != 0; })) {
            problems.note("the scans do not carry all bits of all coefficients of " + name);
        }
    }
}

}  // namespace

void plan_scans(const ImageInfo& info, const RowRequest& request, std::vector<Step>& steps,
                Problems& problems) {
    Progress progress;
    for (Step& step : steps) {
        step.needed = step.scan.count && advance(step.scan, progress);
        if (step.scan.count && !step.needed) {
            problems.report(
                {ErrorKind::corrupt, step.segment.offset,
                 "corrupt JPEG: a scan that does not continue what the scans before it have sent"});
        }
    }
    report_gaps(info, request, progress, problems);

    uint64_t wanted[kMaxComponents];
    for (int i = 0; i < kMaxComponents; ++i) {
        wanted[i] = request.ranges[i].empty() ? 0 : info.progressive ? request.frequencies[i] : ~uint64_t{0};
    }
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
        if (!step->needed) continue;
        const uint64_t band = band_mask(step->scan);
        step->needed = false;
        for (int i = 0; i < step->scan.count; ++i) {
            uint64_t& mask = wanted[step->scan.components[i]];
            if (!(mask & band)) continue;
            step->needed = true;
            if (step->scan.high) mask |= band;
        }
    }
}

}  // namespace freqvision
