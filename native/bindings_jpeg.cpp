// Python face of the JPEG reader. What it returns is plain; freqvision.jpeg makes dataclasses of it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.h"
#include "jpeg/file.h"
#include "jpeg/reader.h"
#include "packed/reader.h"

namespace nb = nanobind;
using namespace freqvision;

namespace {

// One for each thread, so that its memory stays warm. Making Python objects, and asking them for anything,
// can run other Python code that reads another photo with it: whoever calls this holds no GIL, and copies
// what it needs afterwards.
JpegReader& thread_reader() {
    static thread_local JpegReader reader;
    return reader;
}

// Ends a read: a thread may never read such a large file again.
struct Trimmed {
    Trimmed() = default;
    ~Trimmed() { thread_reader().trim(std::size_t{4} << 20); }
    Trimmed(const Trimmed&) = delete;
    Trimmed& operator=(const Trimmed&) = delete;
};

struct Free {
    void operator()(int16_t* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<int16_t[], Free>;

Memory allocate(std::size_t count) {
    auto* memory = static_cast<int16_t*>(std::malloc(std::max<std::size_t>(count, 1) * sizeof(int16_t)));
    if (!memory) throw std::bad_alloc();
    return Memory(memory);
}

nb::object to_numpy(Memory memory, std::size_t high, std::size_t wide) {
    const nb::capsule owner(memory.get(), [](void* pointer) noexcept { std::free(pointer); });
    return nb::cast(nb::ndarray<nb::numpy, int16_t>(memory.release(), {high, wide, 8, 8}, owner));
}

nb::dict header_dict(const ImageInfo& info) {
    nb::dict header;
    nb::list sampling, tables, sizes;
    for (int i = 0; i < info.component_count; ++i) {
        const Component& component = info.components[i];
        sampling.append(nb::make_tuple(component.v, component.h));
        sizes.append(nb::make_tuple(component.height, component.width));
        if (!component.has_quant) {
            tables.append(nb::none());
            continue;
        }
        auto table = std::make_unique<uint16_t[]>(64);
        std::memcpy(table.get(), component.quant, sizeof component.quant);
        const nb::capsule owner(table.get(),
                                [](void* pointer) noexcept { delete[] static_cast<uint16_t*>(pointer); });
        tables.append(nb::ndarray<nb::numpy, uint16_t>(table.release(), {8, 8}, owner));
    }
    header["size"] = nb::make_tuple(info.height, info.width);
    header["colour_model"] = colour_model_name(info.colour_model);
    header["orientation"] = info.orientation;
    header["progressive"] = info.progressive;
    header["restart_interval"] = info.restart_interval;
    header["sampling_factors"] = nb::tuple(sampling);
    header["component_sizes"] = nb::tuple(sizes);
    header["quant_tables"] = nb::tuple(tables);
    return header;
}

nb::tuple to_tuple(const std::vector<std::string>& texts) {
    nb::list list;
    for (const std::string& text : texts) list.append(nb::str(text.c_str()));
    return nb::tuple(list);
}

Limits limits_for(int64_t max_pixels, int64_t max_bytes) {
    Limits limits;
    limits.max_pixels = max_pixels;
    limits.max_bytes = max_bytes;
    return limits;
}

// The first bytes of a file, at most `count`, as a bytes object.
nb::object read_file(nb::handle path, int64_t max_bytes, std::size_t count) {
    PyObject* encoded = nullptr;
    if (!PyUnicode_FSConverter(path.ptr(), &encoded)) nb::raise_python_error();
    const std::string name = nb::steal<nb::bytes>(encoded).c_str();
    std::optional<File> file;
    try {
        {
            const WithoutGil released;
            file.emplace(name, limits_for(0, max_bytes));
        }
        const std::size_t length = std::min(file->size(), count);
        PyObject* bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(length));
        nb::object result = nb::steal(bytes);
        if (!bytes) nb::raise_python_error();
        char* memory = PyBytes_AsString(bytes);
        std::size_t size = 0;
        {
            const WithoutGil released;
            size = file->read(reinterpret_cast<uint8_t*>(memory), length);
        }
        if (size == length) return result;
        return nb::steal(PyBytes_FromStringAndSize(memory, static_cast<Py_ssize_t>(size)));
    } catch (const FileError& error) {
        PyErr_SetObject(PyExc_OSError, nb::make_tuple(error.code, error.what(), path).ptr());
        throw nb::python_error();
    }
}

nb::dict read_header(nb::handle source, int64_t max_pixels, int64_t max_bytes) {
    const Buffer buffer(source);
    ImageInfo info;
    {
        const WithoutGil released;
        const Limits limits = limits_for(max_pixels, max_bytes);
        if (is_packed(buffer.data(), buffer.size())) {
            check_file_size(buffer.size(), limits);
            info = PackedReader().open(buffer.data(), buffer.size(), limits, /*check=*/false).info;
        } else {
            info = thread_reader().open_header(buffer.data(), buffer.size(), limits);
        }
    }
    return header_dict(info);
}

nb::dict read_coefficients(nb::handle source, bool strict, int64_t max_pixels, int64_t max_bytes) {
    const Buffer buffer(source);
    ImageInfo info;
    Memory planes[kMaxComponents];
    std::vector<std::string> warnings;
    {
        const WithoutGil released;
        const Trimmed trimmed;
        JpegReader& reader = thread_reader();
        info = reader.open(buffer.data(), buffer.size(), limits_for(max_pixels, max_bytes));
        reader.check(strict);
        int16_t* pointers[kMaxComponents] = {};
        for (int i = 0; i < info.component_count; ++i) {
            const Component& component = info.components[i];
            planes[i] = allocate(std::size_t{64} * component.blocks_high * component.blocks_wide);
            pointers[i] = planes[i].get();
        }
        reader.decode_planes(pointers, strict);
        warnings = reader.warnings();
    }
    nb::dict result = header_dict(info);
    nb::list arrays;
    for (int i = 0; i < info.component_count; ++i) {
        const Component& component = info.components[i];
        arrays.append(to_numpy(std::move(planes[i]), component.blocks_high, component.blocks_wide));
    }
    result["planes"] = nb::tuple(arrays);
    result["warnings"] = to_tuple(warnings);
    return result;
}

// Takes rows, and does nothing with them.
class NoRows final : public LineSink {
    void lines(int, int, const int16_t* const*) override {}
};

void judge(nb::handle source, int64_t max_pixels, int64_t max_bytes) {
    const Buffer buffer(source);
    const WithoutGil released;
    if (is_packed(buffer.data(), buffer.size())) {
        const Limits limits = limits_for(max_pixels, max_bytes);
        check_file_size(buffer.size(), limits);
        PackedReader reader;
        const ImageInfo& info = reader.open(buffer.data(), buffer.size(), limits).info;
        RowRequest everything;
        for (int i = 0; i < info.component_count; ++i)
            everything.ranges[i] = {0, info.components[i].blocks_high, 0, info.components[i].blocks_wide};
        NoRows sink;
        reader.decode(everything, sink);
        return;
    }
    const Trimmed trimmed;
    JpegReader& reader = thread_reader();
    reader.open(buffer.data(), buffer.size(), limits_for(max_pixels, max_bytes));
    reader.judge();
}

// Collects the rows of a request, and how often each came.
class CollectingSink : public RowSink {
  public:
    void row(int component, int block_row, const int16_t* blocks) override {
        const BlockRange& range = request->ranges[component];
        const std::size_t row_size = std::size_t{64} * (range.column_end - range.column_begin);
        std::memcpy(planes[component].get() + (block_row - range.row_begin) * row_size, blocks, row_size * 2);
        if (block_row != next[component]++) in_order = false;
    }

