#include "cpu.h"

#include <atomic>

namespace freqvision {

Isa best_isa() {
#ifdef FREQVISION_X86
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi2") ||
        !__builtin_cpu_supports("fma")) {
        return Isa::baseline;
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return Isa::avx512;
    }
    return Isa::avx2;
#else
    return Isa::baseline;
#endif
}

namespace {

std::atomic<Isa>& isa() {
    static std::atomic<Isa> value{best_isa()};
    return value;
}

}  // namespace

Isa current_isa() { return isa().load(std::memory_order_relaxed); }

bool set_isa(Isa wanted) {
    if (wanted > best_isa()) return false;
    isa().store(wanted, std::memory_order_relaxed);
    return true;
}

}  // namespace freqvision
