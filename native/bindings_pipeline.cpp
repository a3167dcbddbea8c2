// Python's face of the compressed path: freqvision._native.BatchDecoder.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

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
    throw std::invalid_argument("unknown dtype " + name);
}

// Asks for huge pages in fresh memory. Its first touch is a page fault for every 4 KiB otherwise, which costs
// more than resampling does, and more still on several threads.
void advise_huge_pages(uintptr_t address, size_t size) {
#ifdef MADV_HUGEPAGE
    const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t begin = (address + page - 1) / page * page, end = (address + size) / page * page;
    // A refusal only means that it is as slow as ever.
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
    (void)address;
    (void)size;
#endif
}

nb::object to_python(const std::optional<Failure>& failure) {
    if (!failure) return nb::none();
    static const char* const kinds[] = {"io", "jpeg", "colour"};
    return nb::make_tuple(kinds[static_cast<int>(failure->kind)], failure->message, kind_name(failure->error),
                          failure->offset);
}

// The batch decoder and the buffers of the batch that is open.
class PyBatchDecoder {
  public:
    PyBatchDecoder(std::vector<int> channels, std::vector<float> gain, std::vector<float> bias,
                   const std::string& dtype, const std::string& interpolation, int threads,
                   int64_t max_pixels) {
        if (gain.size() != channels.size() || bias.size() != channels.size())
            throw std::invalid_argument("gain and bias have one number for each channel");
        for (int channel : channels)
            if (channel < 0 || channel >= 192) throw std::invalid_argument("a channel is 0 to 191");
        OutputSpec spec;
        spec.channels = std::move(channels);
        spec.gain = std::move(gain);
        spec.bias = std::move(bias);
        spec.type = data_type(dtype);
        spec.filter = interpolation == "bicubic" ? Filter::bicubic : Filter::bilinear;
        Limits limits;
        limits.max_pixels = max_pixels;
        decoder_ = std::make_unique<BatchDecoder>(spec, threads, limits);
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

    // Decodes source i as views[i] says to the memory at addresses[i]; address 0 skips it. Failures by
    // source.
    nb::list decode(nb::ndarray<const int32_t, nb::shape<-1, 11>, nb::c_contig, nb::device::cpu> views,
                    const std::vector<uintptr_t>& addresses) {
        const Use use(*this);
        const size_t count = decoder_->sources().size();
        if (views.shape(0) != count || addresses.size() != count)
            throw std::invalid_argument("views and addresses have one entry for each open source");
        std::vector<View> native(count);
        std::vector<void*> outputs(count);
        for (size_t i = 0; i < count; ++i) {
            const int32_t* v = views.data() + 11 * i;
            native[i] = {v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10]};
            outputs[i] = reinterpret_cast<void*>(addresses[i]);
        }
        std::vector<std::optional<Failure>> failures;
        {
            WithoutGil released;
            failures = decoder_->decode(native, outputs, [&] { released.check_signals(); });
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
    // (a finaliser), and another thread's runs while the GIL is released: neither may come in here meanwhile.
    class Use {
      public:
        explicit Use(PyBatchDecoder& owner) : owner_(owner) {
            if (std::exchange(owner_.in_use_, true)) throw std::runtime_error("the decoder is in use");
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
    bool in_use_ = false;
};

}  // namespace
}  // namespace freqvision

void bind_pipeline(nb::module_& module) {
    using freqvision::PyBatchDecoder;
    module.def("advise_huge_pages", &freqvision::advise_huge_pages, "address"_a, "size"_a);
    nb::class_<PyBatchDecoder>(module, "BatchDecoder")
        .def(nb::init<std::vector<int>, std::vector<float>, std::vector<float>, const std::string&,
                      const std::string&, int, int64_t>(),
             "channels"_a, "gain"_a, "bias"_a, "dtype"_a, "interpolation"_a, "threads"_a, "max_pixels"_a)
        .def("open", &PyBatchDecoder::open, "sources"_a)
        .def("decode", &PyBatchDecoder::decode, "views"_a, "addresses"_a)
        .def("bytes", &PyBatchDecoder::bytes, "item"_a)
        .def("close", &PyBatchDecoder::close);
}
