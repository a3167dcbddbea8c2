// Python's face of the compressed path: freqvision._native.BatchDecoder.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <atomic>
#include <memory>
#include <stdexcept>
#include <utility>

#include "bindings.h"
#include "pipeline/batch.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace freqvision {
namespace {

DataType data_type(const std::string& name) {
    if (name == "float32") return DataType::float32;
    if (name == "float16") return DataType::float16;
    if (name == "bfloat16") return DataType::bfloat16;
    if (name == "int8") return DataType::int8;
    if (name == "uint8") return DataType::uint8;
    throw std::invalid_argument("unknown dtype " + name);
}

// Asks for huge pages in memory, whose content is lost. Its first touch is a page fault for every 4 KiB
// otherwise, which costs more than resampling does, and more still on several threads. Memory that the
// allocator takes from its heap has small pages already, which go back to the kernel first.
void advise_huge_pages(uintptr_t address, size_t size) {
#ifdef MADV_HUGEPAGE
    constexpr uintptr_t kPage = uintptr_t{2} << 20;
    const uintptr_t begin = (address + kPage - 1) / kPage * kPage, end = (address + size) / kPage * kPage;
    // A refusal only means that it is as slow as ever.
    for (const int advice : {MADV_DONTNEED, MADV_HUGEPAGE})
        if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, advice);
#else
    (void)address;
    (void)size;
#endif
}

nb::object to_python(const std::optional<Failure>& failure) {
    if (!failure) return nb::none();
    static const char* const kinds[] = {"io", "jpeg", "colour", "damage"};
    return nb::make_tuple(kinds[static_cast<int>(failure->kind)], failure->message, kind_name(failure->error),
                          failure->offset);
}

OutputSpec output_spec(const nb::dict& values) {
    OutputSpec spec;
    spec.channels = nb::cast<std::vector<int>>(values["channels"]);
    spec.matrix = nb::cast<std::vector<std::array<float, 3>>>(values["matrix"]);
    spec.gain = nb::cast<std::vector<float>>(values["gain"]);
    spec.bias = nb::cast<std::vector<float>>(values["bias"]);
    spec.fill = nb::cast<std::vector<float>>(values["fill"]);
    spec.interleaved = nb::cast<bool>(values["interleaved"]);
    spec.type = data_type(nb::cast<std::string>(values["dtype"]));
    const bool bicubic = nb::cast<std::string>(values["interpolation"]) == "bicubic";
    spec.filter = bicubic ? Filter::bicubic : Filter::bilinear;
    const size_t depth = spec.depth();
    if (spec.gain.size() != depth || spec.bias.size() != depth ||
        (spec.pixels() && spec.fill.size() != depth))
        throw std::invalid_argument("gain, bias and fill have one number for each channel");
    if (depth == 0 || (spec.pixels() && depth > 3))
        throw std::invalid_argument("frequencies have at least one channel, pixels 1 to 3");
    for (int channel : spec.channels)
        if (channel < 0 || channel >= 192) throw std::invalid_argument("a channel is 0 to 191");
    return spec;
}

// The batch decoder and the buffers of the batch that is open.
class PyBatchDecoder {
  public:
    PyBatchDecoder(nb::list specs, int threads, int64_t max_pixels, int64_t max_bytes, bool upright,
                   bool lenient) {
        std::vector<OutputSpec> native;
        for (size_t i = 0; i < nb::len(specs); ++i)
            native.push_back(output_spec(nb::cast<nb::dict>(specs[i])));
        Limits limits;
        limits.max_pixels = max_pixels;
        limits.max_bytes = max_bytes;
        specs_ = static_cast<int>(native.size());
        decoder_ = std::make_unique<BatchDecoder>(std::move(native), threads, limits, upright, lenient);
    }

