// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::min
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t
#include <map>        // std::map
#include <string>     // std::string
#include <utility>    // std::move
#include <vector>     // std::vector

#include <delve/detail/plot/plot_data.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A statistic of one mode over the epochs, for what shows them all. What it holds stays bounded:
/// once there are more than `most` epochs every second one is dropped, and so on, but never the
/// last.
class History {
 public:
  History() = default;
  /// @param most >= 2
  explicit History(std::size_t most) : most_(most) {}

  /// Keeps every Nth epoch from here on, and the last one.
  void keep_every(std::size_t stride) {
    stride_ = stride;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].ordinal % stride_ != 0 && i + 1 < columns_.size()) continue;
      if (kept != i) columns_[kept] = std::move(columns_[i]);
      ++kept;
    }
    columns_.resize(kept);
  }

  struct Column {
    std::size_t ordinal;  ///< of the epochs of the run, from 0
    std::int64_t epoch;
    std::string metric;
    std::vector<float> values;  ///< by layer; a NaN, or nothing at the end: missing
  };

  /// Adds the next epoch.
  void add(std::int64_t epoch, const std::string& metric, const PlotData& data) {
    add(epoch, metric, data, columns_.empty() ? 0 : columns_.back().ordinal + 1);
  }

  /// The same where the run has had other epochs, which lack this statistic.
  /// @param ordinal of the epoch, above that of all before it
  void add(std::int64_t epoch, const std::string& metric, const PlotData& data,
           std::size_t ordinal) {
    Column column{ordinal, epoch, metric, std::vector<float>(layers_.size(), kMissing)};
    for (std::size_t i = 0; i < data.layers.size(); ++i) {
      const auto [place, is_new] = places_.try_emplace(data.layers[i], layers_.size());
      if (is_new) {
        layers_.push_back(data.layers[i]);
        column.values.push_back(kMissing);
      }
      column.values[place->second] = static_cast<float>(data.values[i]);
    }
    // The last one was kept for being the last.
    if (!columns_.empty() && columns_.back().ordinal % stride_ != 0) columns_.pop_back();
    columns_.push_back(std::move(column));
    while (columns_.size() > most_) keep_every(2 * stride_);
  }

  /// In the order of their first appearance.
  [[nodiscard]] const std::vector<std::string>& layers() const { return layers_; }
  /// Where a layer is among them; their number where it is not.
  [[nodiscard]] std::size_t place(const std::string& layer) const {
    const auto found = places_.find(layer);
    return found == places_.end() ? layers_.size() : found->second;
  }
  /// In the order in which they were added.
  [[nodiscard]] const std::vector<Column>& columns() const { return columns_; }
  [[nodiscard]] double value(std::size_t column, std::size_t layer) const {
    const std::vector<float>& values = columns_[column].values;
    return layer < values.size() ? values[layer] : kMissing;
  }

 private:
  // Recognised by its bits, which no flag of the compiler changes.
  static inline const float kMissing = static_cast<float>(missing_value());

  std::vector<std::string> layers_;
  std::map<std::string, std::size_t> places_;
  std::vector<Column> columns_;
  std::size_t stride_ = 1;  ///< every Nth of them is kept
  std::size_t most_ = 1024;
};

/// The frames of an animation: all epochs, or `most` of them in even steps, the last one included.
inline std::vector<PlotFrame> frames_of(const History& history, std::size_t most) {
  std::vector<PlotFrame> frames;
  const std::size_t columns = history.columns().size();
  const std::size_t count = std::min(columns, most);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t column = count < 2 ? i : i * (columns - 1) / (count - 1);
    PlotFrame frame{history.columns()[column].epoch, history.columns()[column].metric, {}};
    for (std::size_t layer = 0; layer < history.layers().size(); ++layer) {
      frame.values.push_back(history.value(column, layer));
    }
    frames.push_back(std::move(frame));
  }
  return frames;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
