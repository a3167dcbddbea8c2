#include "cpu.h"
#include "packed/kernels.h"

namespace freqvision {

namespace baseline {
extern const PackedKernels kPackedKernels;
}
namespace avx2 {
extern const PackedKernels kPackedKernels;
}
namespace avx512 {
extern const PackedKernels kPackedKernels;
}

const PackedKernels& packed_kernels() {
#ifdef FREQVISION_X86
    if (current_isa() == Isa::avx512) return avx512::kPackedKernels;
    if (current_isa() == Isa::avx2) return avx2::kPackedKernels;
#endif
    return baseline::kPackedKernels;
}

}  // namespace freqvision