    // [(height, width, failure or None)] of each source, a path (str) or an object with the buffer interface.
    nb::list open(nb::list sources) {
        const Use use(*this);
        reset();
        std::vector<Source> native;
        native.reserve(nb::len(sources));
        for (size_t i = 0; i < nb::len(sources); ++i) {
            const nb::object source = sources[i];
            if (nb::isinstance<nb::str>(source)) {
                native.push_back({nb::cast<std::string>(source), nullptr, 0});
            } else {
                buffers_.push_back(std::make_unique<Buffer>(source));
                native.push_back({{}, buffers_.back()->data(), buffers_.back()->size()});
            }
        }
        {
            WithoutGil released;
            decoder_->open(native, [&] { released.check_signals(); });
        }
        nb::list result;
        for (const BatchDecoder::Opened& opened : decoder_->opened())
            result.append(nb::make_tuple(opened.height, opened.width, to_python(opened.failure)));
        return result;
    }

    // Each row of `jobs` is a source, in ascending order, a spec, a view, and whether the whole file is
    // judged (2: unless its bytes were before); the output goes to the memory at the address of the same
    // place. Failures by source.
    nb::list decode(nb::ndarray<const int32_t, nb::shape<-1, 14>, nb::c_contig, nb::device::cpu> jobs,
                    const std::vector<uintptr_t>& addresses) {
        const Use use(*this);
        const int sources = static_cast<int>(decoder_->sources().size());
        if (addresses.size() != jobs.shape(0)) throw std::invalid_argument("a job has one address");
        std::vector<Job> native(addresses.size());
        for (size_t i = 0; i < native.size(); ++i) {
            const int32_t* v = jobs.data() + 14 * i;
            native[i] = {v[0],
                         v[1],
                         {v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12]},
                         v[13] != 0,
                         reinterpret_cast<void*>(addresses[i]),
                         v[13] == 2};
            const Job& job = native[i];  // a copy: Python without a GIL may write to the array meanwhile
            if (job.source < (i ? native[i - 1].source : 0) || job.source >= sources || job.spec < 0 ||
                job.spec >= specs_)
                throw std::invalid_argument("jobs are in the order of the open sources, each of a spec");
        }
        std::vector<std::optional<Failure>> failures;
        {
            WithoutGil released;
            failures = decoder_->decode(native, [&] { released.check_signals(); });
        }
        nb::list result;
        for (const auto& failure : failures) result.append(to_python(failure));
        return result;
    }

    nb::bytes bytes(size_t item) {
        const Use use(*this);
        const Source& source = decoder_->sources().at(item);
        return nb::bytes(source.data, source.size);
    }

    void close() {
        const Use use(*this);
        reset();
    }

  private:
    // Making Python objects, and the buffers of objects that Python code defines, can run other Python code
    // (a finaliser), and another thread's runs while the GIL is released, or always without a GIL: neither
    // may come in here meanwhile.
    class Use {
      public:
        explicit Use(PyBatchDecoder& owner) : owner_(owner) {
            if (owner_.in_use_.exchange(true)) throw std::runtime_error("the decoder is in use");
        }
        ~Use() { owner_.in_use_ = false; }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;

      private:
        PyBatchDecoder& owner_;
    };

    void reset() {
        decoder_->close();
        buffers_.clear();
    }

    std::unique_ptr<BatchDecoder> decoder_;
    std::vector<std::unique_ptr<Buffer>> buffers_;
    int specs_ = 0;
    std::atomic<bool> in_use_{false};
};

}  // namespace
}  // namespace freqvision

void bind_pipeline(nb::module_& module) {
    using freqvision::PyBatchDecoder;
    module.def("advise_huge_pages", &freqvision::advise_huge_pages, "address"_a, "size"_a);
    nb::class_<PyBatchDecoder>(module, "BatchDecoder")
        .def(nb::init<nb::list, int, int64_t, int64_t, bool, bool>(), "specs"_a, "threads"_a, "max_pixels"_a,
             "max_bytes"_a, "upright"_a, "lenient"_a)
        .def("open", &PyBatchDecoder::open, "sources"_a)
        .def("decode", &PyBatchDecoder::decode, "jobs"_a, "addresses"_a)
        .def("bytes", &PyBatchDecoder::bytes, "item"_a)
        .def("close", &PyBatchDecoder::close);
}
