#include "cpu.h"
#include "pipeline/kernels.h"

namespace freqvision {

namespace baseline {
extern const ResampleKernels kResampleKernels;
}
namespace avx2 {
extern const ResampleKernels kResampleKernels;
}
namespace avx512 {
extern const ResampleKernels kResampleKernels;
}

const ResampleKernels& resample_kernels() {
#ifdef FREQVISION_X86
    if (current_isa() == Isa::avx512) return avx512::kResampleKernels;
    if (current_isa() == Isa::avx2) return avx2::kResampleKernels;
#endif
    return baseline::kResampleKernels;
}

size_t size_of(DataType type) {
    switch (type) {
        case DataType::float32:
            return 4;
        case DataType::float16:
        case DataType::bfloat16:
            return 2;
        case DataType::int8:
        case DataType::uint8:
            return 1;
    }
    return 0;
}

}  // namespace freqvision
