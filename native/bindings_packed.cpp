// Python face of packed photos; see freqvision.inputs.packed.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.h"
#include "jpeg/zigzag.h"
#include "packed/format.h"
#include "packed/reader.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace freqvision;

namespace {

using Steps = nb::ndarray<const float, nb::shape<-1>, nb::c_contig, nb::device::cpu>;
using Planes = nb::ndarray<const int8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Blocks = nb::ndarray<const int16_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Table = nb::ndarray<const uint16_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

Codec codec_of(const std::string& name) {
    if (name == "lz4") return Codec::lz4;
    if (name == "zstd") return Codec::zstd;
    throw std::invalid_argument("unknown codec " + name);
}

void set_sizes(PackedHeader& header, std::pair<int, int> size, std::pair<int, int> source, int orientation,
               int count) {
    header.info.height = size.first;
    header.info.width = size.second;
    header.source_height = source.first;
    header.source_width = source.second;
    header.info.orientation = orientation;
    header.info.component_count = count;
    header.info.colour_model = count == 1 ? ColourModel::gray : ColourModel::ycbcr;
}

nb::bytes packed(const PackedImage& image, int level) {
    std::vector<uint8_t> photo;
    {
        const WithoutGil released;
        photo = pack(image, level);
    }
    return nb::bytes(photo.data(), photo.size());
}

// int8 planes (channels, blocks high, blocks wide) of a photo resized to `size`, ascending channels.
nb::bytes pack_planes(Planes planes, const std::vector<int>& channels, Steps steps, int height, int width,
                      int origin_y, int origin_x, int source_height, int source_width, int orientation,
                      const std::string& codec, int level) {
    if (channels.size() != planes.shape(0) || channels.size() != steps.shape(0))
        throw std::invalid_argument("a channel has one plane and one step");
    PackedImage image;
    PackedHeader& header = image.header;
    set_sizes(header, {height, width}, {source_height, source_width}, orientation, 3);
    header.info.origin_y = origin_y;
    header.info.origin_x = origin_x;
    header.codec = codec_of(codec);
    for (int i = 0; i < 3; ++i) image.planes[i] = planes.data();
    const std::size_t plane = planes.shape(1) * planes.shape(2);
    int last = -1;
    for (std::size_t i = 0; i < channels.size(); ++i) {
        const int channel = channels[i];
        if (channel <= last || channel >= 192) throw std::invalid_argument("channels ascend from 0 to 191");
        last = channel;
        PackedComponent& component = header.components[channel / 64];
        if (component.frequencies == 0) image.planes[channel / 64] = planes.data() + i * plane;
        component.index[component.frequencies++] = static_cast<uint8_t>(channel % 64);
        component.step[channel % 64] = steps(i);
    }
    set_geometry(header.info);
    const Component& shape = header.info.components[0];
    if (planes.shape(1) != static_cast<std::size_t>(shape.blocks_high) ||
        planes.shape(2) != static_cast<std::size_t>(shape.blocks_wide))
        throw std::invalid_argument("the planes are not of the photo's size");
    return packed(image, level);
}

// All coefficients of a JPEG file, as read_coefficients gives them.
nb::bytes pack_blocks(const std::vector<Blocks>& planes, const std::vector<Table>& tables,
                      const std::vector<std::pair<int, int>>& sampling, int height, int width,
                      int orientation, const std::string& codec, int level) {
    if ((planes.size() != 1 && planes.size() != 3) || tables.size() != planes.size() ||
        sampling.size() != planes.size())
        throw std::invalid_argument("one or three components have a table and sampling factors each");
    PackedImage image;
    PackedHeader& header = image.header;
    set_sizes(header, {height, width}, {height, width}, orientation, static_cast<int>(planes.size()));
    header.codec = codec_of(codec);
    header.exact = true;
    for (std::size_t i = 0; i < planes.size(); ++i) {
        header.info.components[i].v = sampling[i].first;
        header.info.components[i].h = sampling[i].second;
        PackedComponent& component = header.components[i];
        component.frequencies = 64;
        for (int k = 0; k < 64; ++k) component.index[k] = kZigzag[k];
        if (tables[i].size() != 64) throw std::invalid_argument("a table has 8×8 numbers");
        for (int k = 0; k < 64; ++k) component.step[k] = tables[i].data()[k];
        image.blocks[i] = planes[i].data();
    }
    set_geometry(header.info);
    for (std::size_t i = 0; i < planes.size(); ++i) {
        const Component& shape = header.info.components[i];
        if (planes[i].shape(0) != static_cast<std::size_t>(shape.blocks_high) ||
            planes[i].shape(1) != static_cast<std::size_t>(shape.blocks_wide) || planes[i].size() % 64 != 0 ||
            planes[i].shape(2) != 8 || planes[i].shape(3) != 8)
            throw std::invalid_argument("a plane is not of its component's size");
    }
    return packed(image, level);
}

// The rows of all components, natural order, in one array each.
class Collect final : public LineSink {
  public:
    void lines(int component, int block_row, const int16_t* const* lines) override {
        const std::size_t count = wide[component];
        int16_t* to = planes[component].data() + 64 * count * block_row;
        for (std::size_t column = 0; column < count; ++column)
            for (int k = 0; k < 64; ++k) *to++ = lines[k][column];
    }
    int wide[3] = {};
    std::vector<int16_t> planes[3];
};

// Without `check` the checksum is not looked at: for tests of what it else would catch.
nb::dict unpack(nb::handle source, int64_t max_pixels, bool check) {
    const Buffer buffer(source);
    PackedHeader header;
    Collect collect;
    {
        const WithoutGil released;
        Limits limits;
        limits.max_pixels = max_pixels;
        PackedReader reader;
        header = reader.open(buffer.data(), buffer.size(), limits, check);
        RowRequest request;
        for (int i = 0; i < header.info.component_count; ++i) {
            const Component& shape = header.info.components[i];
            request.ranges[i] = {0, shape.blocks_high, 0, shape.blocks_wide};
            collect.wide[i] = shape.blocks_wide;
            collect.planes[i].resize(std::size_t{64} * shape.blocks_high * shape.blocks_wide);
        }
        reader.decode(request, collect);
    }
    const ImageInfo& info = header.info;
    nb::list planes, steps, sampling, sizes, frequencies;
    for (int i = 0; i < info.component_count; ++i) {
        const Component& shape = info.components[i];
        const PackedComponent& component = header.components[i];
        auto* memory = new std::vector<int16_t>(std::move(collect.planes[i]));
        const nb::capsule owner(memory,
                                [](void* p) noexcept { delete static_cast<std::vector<int16_t>*>(p); });
        planes.append(nb::ndarray<nb::numpy, int16_t>(
            memory->data(),
            {static_cast<std::size_t>(shape.blocks_high), static_cast<std::size_t>(shape.blocks_wide), 8, 8},
            owner));
        nb::list of_component, indices;
        for (int k = 0; k < 64; ++k) of_component.append(component.step[k]);
        for (int k = 0; k < component.frequencies; ++k) indices.append(component.index[k]);
        steps.append(of_component);
        frequencies.append(indices);
        sampling.append(nb::make_tuple(shape.v, shape.h));
        sizes.append(nb::make_tuple(shape.height, shape.width));
    }
    nb::dict result;
    result["size"] = nb::make_tuple(info.height, info.width);
    result["source_size"] = nb::make_tuple(header.source_height, header.source_width);
    result["orientation"] = info.orientation;
    result["exact"] = header.exact;
    result["planes"] = nb::tuple(planes);
    result["steps"] = nb::tuple(steps);
    result["frequencies"] = nb::tuple(frequencies);
    result["sampling_factors"] = nb::tuple(sampling);
    result["component_sizes"] = nb::tuple(sizes);
    return result;
}

}  // namespace

void bind_packed(nb::module_& module) {
    module.def("pack_planes", &pack_planes, "planes"_a, "channels"_a, "steps"_a, "height"_a, "width"_a,
               "origin_y"_a, "origin_x"_a, "source_height"_a, "source_width"_a, "orientation"_a, "codec"_a,
               "level"_a);
    module.def("pack_blocks", &pack_blocks, "planes"_a, "tables"_a, "sampling"_a, "height"_a, "width"_a,
               "orientation"_a, "codec"_a, "level"_a);
    module.def("unpack", &unpack, "source"_a, "max_pixels"_a, "check"_a = true);
}
