// Which scans of a file are needed for what is wanted of it.
#pragma once

#include <cstdint>
#include <vector>

#include "jpeg/info.h"
#include "jpeg/markers.h"
#include "jpeg/problems.h"
#include "jpeg/rows.h"

namespace freqvision {

// A segment that decoding depends on: DHT, DRI or SOS.
struct Step {
    Segment segment;
    ScanHeader scan;  // count == 0 if this is no scan
    bool needed = false;
};

// Marks the scans to decode, and reports those that contradict the ones before them (they are left out). A
// scan that sends a band's first bits depends on no other; one that refines a band depends on all that came
// before for any coefficient of that band, since it says nothing about those that are still zero.
void plan_scans(const ImageInfo& info, const RowRequest& request, std::vector<Step>& steps,
                Problems& problems);

}  // namespace freqvision
