#include "pipeline/batch.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numeric>

namespace freqvision {
namespace {

// A file's or a worker's buffer beyond this is given back after the batch. A worker holds all the
// coefficients of a progressive photo: 64 MiB suffice for 22 megapixels of 4:2:0; the largest that is allowed
// takes 1.6 GB.
constexpr size_t kKeptFile = size_t{1} << 20;
constexpr size_t kKeptWorker = size_t{64} << 20;

struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
};

Failure failure_of(const JpegError& error) {
    return {Failure::Kind::jpeg, error.what(), error.kind, error.offset};
}

}  // namespace

BatchDecoder::BatchDecoder(const OutputSpec& spec, int threads, const Limits& limits)
    : spec_(spec), limits_(limits), pool_(threads) {
    for (int i = 0; i < pool_.size(); ++i) workers_.push_back(std::make_unique<Worker>(spec_));
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
            const ImageInfo& info = workers_[worker]->reader.open_header(source.data, source.size, limits_);
            opened.height = info.height;
            opened.width = info.width;
            const bool readable =
                info.colour_model == ColourModel::gray || info.colour_model == ColourModel::ycbcr;
            if (!readable)
                opened.failure = {Failure::Kind::colour, std::string("its planes are ") +
                                                             colour_model_name(info.colour_model) +
                                                             ", not YCbCr or gray"};
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
    auto failed = [](const char* what) {
        return Failure{Failure::Kind::io, std::string(what) + ": " + std::strerror(errno)};
    };
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(source.path, error);
    if (error) return Failure{Failure::Kind::io, "cannot be read: " + error.message()};
    const std::unique_ptr<std::FILE, Closer> file(std::fopen(source.path.c_str(), "rb"));
    if (!file) return failed("cannot be opened");
    std::setvbuf(file.get(), nullptr, _IONBF, 0);
    std::vector<uint8_t>& bytes = files_[item];
    bytes.resize(static_cast<size_t>(size));
    if (std::fread(bytes.data(), 1, bytes.size(), file.get()) != bytes.size())
        return failed("cannot be read");
    source.data = bytes.data();
    source.size = bytes.size();
    return {};
}

std::vector<std::optional<Failure>> BatchDecoder::decode(const std::vector<View>& views,
                                                         const std::vector<void*>& outputs,
                                                         const std::function<void()>& between) {
    std::vector<std::optional<Failure>> failures(sources_.size());
    // The largest files first, so that no thread is left with a large one when the others are done.
    std::vector<int> order(sources_.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int a, int b) {
        return sources_[a].size != sources_[b].size ? sources_[a].size > sources_[b].size : a < b;
    });
    const auto decode_next = [&](int worker, int position) {
        const int item = order[position];
        if (outputs[item])
            failures[item] = decode_one(*workers_[worker], sources_[item], views[item], outputs[item]);
    };
    pool_.run(static_cast<int>(order.size()), decode_next, between);
    return failures;
}

std::optional<Failure> BatchDecoder::decode_one(Worker& worker, const Source& source, const View& view,
                                                void* to) {
    try {
        const ImageInfo& info = worker.reader.open(source.data, source.size, limits_);
        Plane planes[kMaxComponents];
        for (int i = 0; i < info.component_count; ++i) {
            const Component& c = info.components[i];
            planes[i] = {c.width, c.height, c.h, c.v, c.quant};
        }
        worker.resampler.prepare(planes, info.component_count, view, to);
        worker.reader.decode(worker.resampler.request(), worker.resampler, /*strict=*/true);
        worker.resampler.finish();
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
    for (std::vector<uint8_t>& file : files_)
        if (file.capacity() > kKeptFile) std::vector<uint8_t>().swap(file);
    for (const std::unique_ptr<Worker>& worker : workers_) worker->reader.trim(kKeptWorker);
}

}  // namespace freqvision
