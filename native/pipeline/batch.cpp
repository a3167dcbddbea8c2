#include "pipeline/batch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "jpeg/file.h"
#include "packed/codec.h"

namespace freqvision {
namespace {

// The files' buffers beyond this together, and a worker's beyond its own, are given back after the batch:
// with rare large photos each place in a batch would come to hold one in the end. A worker holds all the
// coefficients of a progressive photo: 64 MiB suffice for 22 megapixels of 4:2:0; the largest that is allowed
// takes 1.6 GB.
constexpr size_t kKeptFiles = size_t{8} << 20;
constexpr size_t kKeptWorker = size_t{64} << 20;
constexpr size_t kRemembered = size_t{1} << 21;  // files that are known to be sound: some 100 MB

Failure failure_of(const JpegError& error, Failure::Kind kind = Failure::Kind::jpeg) {
    return {kind, error.what(), error.kind, error.offset};
}

// Feeds several resamplers from one reading.
class FanOut final : public RowSink, public LineSink {
  public:
    explicit FanOut(const std::vector<Resampler*>& resamplers) : resamplers_(resamplers) {
        request_ = resamplers[0]->request();
        for (const Resampler* resampler : resamplers) {
            for (int i = 0; i < kMaxComponents; ++i) {
                const BlockRange& wanted = resampler->request().ranges[i];
                BlockRange& all = request_.ranges[i];
                if (wanted.empty()) continue;
                all = all.empty() ? wanted
                                  : BlockRange{std::min(all.row_begin, wanted.row_begin),
                                               std::max(all.row_end, wanted.row_end),
                                               std::min(all.column_begin, wanted.column_begin),
                                               std::max(all.column_end, wanted.column_end)};
                request_.frequencies[i] |= resampler->request().frequencies[i];
                request_.kept[i] = std::max(request_.kept[i], resampler->request().kept[i]);
            }
        }
    }

    const RowRequest& request() const { return request_; }

    void row(int component, int block_row, const int16_t* blocks) override {
        for (Resampler* resampler : resamplers_) {
            const BlockRange& wanted = resampler->request().ranges[component];
            if (wanted.empty() || block_row < wanted.row_begin || block_row >= wanted.row_end) continue;
            const int skipped = wanted.column_begin - request_.ranges[component].column_begin;
            resampler->row(component, block_row, blocks + std::ptrdiff_t{64} * skipped);
        }
    }

    void lines(int component, int block_row, const int16_t* const* lines) override {
        for (Resampler* resampler : resamplers_) {
            const BlockRange& wanted = resampler->request().ranges[component];
            if (!wanted.empty() && block_row >= wanted.row_begin && block_row < wanted.row_end)
                resampler->lines(component, block_row, lines);
        }
    }

  private:
    const std::vector<Resampler*>& resamplers_;
    RowRequest request_;
};

}  // namespace

BatchDecoder::BatchDecoder(std::vector<OutputSpec> specs, int threads, const Limits& limits, bool upright,
                           bool lenient)
    : specs_(std::move(specs)), limits_(limits), upright_(upright), lenient_(lenient), pool_(threads) {
    for (int i = 0; i < pool_.size(); ++i) {
        workers_.push_back(std::make_unique<Worker>());
        workers_.back()->resamplers.resize(specs_.size());
    }
}

void BatchDecoder::open(const std::vector<Source>& sources, const std::function<void()>& between) {
    const int count = static_cast<int>(sources.size());
    sources_ = sources;
    opened_.assign(count, {});
    if (files_.size() < sources.size()) files_.resize(sources.size());
    const auto open_one = [&](int worker, int item) {
        Opened& opened = opened_[item];
        try {
            opened.failure = read_file(item);
            if (opened.failure) return;
            const Source& source = sources_[item];
            Worker& own = *workers_[worker];
            const ImageInfo& info = is_packed(source.data, source.size)
                                        ? own.packed.open(source.data, source.size, limits_, false).info
                                        : own.reader.open_header(source.data, source.size, limits_);
            opened.height = info.height;
            opened.width = info.width;
            if (upright_ && info.orientation > 4) std::swap(opened.height, opened.width);
            const bool readable =
                info.colour_model == ColourModel::gray || info.colour_model == ColourModel::ycbcr;
            if (readable) return;
            opened.failure = {
                Failure::Kind::colour,
                std::string("its planes are ") + colour_model_name(info.colour_model) + ", not YCbCr or gray",
                ErrorKind::unsupported};
            // Whoever decodes it instead may say nothing of damage.
            if (lenient_) return;
            JpegReader& reader = workers_[worker]->reader;
            reader.open(source.data, source.size, limits_);
            reader.judge();
        } catch (const JpegError& error) {
            opened.failure = failure_of(error);
        } catch (const std::bad_alloc&) {
            opened.failure = {Failure::Kind::io, "out of memory"};
        }
    };
    pool_.run(count, open_one, between);
}

std::optional<Failure> BatchDecoder::read_file(int item) {
    Source& source = sources_[item];
    if (source.path.empty()) return {};
    try {
        File file(source.path, limits_);
        std::vector<uint8_t>& bytes = files_[item];
        bytes.resize(file.size());
        source.size = file.read(bytes.data(), bytes.size());
        source.data = bytes.data();
        return {};
    } catch (const FileError& error) {
        return Failure{Failure::Kind::io, std::string("cannot be read: ") + error.what()};
    }
}

std::vector<std::optional<Failure>> BatchDecoder::decode(const std::vector<View>& views,
                                                         const std::vector<void*>& outputs) {
    std::vector<Job> jobs;
    for (size_t i = 0; i < views.size(); ++i)
        if (outputs[i]) jobs.push_back({static_cast<int>(i), 0, views[i], false, outputs[i]});
    return decode(jobs);
}

std::vector<std::optional<Failure>> BatchDecoder::decode(const std::vector<Job>& jobs,
                                                         const std::function<void()>& between) {
    std::vector<std::optional<Failure>> failures(sources_.size());
    struct Item {
        int source, begin, end;  // of the jobs
    };
    std::vector<Item> items;
    for (int i = 0; i < static_cast<int>(jobs.size()); ++i) {
        if (items.empty() || items.back().source != jobs[i].source)
            items.push_back({jobs[i].source, i, i + 1});
        else
            items.back().end = i + 1;
    }
    // The largest files first, so that no thread is left with a large one when the others are done.
    std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
        const size_t size_a = sources_[a.source].size, size_b = sources_[b.source].size;
        return size_a != size_b ? size_a > size_b : a.begin < b.begin;
    });
    const auto decode_next = [&](int worker, int position) {
        const Item& item = items[position];
        failures[item.source] =
            decode_one(*workers_[worker], sources_[item.source], &jobs[item.begin], item.end - item.begin);
    };
    pool_.run(static_cast<int>(items.size()), decode_next, between);
    return failures;
}

