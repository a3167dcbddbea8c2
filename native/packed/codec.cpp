#include "packed/codec.h"

#include <cstring>
#include <stdexcept>

// C-Blosc2 installs no headers for the codecs that it contains.
extern "C" {
int LZ4_compressBound(int size);
int LZ4_compress_HC(const char* from, char* to, int size, int capacity, int level);
int LZ4_decompress_safe(const char* from, char* to, int size, int capacity);
size_t ZSTD_compressBound(size_t size);
size_t ZSTD_compress(void* to, size_t capacity, const void* from, size_t size, int level);
struct ZSTD_DCtx_s* ZSTD_createDCtx(void);
size_t ZSTD_freeDCtx(struct ZSTD_DCtx_s* context);
size_t ZSTD_decompressDCtx(struct ZSTD_DCtx_s* context, void* to, size_t capacity, const void* from,
                           size_t size);
unsigned ZSTD_isError(size_t code);
unsigned long long ZSTD_XXH64(const void* data, size_t size, unsigned long long seed);
}

namespace freqvision {
namespace {

// One for each thread, since making one takes longer than a photo.
struct ZstdContext {
    ZSTD_DCtx_s* context = ZSTD_createDCtx();
    ~ZstdContext() { ZSTD_freeDCtx(context); }
};

}  // namespace

std::vector<uint8_t> compress(Codec codec, const std::vector<uint8_t>& raw, int level) {
    if (codec == Codec::none) return raw;
    std::vector<uint8_t> packed;
    if (codec == Codec::lz4) {
        const int size = static_cast<int>(raw.size());
        packed.resize(static_cast<size_t>(LZ4_compressBound(size)));
        const int written =
            LZ4_compress_HC(reinterpret_cast<const char*>(raw.data()), reinterpret_cast<char*>(packed.data()),
                            size, static_cast<int>(packed.size()), level);
        if (written <= 0) throw std::runtime_error("LZ4 could not compress");
        packed.resize(static_cast<size_t>(written));
    } else {
        packed.resize(ZSTD_compressBound(raw.size()));
        const size_t written = ZSTD_compress(packed.data(), packed.size(), raw.data(), raw.size(), level);
        if (ZSTD_isError(written)) throw std::runtime_error("zstd could not compress");
        packed.resize(written);
    }
    return packed;
}

bool decompress(Codec codec, const uint8_t* data, size_t size, uint8_t* raw, size_t raw_size) {
    if (codec == Codec::none) {
        if (size == raw_size) std::memcpy(raw, data, size);
        return size == raw_size;
    }
    if (codec == Codec::lz4)
        return LZ4_decompress_safe(reinterpret_cast<const char*>(data), reinterpret_cast<char*>(raw),
                                   static_cast<int>(size),
                                   static_cast<int>(raw_size)) == static_cast<int>(raw_size);
    static thread_local ZstdContext zstd;
    if (!zstd.context) throw std::bad_alloc();
    return ZSTD_decompressDCtx(zstd.context, raw, raw_size, data, size) == raw_size;
}

uint64_t checksum(const uint8_t* data, size_t size) { return ZSTD_XXH64(data, size, 0); }

}  // namespace freqvision
