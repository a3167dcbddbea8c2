// A fixed set of threads that share out the items of a batch.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace freqvision {

// The calling thread works too, so a pool of one starts no thread. Items are handed out one at a time, in
// order. One batch at a time; `run` calls from several threads wait for each other.
class ThreadPool {
  public:
    explicit ThreadPool(int threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int size() const { return static_cast<int>(crew_->threads.size()) + 1; }
    // Calls task(worker, item) for each item; worker < size(). After an exception of the task no further item
    // is handed out; the first one is thrown here, once no thread works on the batch any more. So is what
    // `between` throws, which the calling thread calls before each of its items.
    void run(int items, const std::function<void(int worker, int item)>& task,
             const std::function<void()>& between = {});

  private:
    // A forked copy leaves these where they are: its threads do not exist, destroying a condition variable
    // waits for them for ever, and their handles may by then be those of new threads.
    struct Crew {
        std::vector<std::thread> threads;
        std::mutex mutex;
        std::condition_variable start, finish;
    };

    void work(int worker);
    void work_off(int worker, const std::function<void()>* between, std::unique_lock<std::mutex>& lock);
    void join();

    int owner_;         // the process that the crew lives in
    std::mutex batch_;  // held by `run`
    std::unique_ptr<Crew> crew_ = std::make_unique<Crew>();
    const std::function<void(int, int)>* task_ = nullptr;
    int items_ = 0, next_ = 0, busy_ = 0;
    std::exception_ptr failure_;
    unsigned generation_ = 0;
    bool stop_ = false;
};

}  // namespace freqvision
