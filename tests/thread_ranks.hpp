// SPDX-License-Identifier: MIT
#pragma once

// Ranks that are threads of one process.

#include <chrono>              // std::chrono
#include <condition_variable>  // std::condition_variable
#include <cstddef>             // std::size_t
#include <exception>           // std::exception_ptr, std::rethrow_exception
#include <functional>          // std::function
#include <mutex>               // std::mutex, std::unique_lock
#include <stdexcept>           // std::runtime_error
#include <thread>              // std::thread
#include <vector>              // std::vector

#include <torch/types.h>

namespace delve_test {

/// Sums tensors over threads: each waits for all others, as an allreduce does, or gives up.
class ThreadGroup {
 public:
  explicit ThreadGroup(std::size_t ranks,
                       std::chrono::milliseconds patience = std::chrono::seconds(60))
      : tensors_(ranks), patience_(patience) {}

  void sum(std::size_t rank, torch::Tensor& tensor) {
    std::unique_lock<std::mutex> lock(mutex_);
    tensors_[rank] = tensor;
    const std::size_t round = round_;
    if (++arrived_ == tensors_.size()) {
      sum_ = tensors_[0].clone();
      for (std::size_t i = 1; i < tensors_.size(); ++i) {
        if (tensors_[i].sizes() != sum_.sizes()) {
          throw std::runtime_error("the ranks send tensors of different sizes");
        }
        sum_.add_(tensors_[i]);
      }
      arrived_ = 0;
      ++round_;
      changed_.notify_all();
    } else if (!changed_.wait_for(lock, patience_, [&] { return round_ != round; })) {
      --arrived_;
      throw std::runtime_error("timed out");
    }
    tensor.copy_(sum_);
    ++calls_;
  }

  [[nodiscard]] std::size_t calls() const { return calls_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<torch::Tensor> tensors_;
  torch::Tensor sum_;
  std::size_t arrived_ = 0;
  std::size_t round_ = 0;
  std::size_t calls_ = 0;
  std::chrono::milliseconds patience_;
};

/// Runs a function in a thread for each rank, and throws what one of them threw.
inline void run_ranks(std::size_t ranks, const std::function<void(std::size_t rank)>& body) {
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> errors(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(rank);
      } catch (...) {
        errors[rank] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace delve_test
