// A batch of JPEG files → one tensor, on a pool of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jpeg/reader.h"
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
    };
    Kind kind;
    std::string message;
    ErrorKind error = ErrorKind::corrupt;  // where kind is jpeg
    size_t offset = 0;
};

// Reads in two steps, since which part of a photo is wanted may depend on its size: `open` gives the sizes,
// `decode` takes the views. Everything is reused from batch to batch. Not for several callers at once. An
// exception (out of memory, or of `between`, which the calling thread calls before each of its photos) ends a
// batch; `close` then makes ready for the next.
class BatchDecoder {
  public:
    BatchDecoder(const OutputSpec& spec, int threads, const Limits& limits);

    struct Opened {
        int height = 0, width = 0;
        std::optional<Failure> failure;
    };
    void open(const std::vector<Source>& sources, const std::function<void()>& between = {});
    const std::vector<Opened>& opened() const { return opened_; }
    // views[i] of source i to outputs[i]; nullptr skips a source. See Resampler::prepare.
    std::vector<std::optional<Failure>> decode(const std::vector<View>& views,
                                               const std::vector<void*>& outputs,
                                               const std::function<void()>& between = {});
    // The bytes of source i of the open batch.
    const std::vector<Source>& sources() const { return sources_; }
    void close();

  private:
    // What a thread keeps for itself.
    struct Worker {
        explicit Worker(const OutputSpec& spec) : resampler(spec) {}
        JpegReader reader;
        Resampler resampler;
    };

    std::optional<Failure> read_file(int item);
    std::optional<Failure> decode_one(Worker& worker, const Source& source, const View& view, void* to);

    OutputSpec spec_;
    Limits limits_;
    ThreadPool pool_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<Source> sources_;
    std::vector<std::vector<uint8_t>> files_;
    std::vector<Opened> opened_;
};

}  // namespace freqvision
