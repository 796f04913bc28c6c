// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>   // std::chrono::milliseconds
#include <cstdint>  // std::uint16_t
#include <string>   // std::string
#include <utility>  // std::move
#include <vector>   // std::vector

#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO  // or ProcessGroupGloo.hpp is empty
#endif

#include <c10/util/intrusive_ptr.h>
#include <torch/types.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace examples {

/// Debian 13 builds LibTorch 2.6 without the library that its stores use by default. Before 2.3
/// there was no such option.
template <typename Options>
auto leave_out_libuv(Options& options, int /*preferred*/) -> decltype(void(options.useLibUV)) {
  options.useLibUV = false;
}
template <typename Options>
void leave_out_libuv(Options& /*options*/, long /*otherwise*/) {}

/// Processes of one machine that sum tensors by Gloo.
class GlooGroup {
 public:
  /// They find each other by a store.
  /// @param patience how long one waits for the others; then sum() throws
  GlooGroup(const c10::intrusive_ptr<c10d::Store>& store, int rank, int ranks,
            std::chrono::milliseconds patience) {
    auto options = c10d::ProcessGroupGloo::Options::create(patience);
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
    group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, ranks, std::move(options));
  }

  /// By a port of this machine, which rank 0 listens at.
  static GlooGroup at_port(std::uint16_t port, int rank, int ranks,
                           std::chrono::milliseconds patience) {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = rank == 0;
    options.numWorkers = static_cast<std::size_t>(ranks);
    options.timeout = patience;
    leave_out_libuv(options, 0);
    return {c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options), rank, ranks, patience};
  }

  /// By a file that is not there yet.
  static GlooGroup at_file(const std::string& file, int rank, int ranks,
                           std::chrono::milliseconds patience) {
    return {c10::make_intrusive<c10d::FileStore>(file, ranks), rank, ranks, patience};
  }

  /// Sums over all processes, in place.
  void sum(const torch::Tensor& tensor) const {
    std::vector<torch::Tensor> tensors = {tensor};
    group_->allreduce(tensors)->wait();
  }

 private:
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace examples
