// A batch of JPEG files → one tensor, on a pool of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "jpeg/reader.h"
#include "packed/reader.h"
#include "pipeline/pool.h"
#include "pipeline/resampler.h"

namespace freqvision {

// A file by its path, or its bytes, which the caller keeps alive and unchanged until the batch is done.
struct Source {
    std::string path;
    const uint8_t* data = nullptr;
    size_t size = 0;
};

struct Failure {
    enum class Kind {
        io,      // the file could not be read
        jpeg,    // it is damaged, or of a kind that the reader does not know: see `error`
        colour,  // sound, but coded as RGB, CMYK or YCCK, so that its planes are not Y, Cb and Cr
        damage,  // not whole, and decoded all the same (of a lenient decoder): see `error`
    };
    Kind kind;
    std::string message;
    ErrorKind error = ErrorKind::corrupt;  // where kind is jpeg or damage
    size_t offset = 0;
};

// One output of a photo: what `view` shows of it, as one of the decoder's specs turns it into values.
struct Job {
    int source = 0;
    int spec = 0;
    View view;
    bool whole = false;  // damage anywhere in the file is a failure, wherever the view lies
    void* to = nullptr;
    bool remember = false;  // that the file is sound, by its bytes: it is then not judged again
};

// Reads in two steps, since which part of a photo is wanted may depend on its size: `open` gives the sizes,
// `decode` takes the views. Everything is reused from batch to batch. Not for several callers at once. An
// exception (out of memory, or of `between`, which the calling thread calls before each of its photos) ends a
// batch; `close` then makes ready for the next.
class BatchDecoder {
  public:
    // `upright`: photos are shown as their EXIF orientation says; otherwise as they are stored. `lenient`:
    // damaged photos are decoded as far as they go, with zeros for coefficients that are missing.
    BatchDecoder(std::vector<OutputSpec> specs, int threads, const Limits& limits, bool upright = false,
                 bool lenient = false);
    BatchDecoder(const OutputSpec& spec, int threads, const Limits& limits)
        : BatchDecoder(std::vector<OutputSpec>{spec}, threads, limits) {}

    struct Opened {
        int height = 0, width = 0;  // as it is shown
        std::optional<Failure> failure;
    };
    void open(const std::vector<Source>& sources, const std::function<void()>& between = {});
    const std::vector<Opened>& opened() const { return opened_; }

    // All jobs of a source come from one reading of it. Failures by source.
    std::vector<std::optional<Failure>> decode(const std::vector<Job>& jobs,
                                               const std::function<void()>& between = {});
    // views[i] of source i to outputs[i] by the first spec; nullptr skips a source.
    std::vector<std::optional<Failure>> decode(const std::vector<View>& views,
                                               const std::vector<void*>& outputs);
    // The bytes of source i of the open batch.
    const std::vector<Source>& sources() const { return sources_; }
    void close();

  private:
    // What a thread keeps for itself.
    struct Worker {
        JpegReader reader;
        PackedReader packed;
        std::vector<std::vector<std::unique_ptr<Resampler>>> resamplers;  // [spec][view]
        std::vector<int> used;                                            // of each spec
        std::vector<Resampler*> active;
    };

    std::optional<Failure> read_file(int item);
    bool is_sound(uint64_t sum);
    std::optional<Failure> decode_one(Worker& worker, const Source& source, const Job* jobs, int count);

    std::vector<OutputSpec> specs_;
    Limits limits_;
    bool upright_, lenient_;
    ThreadPool pool_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<Source> sources_;
    std::vector<std::vector<uint8_t>> files_;
    std::vector<Opened> opened_;
    std::mutex sound_lock_;
    std::unordered_set<uint64_t> sound_;  // checksums of files that were judged
};

}  // namespace freqvision
