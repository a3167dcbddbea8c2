#include "cpu.h"
#include "jpeg/kernels.h"

namespace freqvision {

const JpegKernels& jpeg_kernels() {
#define FREQVISION_KERNELS(isa)                                                                        \
    {                                                                                                  \
        isa::unstuff, isa::find_marker, isa::sequential, isa::dc_first, isa::dc_refine, isa::ac_first, \
            isa::ac_refine                                                                             \
    }
    static constexpr JpegKernels kBaseline = FREQVISION_KERNELS(baseline);
#ifdef FREQVISION_X86
    static constexpr JpegKernels kAvx2 = FREQVISION_KERNELS(avx2);
    static constexpr JpegKernels kAvx512 = FREQVISION_KERNELS(avx512);
    if (current_isa() == Isa::avx512) return kAvx512;
    if (current_isa() == Isa::avx2) return kAvx2;
#endif
#undef FREQVISION_KERNELS
    return kBaseline;
}

}  // namespace freqvision
