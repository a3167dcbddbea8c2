// JPEG bytes → quantised coefficients.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
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
    // Reads all of the file but its entropy-coded data.
    const ImageInfo& open(const uint8_t* data, std::size_t size, const Limits& limits = {});
    // Only up to the first scan: quantisation tables that come later are missing, and nothing can be decoded.
    const ImageInfo& open_header(const uint8_t* data, std::size_t size, const Limits& limits = {});

    const ImageInfo& info() const { return info_; }

    // Throws what a decode would throw for a reason that is known without decoding: a file that ends too
    // early (if strict), or is too short for the size it claims. Call it before memory for the result is
    // taken.
    void check(bool strict) const;

    // Hands each wanted block row to `sink`. If `strict`, anything lost is a JpegError (rows before it have
    // been handed out by then); if not, it is a warning, and the coefficients concerned are 0. What is not
    // wanted is judged only if the request's `whole` says so, or the file has no end marker.
    void decode(const RowRequest& request, RowSink& sink, bool strict);

    // All blocks of each component into its plane, (blocks_high, blocks_wide, 64) in natural order.
    void decode_planes(int16_t* const planes[kMaxComponents], bool strict);

    // Parses all of the file for nothing but the JpegError that a strict decode would throw.
    void judge();

    // Frees each buffer that has grown beyond this for a large file.
    void trim(std::size_t bytes);

    // Of the last decode: what is odd, and if it was not strict the first thing that was lost.
    const std::vector<std::string>& warnings() const { return problems_.warnings(); }
    const std::optional<JpegError>& damage() const { return problems_.damage(); }

  private:
    void read_until_scan(const Limits& limits);
    void read_remaining_scans(const Limits& limits);
    void add_scan(const Segment& segment);
    void note(std::size_t offset, const std::string& oddity);

    void start_decode(bool strict);
    void decode_multiple(const RowRequest& request, Target* targets);
    void decode_scan(const Scan& scan, const Target* targets, const RowRequest& request, RowSink* sink);
    void decode_over(const Scan& scan, const Target* targets, const RowRequest& request);
    void prepare_tables(const Scan& scan);
    int16_t* reserve(std::size_t coefficients);

    Bytes file_;
    ImageInfo info_;
    QuantTable quant_[4];
    HuffmanPlaces places_;  // up to the segment read last
    int restart_interval_ = 0;
    std::vector<Scan> scans_;
    bool single_ = false;              // sequential, one scan of all components
    bool ended_ = false;               // by an end marker
    std::optional<JpegError> damage_;  // met while looking for scans
    std::vector<std::string> oddities_;
    Problems problems_;
    HuffmanTables tables_;
    ScanDecoder decoder_;
    // A block is two lines of the cache, and is cleared in two stores where vectors are that wide.
    static constexpr std::align_val_t kCacheLine{64};
    struct Free {
        void operator()(int16_t* blocks) const { ::operator delete[](blocks, kCacheLine); }
    };
    std::unique_ptr<int16_t[], Free> blocks_;
    std::size_t capacity_ = 0;  // of blocks_
    std::vector<uint64_t> nonzero_;
};

}  // namespace freqvision
