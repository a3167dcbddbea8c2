// Makes one allocation of the program fail: include it in its only source file.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace freqvision::test {

inline std::atomic<long> countdown{-1};  // the allocation that fails; negative: none does
inline std::atomic<bool> failed_one{false};

inline void* allocate(std::size_t size) {
    if (countdown.load() >= 0 && countdown.fetch_sub(1) == 0) {
        failed_one = true;
        throw std::bad_alloc();
    }
    if (void* memory = std::malloc(size ? size : 1)) return memory;
    throw std::bad_alloc();
}

}  // namespace freqvision::test

void* operator new(std::size_t size) { return freqvision::test::allocate(size); }
void* operator new[](std::size_t size) { return freqvision::test::allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
