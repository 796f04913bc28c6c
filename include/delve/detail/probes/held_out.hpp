// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t, std::uint64_t
#include <limits>     // std::numeric_limits
#include <utility>    // std::exchange, std::move
#include <vector>     // std::vector

#include <ATen/ATen.h>

#include <delve/detail/probes/row_labels.hpp>
#include <delve/detail/support/random_bits.hpp>
#include <delve/detail/tensors/maybe_undefined.hpp>
#include <delve/detail/tensors/to_device.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Rows with labels: (B, d) or (B, n, d), with B · n labels.
struct LabelledRows {
  at::Tensor rows;
  RowLabels labels;
  bool is_shared = false;  ///< they are rows of the covariance, too

  template <typename Archive>
  void state(Archive& archive) {
    archive(rows, labels, is_shared);
    archive.require(rows.defined() && (rows.dim() == 2 || rows.dim() == 3) &&
                    rows.size(0) * rows_per_sample() == labels.rows());
  }

  [[nodiscard]] std::int64_t rows_per_sample() const { return rows.dim() == 3 ? rows.size(1) : 1; }

  /// All rows, (b · n, d); those that do not count are zeros, whatever they hold.
  [[nodiscard]] at::Tensor counted() const {
    at::Tensor all = rows.flatten(0, -2);
    if (!labels.with.mask.defined()) return all;
    return at::where(labels.with.mask.unsqueeze(1), all, at::zeros({}, all.options()));
  }

  /// A copy of those of the first samples.
  [[nodiscard]] LabelledRows first(std::int64_t samples) const {
    return of(at::arange(samples, rows.options().dtype(at::kLong)));
  }

  /// Those of some samples.
  /// @param samples (k) int64, on the rows' device
  [[nodiscard]] LabelledRows of(const at::Tensor& samples) const {
    const std::int64_t per_sample = rows_per_sample();
    LabelledRows some{rows.index_select(0, samples), {}, is_shared};
    some.labels = labels.with_rows([&](const at::Tensor& tensor) {
      if (per_sample == 1) return tensor.index_select(0, samples);
      return by_sample(tensor, rows.size(0), per_sample).index_select(0, samples).flatten(0, 1);
    });
    return some;
  }
};

/// Samples of a training that are kept as rows, apart from what a probe is fitted to, to try it on.
/// A fifth at most, and so few that no more than 2,048 rows wait, or those of one sample where it
/// has more. A sample is chosen by its number alone, so that all layers keep the same ones, and
/// those of a smaller share are among those of a larger one. On the rows' device; never waits for
/// it. Not thread-safe.
class HeldOut {
 public:
  explicit HeldOut(std::uint64_t seed) : seed_(seed) {}

  /// Keeps some samples of a batch.
  /// @param first_sample the number of its first sample
  /// @return what the probe is to be fitted to: the others, and what had to make room
  [[nodiscard]] std::vector<LabelledRows> take(LabelledRows batch, std::int64_t first_sample) {
    std::vector<LabelledRows> others;
    std::vector<std::uint64_t> draws;
    for (std::int64_t i = 0; i < batch.rows.size(0); ++i) {
      draws.push_back(random_bits(seed_, static_cast<std::uint64_t>(first_sample + i)));
    }
    Part part{std::move(batch), std::move(draws)};
    keep_chosen(part, others);
    // What is kept must not change with the layer's output.
    if (others.empty()) part.rows = part.rows.first(part.rows.rows.size(0));
    if (part.draws.empty()) return others;
    const std::int64_t most = std::max(kMostRows, part.rows.rows_per_sample());
    rows_ += part.count();
    parts_.push_back(std::move(part));
    while (rows_ > most && leaves_some(halvings_ + 1)) {
      ++halvings_;
      rows_ = 0;
      for (Part& kept : parts_) {
        keep_chosen(kept, others);
        rows_ += kept.count();
      }
    }
    return others;
  }

  /// Gives all back.
  [[nodiscard]] std::vector<LabelledRows> release() {
    std::vector<LabelledRows> all;
    for (Part& part : parts_) {
      if (!part.draws.empty()) all.push_back(std::move(part.rows));
    }
    parts_.clear();
    rows_ = 0;
    halvings_ = 0;
    return all;
  }

  template <typename Archive>
  void state(Archive& archive) {
    archive(halvings_, rows_, parts_);
  }

  /// The memory that the rows take, in bytes.
  [[nodiscard]] std::int64_t bytes() const {
    std::int64_t bytes = 0;
    for (const Part& part : parts_) {
      if (part.draws.empty()) continue;
      for (const at::Tensor& tensor : {part.rows.rows, part.rows.labels.with.targets,
                                       part.rows.labels.with.mask, part.rows.labels.classes}) {
        bytes += bytes_of(tensor);
      }
    }
    return bytes;
  }

 private:
  static constexpr std::int64_t kMostRows = 2048;
  static constexpr std::uint64_t kFifth = std::numeric_limits<std::uint64_t>::max() / 5;

  struct Part {
    LabelledRows rows;
    std::vector<std::uint64_t> draws;  // one a sample

    template <typename Archive>
    void state(Archive& archive) {
      archive(draws);
      if (draws.empty()) return;
      archive(rows);
      archive.require(rows.rows.size(0) == static_cast<std::int64_t>(draws.size()));
    }

    [[nodiscard]] std::int64_t count() const {
      if (draws.empty()) return 0;
      return static_cast<std::int64_t>(draws.size()) * rows.rows_per_sample();
    }
  };

  [[nodiscard]] static std::uint64_t limit_after(unsigned halvings) {
    return halvings < 64 ? kFifth >> halvings : 0;
  }

  [[nodiscard]] bool leaves_some(unsigned halvings) const {
    for (const Part& part : parts_) {
      for (const std::uint64_t draw : part.draws) {
        if (draw < limit_after(halvings)) return true;
      }
    }
    return false;
  }

  /// Leaves in a part what is drawn now, and moves the rest to others.
  void keep_chosen(Part& part, std::vector<LabelledRows>& others) const {
    const std::uint64_t limit = limit_after(halvings_);
    std::vector<std::int64_t> kept;
    std::vector<std::int64_t> left;
    std::vector<std::uint64_t> draws;
    for (std::size_t i = 0; i < part.draws.size(); ++i) {
      const bool is_chosen = part.draws[i] < limit;
      (is_chosen ? kept : left).push_back(static_cast<std::int64_t>(i));
      if (is_chosen) draws.push_back(part.draws[i]);
    }
    if (left.empty()) return;
    if (kept.empty()) {
      others.push_back(std::exchange(part.rows, {}));
      part.draws.clear();
      return;
    }
    const auto places = [&](const std::vector<std::int64_t>& list) {
      return to_device(at::tensor(list, at::kLong), part.rows.rows.device());
    };
    LabelledRows rest = part.rows.of(places(left));
    part.rows = part.rows.of(places(kept));
    part.draws = std::move(draws);
    others.push_back(std::move(rest));
  }

  std::uint64_t seed_;
  unsigned halvings_ = 0;
  std::int64_t rows_ = 0;
  std::vector<Part> parts_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
