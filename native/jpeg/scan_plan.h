// Which scans of a file are needed for what is wanted of it.
#pragma once

#include <cstdint>
#include <vector>

#include "jpeg/info.h"
#include "jpeg/markers.h"
#include "jpeg/problems.h"
#include "jpeg/rows.h"

namespace freqvision {

// A scan, and the definitions that hold where it begins.
struct Scan {
    Segment segment;
    ScanHeader header;
    HuffmanPlaces tables;
    int restart_interval = 0;  // MCUs; 0: none
    bool needed = true;
    bool repeats = false;  // some of what it carries has been sent
};

// How many of the scans, from the first on, give all bits of all coefficients; 0 if all scans do not.
std::size_t count_until_complete(const ImageInfo& info, const std::vector<Scan>& scans);

// Marks the scans to decode, and reports those that contradict the ones before them (they are left out). A
// scan that sends a band's first bits depends on no other; one that refines a band depends on all that came
// before for any coefficient of that band, since it says nothing about those that are still zero.
void plan_scans(const ImageInfo& info, const RowRequest& request, std::vector<Scan>& scans,
                Problems& problems);

}  // namespace freqvision
