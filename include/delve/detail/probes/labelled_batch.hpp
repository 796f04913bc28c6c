// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>   // std::atomic
#include <cstdint>  // std::int64_t
#include <memory>   // std::make_shared, std::shared_ptr
#include <mutex>    // std::lock_guard, std::mutex, std::unique_lock
#include <string>   // std::string
#include <utility>  // std::move, std::pair
#include <vector>   // std::vector

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/probes/row_labels.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/detail/tensors/plain_tensor.hpp>
#include <delve/detail/tensors/to_device.hpp>
#include <delve/probe.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What a tracker knows of the labels of all batches. Thread-safe.
class LabelSwitches {
 public:
  std::atomic<int> in_threads{0};  ///< guards of any thread that count for it alone

  /// The number of the first of the next samples, in the order in which they come.
  std::int64_t number(std::int64_t samples) { return next_sample_.fetch_add(samples); }

  void note_batch() { ++batches_; }

  /// Notes that a batch may be bad. Does not wait for the device.
  void note(const Validity& validity) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (validity.is_good.is_cpu()) {
      known_bad_ += validity.is_known_bad() ? 1 : 0;
      return;
    }
    const at::Tensor is_bad = validity.is_good.logical_not().to(at::kLong);
    for (at::Tensor& bad : bad_) {
      if (bad.device() != is_bad.device()) continue;
      bad = bad + is_bad;
      return;
    }
    bad_.push_back(is_bad);
  }

  /// How many batches were bad so far. Waits for the device.
  [[nodiscard]] std::int64_t bad_batches() const {
    std::unique_lock<std::mutex> lock(mutex_);
    std::int64_t count = known_bad_;
    const std::vector<at::Tensor> on_devices = bad_;
    lock.unlock();  // no forward is to wait with this
    for (const at::Tensor& bad : on_devices) count += bad.item<std::int64_t>();
    return count;
  }

  /// Waits for the device.
  template <typename Archive>
  void state(Archive& archive) {
    std::int64_t bad = bad_batches();
    archive(next_sample_, batches_, bad);
    if constexpr (Archive::kReads) {
      const std::lock_guard<std::mutex> lock(mutex_);
      known_bad_ = bad;
      bad_.clear();
    }
  }

  /// How many guards there have been.
  [[nodiscard]] std::int64_t batches() const { return batches_.load(); }

 private:
  std::atomic<std::int64_t> next_sample_{0};
  std::atomic<std::int64_t> batches_{0};
  mutable std::mutex mutex_;  // guards all below
  std::int64_t known_bad_ = 0;
  std::vector<at::Tensor> bad_;  // () int64, one a device
};

/// The labels of one batch, as they were given, and as the devices of layers want them.
/// Thread-safe.
class BatchLabels {
 public:
  /// Looks at labels that are in the host's memory; others stay unread.
  BatchLabels(at::Tensor labels, const ProbeOptions& options, std::shared_ptr<LabelSwitches> all)
      : options_(options), all_(std::move(all)) {
    const PlainMode plain;
    all_->note_batch();
    fault_ = prepare(std::move(labels));
    if (!fault_.empty()) return;
    first_sample_ = all_->number(labels_.size(0));
    const Validity validity = checked();
    all_->note(validity);
    is_known_bad_ = validity.is_known_bad();
    is_known_good_ = validity.is_known_good();
  }

  /// Why they are no labels; empty where they are.
  [[nodiscard]] const std::string& fault() const { return fault_; }

  /// Whether the host knows that the batch is to be left out.
  [[nodiscard]] bool is_known_bad() const { return is_known_bad_; }

  /// The axes that they have in common with a layer's output.
  [[nodiscard]] const std::vector<std::int64_t>& lead() const { return lead_; }

  [[nodiscard]] std::int64_t first_sample() const { return first_sample_; }

  /// All labels in a row, on a device. Waits only where they come from a device to the host.
  /// @param type of the targets
  [[nodiscard]] RowLabels on(at::Device device, at::ScalarType type) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [where, labels] : made_) {
      const at::ScalarType known = labels.with.targets.scalar_type();
      if (where == device && (known == type || options_.targets() > 0)) return labels;
    }
    const at::Tensor there =
        labels_.is_cpu() && !device.is_cpu() ? to_device(labels_, device) : labels_.to(device);
    RowLabels labels = made(there, type);
    if (is_known_good_) {  // on a device only a mask could say so
      labels.with.mask = at::Tensor();
      labels.is_bad = at::Tensor();
    }
    return made_.emplace_back(device, std::move(labels)).second;
  }

 private:
  /// Brings them into one shape: (n), int64, or (n, c).
  std::string prepare(at::Tensor labels) {
    if (!labels.defined()) return "undefined";
    labels = plain_tensor(labels);
    const auto describe = [&](const char* wanted) {
      return fmt::format("of type {} and shape ({}); {}", c10::toString(labels.scalar_type()),
                         fmt::join(labels.sizes(), ", "), wanted);
    };
    const bool has_classes = options_.classes() > 0;
    const std::int64_t columns = has_classes ? options_.classes() : options_.targets();
    if (has_classes && !labels.is_floating_point()) {
      lead_ = labels.sizes().vec();
      labels_ = labels.reshape({-1}).to(at::kLong);
    } else {
      if (!has_classes && columns == 1 && (labels.dim() == 0 || labels.size(-1) != 1)) {
        labels = labels.unsqueeze(-1);
      }
      if (labels.dim() == 0 || labels.size(-1) != columns || labels.is_complex()) {
        return describe(has_classes ? "shares need a last axis with one entry per class"
                                    : "numbers need a last axis with one entry per target");
      }
      lead_ = labels.sizes().slice(0, static_cast<std::size_t>(labels.dim() - 1)).vec();
      labels_ = labels.reshape({-1, columns});
    }
    if (labels_.numel() == 0) return describe("it is empty");
    return {};
  }

  [[nodiscard]] Validity checked() const {
    if (options_.targets() > 0) return validity_of_numbers(labels_);
    if (labels_.dim() == 2) return validity_of_shares(labels_);
    return validity_of_classes(labels_, options_.classes(), options_.ignore_index());
  }

  [[nodiscard]] RowLabels made(const at::Tensor& labels, at::ScalarType type) const {
    if (options_.targets() > 0) return labels_of_numbers(labels);
    if (labels.dim() == 2) return labels_of_shares(labels, type);
    return labels_of_classes(labels, options_.classes(), options_.ignore_index(), type);
  }

  ProbeOptions options_;
  std::shared_ptr<LabelSwitches> all_;
  std::string fault_;
  at::Tensor labels_;  // (n) int64, or (n, c)
  std::vector<std::int64_t> lead_;
  std::int64_t first_sample_ = 0;
  bool is_known_good_ = false;
  bool is_known_bad_ = false;
  mutable std::mutex mutex_;  // guards made_
  mutable std::vector<std::pair<at::Device, RowLabels>> made_;
};

/// What one guard of a thread says of the batch that runs in it.
struct DELVE_SHARED ThreadLabels {
  using Owner = LabelSwitches;
  const Owner* owner;
  std::shared_ptr<const BatchLabels> labels;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
