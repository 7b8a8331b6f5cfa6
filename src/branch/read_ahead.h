// Does what will be asked for soon, on a thread of its own, in order. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace pgstrata {

class ReadAhead {
 public:
  using Work = std::function<void()>;

  ReadAhead() : thread_([this](const std::stop_token& stop) { run(stop); }) {}
  void add(Work work) {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= queue_max) return;  // it cannot keep up: the reader reads for itself
    queue_.push_back(std::move(work));
    arrived_.notify_one();
  }

 private:
  static constexpr std::size_t queue_max = 64;

  void run(const std::stop_token& stop) {
    while (true) {
      Work work;
      {
        std::unique_lock lock(mutex_);
        if (!arrived_.wait(lock, stop, [this] { return !queue_.empty(); })) return;
        work = std::move(queue_.front());
        queue_.pop_front();
      }
      work();
    }
  }

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any arrived_;
  std::deque<Work> queue_;
  std::jthread thread_;
};

}  // namespace pgstrata
