// Whatever libjpeg-turbo reads without a warning is read here, bit by bit the same. Runs under libFuzzer
// (clang -fsanitize=fuzzer) and under driver.cpp; needs the system's libjpeg-turbo.
#include <algorithm>
#include <csetjmp>
#include <cstdint>
#include <cstdio>  // jpeglib.h needs it
#include <cstdlib>
#include <string>
#include <vector>

#include "jpeg/reader.h"

extern "C" {
#include <jpeglib.h>
}

using namespace freqvision;

namespace {

constexpr uint64_t kMaxPixels = 1 << 20;
constexpr int kMaxScans = 100;  // the reader's limit, too

struct Plane {
    int blocks_high, blocks_wide;
    uint16_t quant[64];
    std::vector<int16_t> blocks;
};

// Hands out the file in pieces so short that libjpeg-turbo never takes its unrolled loop: that one says
// nothing about bits that are no code, so whether it warns would depend on how much of the file is in the
// buffer.
struct Source : jpeg_source_mgr {
    static constexpr std::size_t kPiece = 256;
    const uint8_t*
        at;  // end of the last piece: libjpeg-turbo may ask for another before it notes how far it is
    const uint8_t* end;  // of the file
};

struct Oracle {
    jpeg_decompress_struct jpeg;
    jpeg_error_mgr errors;
    Source source;
    std::jmp_buf failed;
};

[[noreturn]] void fail(j_common_ptr jpeg) {
    std::longjmp(static_cast<Oracle*>(jpeg->client_data)->failed, 1);
}

// Any warning ends the reading: what follows would not be compared.
void fail_on_warning(j_common_ptr jpeg, int level) {
    if (level < 0) fail(jpeg);
}

boolean next_piece(j_decompress_ptr jpeg) {
    auto* source = static_cast<Source*>(jpeg->src);
    const std::size_t left = source->end - source->at;
    if (left == 0) fail(reinterpret_cast<j_common_ptr>(jpeg));  // where there is a warning, too
    source->next_input_byte = source->at;
    source->bytes_in_buffer = std::min(left, Source::kPiece);
    source->at += source->bytes_in_buffer;
    return TRUE;
}

void skip(j_decompress_ptr jpeg, long count) {
    for (long step; count > 0; count -= step) {
        if (jpeg->src->bytes_in_buffer == 0) next_piece(jpeg);
        step = std::min(count, static_cast<long>(jpeg->src->bytes_in_buffer));
        jpeg->src->next_input_byte += step;
        jpeg->src->bytes_in_buffer -= step;
    }
}

void nothing(j_decompress_ptr) {}

// The file's coefficients; nothing where libjpeg warns or refuses, or where a limit of this test is met. No
// object with a destructor is made between setjmp and longjmp.
bool read_oracle(Oracle& oracle, const uint8_t* data, std::size_t size, std::vector<Plane>& planes) {
    jpeg_decompress_struct& jpeg = oracle.jpeg;
    planes.clear();
    jpeg.err = jpeg_std_error(&oracle.errors);
    jpeg.client_data = &oracle;
    oracle.errors.error_exit = fail;
    oracle.errors.emit_message = fail_on_warning;
    if (setjmp(oracle.failed)) {
        jpeg_destroy_decompress(&jpeg);
        return false;
    }
    jpeg_create_decompress(&jpeg);
    jpeg.client_data = &oracle;
    jpeg.src = &oracle.source;
    oracle.source.next_input_byte = oracle.source.at = data;
    oracle.source.bytes_in_buffer = 0;
    oracle.source.end = data + size;
    oracle.source.init_source = oracle.source.term_source = nothing;
    oracle.source.fill_input_buffer = next_piece;
    oracle.source.skip_input_data = skip;
    oracle.source.resync_to_restart = jpeg_resync_to_restart;
    if (jpeg_read_header(&jpeg, TRUE) != JPEG_HEADER_OK ||
        uint64_t{jpeg.image_width} * jpeg.image_height > kMaxPixels || jpeg.num_components > kMaxComponents)
        fail(reinterpret_cast<j_common_ptr>(&jpeg));
    jvirt_barray_ptr* arrays = jpeg_read_coefficients(&jpeg);
    if (jpeg.arith_code || jpeg.data_precision != 8 || jpeg.input_scan_number > kMaxScans)
        fail(reinterpret_cast<j_common_ptr>(&jpeg));
    planes.resize(jpeg.num_components);
    for (int i = 0; i < jpeg.num_components; ++i) {
        const jpeg_component_info& component = jpeg.comp_info[i];
        Plane& plane = planes[i];
        plane.blocks_high = static_cast<int>(component.height_in_blocks);
        plane.blocks_wide = static_cast<int>(component.width_in_blocks);
        for (int k = 0; k < 64; ++k)
            plane.quant[k] = component.quant_table ? component.quant_table->quantval[k] : 0;
        plane.blocks.resize(std::size_t{64} * plane.blocks_high * plane.blocks_wide);
        for (int row = 0; row < plane.blocks_high; ++row) {
            JBLOCKARRAY blocks =
                jpeg.mem->access_virt_barray(reinterpret_cast<j_common_ptr>(&jpeg), arrays[i], row, 1, FALSE);
            const int16_t* begin = &blocks[0][0][0];
            std::copy_n(begin, 64 * plane.blocks_wide,
                        plane.blocks.begin() + std::ptrdiff_t{64} * plane.blocks_wide * row);
        }
    }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return true;
}

// How this reader differs; empty where it does not.
std::string difference(JpegReader& reader, const uint8_t* data, std::size_t size,
                       const std::vector<Plane>& planes) {
    try {
        const ImageInfo& info = reader.open(data, size);
        reader.check(true);
        if (info.component_count != static_cast<int>(planes.size())) return "number of components";
        std::vector<std::vector<int16_t>> ours(planes.size());
        int16_t* pointers[kMaxComponents] = {};
        for (std::size_t i = 0; i < planes.size(); ++i) {
            const Component& component = info.components[i];
            if (component.blocks_high != planes[i].blocks_high ||
                component.blocks_wide != planes[i].blocks_wide)
                return "size";
            ours[i].resize(planes[i].blocks.size());
            pointers[i] = ours[i].data();
        }
        reader.decode_planes(pointers, true);
        for (std::size_t i = 0; i < planes.size(); ++i) {
            if (ours[i] != planes[i].blocks) return "coefficients";
            // Of a component that no scan carries libjpeg has no table.
            if (planes[i].quant[0] &&
                !std::equal(planes[i].quant, planes[i].quant + 64, info.components[i].quant))
                return "quantisation table";
        }
    } catch (const JpegError& error) {
        return std::string("refused: ") + error.what();
    }
    return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    static JpegReader reader;
    static Oracle oracle;
    std::vector<Plane> planes;
    if (!read_oracle(oracle, data, size, planes)) return 0;
    const std::string found = difference(reader, data, size, planes);
    if (found.empty()) return 0;
    std::fprintf(stderr, "libjpeg reads it without a warning, but here: %s\n", found.c_str());
    std::abort();
}