bool BatchDecoder::is_sound(uint64_t sum) {
    const std::lock_guard lock(sound_lock_);
    return sound_.count(sum) > 0;
}

std::optional<Failure> BatchDecoder::decode_one(Worker& worker, const Source& source, const Job* jobs,
                                                int count) {
    try {
        const bool packed = is_packed(source.data, source.size);
        bool whole = packed && lenient_;  // of a packed photo its checksum, just before its bytes are used
        bool remember = !packed;
        for (int i = 0; i < count; ++i) {
            whole |= jobs[i].whole;
            remember &= jobs[i].remember;
        }
        // Ten times as fast as parsing.
        const uint64_t sum = whole && remember ? checksum(source.data, source.size) : 0;
        remember &= whole;
        if (remember && is_sound(sum)) whole = remember = false;
        const ImageInfo& info = packed ? worker.packed.open(source.data, source.size, limits_, whole).info
                                       : worker.reader.open(source.data, source.size, limits_);
        worker.used.assign(specs_.size(), 0);
        std::vector<Resampler*>& resamplers = worker.active;
        resamplers.clear();
        for (int i = 0; i < count; ++i) {
            auto& own = worker.resamplers[jobs[i].spec];
            int& used = worker.used[jobs[i].spec];
            if (used == static_cast<int>(own.size()))
                own.push_back(std::make_unique<Resampler>(specs_[jobs[i].spec]));
            resamplers.push_back(own[used++].get());
            resamplers.back()->prepare(info, upright_ ? info.orientation : 1, jobs[i].view, jobs[i].to);
        }
        const auto read = [&](RowRequest request, auto& sink) {
            if (packed) return worker.packed.decode(request, sink);
            request.whole |= whole;
            worker.reader.decode(request, sink, !lenient_);
        };
        if (count == 1) {
            read(resamplers[0]->request(), *resamplers[0]);
        } else {
            FanOut fan_out(resamplers);
            read(fan_out.request(), fan_out);
        }
        for (Resampler* resampler : resamplers) resampler->finish();
        if (const std::optional<JpegError>& damage = worker.reader.damage(); damage && !packed)
            return failure_of(*damage, Failure::Kind::damage);
        if (remember) {
            const std::lock_guard lock(sound_lock_);
            if (sound_.size() < kRemembered) sound_.insert(sum);
        }
    } catch (const JpegError& error) {
        return failure_of(error);
    } catch (const std::bad_alloc&) {
        return Failure{Failure::Kind::io, "out of memory"};
    }
    return {};
}

void BatchDecoder::close() {
    sources_.clear();
    opened_.clear();
    size_t kept = 0;
    for (std::vector<uint8_t>& file : files_) {
        if (kept + file.capacity() > kKeptFiles) std::vector<uint8_t>().swap(file);
        kept += file.capacity();
    }
    for (const std::unique_ptr<Worker>& worker : workers_) {
        worker->reader.trim(kKeptWorker);
        worker->packed.trim(kKeptWorker);
    }
}

}  // namespace freqvision
