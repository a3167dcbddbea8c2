#include "pipeline/pool.h"

#include <algorithm>
#include <utility>

#ifdef _WIN32
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif

namespace freqvision {

ThreadPool::ThreadPool(int threads) : owner_(getpid()) {
    crew_->threads.reserve(std::max(0, threads - 1));
    try {
        for (int i = 1; i < threads; ++i) crew_->threads.emplace_back([this, i] { work(i); });
    } catch (...) {
        // The system allows no more; those that run would end the program if they were not joined.
        join();
        throw;
    }
}

ThreadPool::~ThreadPool() {
    if (getpid() != owner_) {  // a forked copy
        static_cast<void>(crew_.release());
        return;
    }
    join();
}

void ThreadPool::join() {
    {
        std::lock_guard lock(crew_->mutex);
        stop_ = true;
    }
    crew_->start.notify_all();
    for (std::thread& thread : crew_->threads) thread.join();
}

void ThreadPool::run(int items, const std::function<void(int, int)>& task,
                     const std::function<void()>& between) {
    std::lock_guard batch(batch_);
    std::unique_lock lock(crew_->mutex);
    task_ = &task;
    items_ = items;
    next_ = 0;
    failure_ = nullptr;
    ++generation_;
    // A single item is done sooner than a thread wakes.
    if (items > 1 && !crew_->threads.empty()) crew_->start.notify_all();
    work_off(0, between ? &between : nullptr, lock);
    crew_->finish.wait(lock, [this] { return busy_ == 0; });
    task_ = nullptr;
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::work(int worker) {
    std::unique_lock lock(crew_->mutex);
    unsigned seen = 0;
    for (;;) {
        crew_->start.wait(lock, [&] { return stop_ || generation_ != seen; });
        if (stop_) return;
        seen = generation_;
        work_off(worker, nullptr, lock);
        if (busy_ == 0) crew_->finish.notify_one();
    }
}

void ThreadPool::work_off(int worker, const std::function<void()>* between,
                          std::unique_lock<std::mutex>& lock) {
    while (next_ < items_) {
        const int item = next_++;
        ++busy_;
        lock.unlock();
        std::exception_ptr failure;
        try {
            if (between) (*between)();
            (*task_)(worker, item);
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        --busy_;
        if (!failure) continue;
        if (!failure_) failure_ = failure;
        next_ = items_;
    }
}

}  // namespace freqvision
