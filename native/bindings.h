// What the bindings share.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

namespace freqvision {

// A Python object's contiguous buffer, which stays where it is as long as this lives.
class Buffer {
  public:
    explicit Buffer(nanobind::handle object) {
        if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) nanobind::raise_python_error();
    }
    ~Buffer() { PyBuffer_Release(&view_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    const uint8_t* data() const { return static_cast<const uint8_t*>(view_.buf); }
    std::size_t size() const { return static_cast<std::size_t>(view_.len); }

  private:
    Py_buffer view_;
};

// Releases the GIL for its lifetime. A daemon thread that asks for it while the interpreter ends is ended by
// pthread_exit, whose unwinding no C++ on the way survives: it sleeps instead, as threads do since
// Python 3.14.
class WithoutGil {
  public:
    WithoutGil() : state_(PyEval_SaveThread()) {}
    ~WithoutGil() {
        if (state_) acquire();
    }
    WithoutGil(const WithoutGil&) = delete;
    WithoutGil& operator=(const WithoutGil&) = delete;

    // Runs Python's signal handlers if the last time is long enough ago; throws what they raise.
    void check_signals() {
        const auto now = std::chrono::steady_clock::now();
        if (now - checked_ < std::chrono::milliseconds(50)) return;
        checked_ = now;
        acquire();
        const int raised = PyErr_CheckSignals();
        if (raised) throw nanobind::python_error();  // with the GIL held, which its destructor takes anyway
        state_ = PyEval_SaveThread();
    }

  private:
    void acquire() {
        PyThreadState* state = std::exchange(state_, nullptr);
#ifdef __GLIBCXX__
        try {
            PyEval_RestoreThread(state);
        } catch (abi::__forced_unwind&) {
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
#else
        PyEval_RestoreThread(state);
#endif
    }

    PyThreadState* state_;
    std::chrono::steady_clock::time_point checked_ = std::chrono::steady_clock::now();
};

}  // namespace freqvision
