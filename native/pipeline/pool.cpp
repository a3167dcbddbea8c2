#include "pipeline/pool.h"

#include <algorithm>

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

void ThreadPool::run(int items, const std::function<void(int, int)>& task) {
    std::lock_guard batch(batch_);
    std::unique_lock lock(crew_->mutex);
    task_ = &task;
    items_ = items;
    next_ = 0;
    ++generation_;
    // A single item is done sooner than a thread wakes.
    const bool shared = items > 1 && !crew_->threads.empty();
    if (shared) crew_->start.notify_all();
    while (next_ < items_) {
        const int item = next_++;
        lock.unlock();
        task(0, item);
        lock.lock();
    }
    crew_->finish.wait(lock, [this] { return busy_ == 0; });
    task_ = nullptr;
}

void ThreadPool::work(int worker) {
    std::unique_lock lock(crew_->mutex);
    unsigned seen = 0;
    for (;;) {
        crew_->start.wait(lock, [&] { return stop_ || generation_ != seen; });
        if (stop_) return;
        seen = generation_;
        while (next_ < items_) {
            const int item = next_++;
            ++busy_;
            lock.unlock();
            (*task_)(worker, item);
            lock.lock();
            --busy_;
        }
        if (busy_ == 0) crew_->finish.notify_one();
    }
}

}  // namespace freqvision