    const RowRequest* request = nullptr;
    Memory planes[kMaxComponents];
    int next[kMaxComponents] = {};
    bool in_order = true;
};

// For tests of the row interface that the pipeline uses. `ranges`: (row_begin, row_end, column_begin,
// column_end) for each component; `frequencies`: a mask for each. Returns the blocks of each range.
nb::list read_rows(nb::handle source, const std::vector<std::array<int, 4>>& ranges,
                   const std::vector<uint64_t>& frequencies, bool transposed, bool whole, bool strict,
                   int64_t max_pixels) {
    const Buffer buffer(source);
    RowRequest request;
    CollectingSink sink;
    sink.request = &request;
    request.order = transposed ? BlockOrder::transposed : BlockOrder::natural;
    request.whole = whole;
    int count = 0;
    {
        const WithoutGil released;
        JpegReader& reader = thread_reader();
        count = reader.open(buffer.data(), buffer.size(), limits_for(max_pixels, Limits().max_bytes))
                    .component_count;
        if (ranges.size() != static_cast<std::size_t>(count) || frequencies.size() != ranges.size())
            throw std::invalid_argument("a component has one range and one mask of frequencies");
        for (int i = 0; i < count; ++i) {
            BlockRange& r = request.ranges[i];
            r = {ranges[i][0], ranges[i][1], ranges[i][2], ranges[i][3]};
            request.frequencies[i] = frequencies[i];
            if (r.empty()) continue;
            sink.planes[i] = allocate(std::size_t{64} * static_cast<std::size_t>(r.row_end - r.row_begin) *
                                      static_cast<std::size_t>(r.column_end - r.column_begin));
            sink.next[i] = r.row_begin;
        }
        reader.decode(request, sink, strict);
    }
    nb::list arrays;
    for (int i = 0; i < count; ++i) {
        const BlockRange& r = request.ranges[i];
        if (r.empty()) {
            arrays.append(nb::none());
            continue;
        }
        if (!sink.in_order || sink.next[i] != r.row_end)
            throw std::runtime_error("rows are missing or out of order");
        arrays.append(
            to_numpy(std::move(sink.planes[i]), r.row_end - r.row_begin, r.column_end - r.column_begin));
    }
    return arrays;
}

}  // namespace

void bind_jpeg(nb::module_& module) {
    nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
        try {
            std::rethrow_exception(pointer);
        } catch (const JpegError& error) {
            const nb::object type = nb::module_::import_("freqvision.jpeg.errors").attr("JpegError");
            PyErr_SetObject(type.ptr(),
                            nb::make_tuple(error.what(), kind_name(error.kind), error.offset).ptr());
        }
    });
    module.def("read_file", &read_file, nb::arg("path"), nb::arg("max_bytes"), nb::arg("count"));
    module.def("read_header", &read_header, nb::arg("source"), nb::arg("max_pixels"), nb::arg("max_bytes"));
    module.def("read_coefficients", &read_coefficients, nb::arg("source"), nb::arg("strict"),
               nb::arg("max_pixels"), nb::arg("max_bytes"));
    module.def("judge", &judge, nb::arg("source"), nb::arg("max_pixels"), nb::arg("max_bytes"));
    module.def("read_rows", &read_rows, nb::arg("source"), nb::arg("ranges"), nb::arg("frequencies"),
               nb::arg("transposed") = false, nb::arg("whole") = false, nb::arg("strict") = true,
               nb::arg("max_pixels") = int64_t{1} << 28);
}
