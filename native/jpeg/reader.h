// JPEG bytes → quantised coefficients.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jpeg/info.h"
#include "jpeg/markers.h"
#include "jpeg/problems.h"
#include "jpeg/rows.h"
#include "jpeg/scan_decoder.h"
#include "jpeg/scan_plan.h"

namespace freqvision {

// Reads one file after another. Keeps its memory, so that once warm it allocates nothing. Not for several
// threads at once; the file's bytes must stay where they are between open() and the last decode.
//
// A sequential file with one scan is decoded row by row as the sink takes them. A file of several scans
// (every progressive one) is decoded into planes first, passing over the scans that cannot change what is
// wanted.
class JpegReader {
  public:
    // Reads all of the file but its entropy-coded data; of a file with one scan, only its header.
    const ImageInfo& open(const uint8_t* data, std::size_t size, const Limits& limits = {});
    // Only up to the first scan: quantisation tables that come later are missing, and nothing can be decoded.
    const ImageInfo& open_header(const uint8_t* data, std::size_t size, const Limits& limits = {});

    const ImageInfo& info() const { return info_; }

    // Throws what a strict decode would throw for a reason that is known without decoding: a file without its
    // end, or too short for the size it claims. Call it before memory for the result is taken.
    void check() const;

    // Hands each wanted block row to `sink`. If `strict`, anything lost is a JpegError (rows before it have
    // been handed out by then); if not, it is a warning, and the coefficients concerned are 0. A strict
    // decode that needs not all of the file still notices that its end is missing.
    void decode(const RowRequest& request, RowSink& sink, bool strict);

    // All blocks of each component whose plane, (blocks_high, blocks_wide, 64) in natural order, is not
    // nullptr.
    void decode_planes(int16_t* const planes[kMaxComponents], bool strict);

    // Frees each buffer that has grown beyond this for a large file.
    void trim(std::size_t bytes);

    // Of the last decode.
    const std::vector<std::string>& warnings() const { return problems_.warnings(); }

  private:
    void read_until_scan(const Limits& limits);
    void read_remaining_scans(const Limits& limits);

    void start_decode(bool strict);
    void decode_single(const Target* targets, BlockOrder order, RowSink* sink);
    void decode_multiple(const RowRequest& request, const Target* targets);
    std::size_t decode_scan(const Step& step, const Target* targets, BlockOrder order, RowSink* sink);
    void prepare_tables(const Step& step);
    void apply(const Step& step);
    void finish(std::size_t position);
    int16_t* reserve(std::size_t coefficients);

    Bytes file_;
    ImageInfo info_;
    Tables tables_;
    std::vector<Step> steps_;
    bool single_ = false;              // sequential, one scan of all components
    std::optional<JpegError> damage_;  // met while looking for scans
    std::vector<std::string> oddities_;
    Problems problems_;
    ScanDecoder decoder_;
    std::unique_ptr<int16_t[]> blocks_;
    std::size_t capacity_ = 0;  // of blocks_
};

}  // namespace freqvision
