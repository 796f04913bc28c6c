// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::any_of, std::clamp, std::find, std::max
#include <cstddef>    // std::size_t
#include <limits>     // std::numeric_limits
#include <string>     // std::string
#include <vector>     // std::vector

#include <delve/detail/plot/history.hpp>
#include <delve/detail/plot/plot_data.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/verdict.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A statistic of one mode, all layers, over the epochs.
struct ReportSeries {
  Mode mode;
  std::string stat;
  std::string quantity;
  ValueKind kind;
  History history;
};

/// A scalar over the epochs.
struct ReportScalar {
  std::string name;
  History history;  ///< of one "layer"
};

/// What a page shows of a run. Bounded: of long runs of many layers every second epoch is dropped,
/// then every second of the rest, but never the last one.
class ReportHistory {
 public:
  /// Takes whole epochs; of a part of one only the receptive fields.
  void add(const EpochRecord& record) {
    renew_fields(fields_, record.fields);
    if (!is_whole_epoch(record)) return;
    // All layers, in the order of their forward, also those that have data in another mode alone.
    for (const LayerRecord& layer : record.layers) note_layer(layer.layer);
    for (const Mode mode : modes_of(record)) {
      for (PlotData& data : plot_data(record, mode)) {
        ReportSeries& series = series_of(mode, data);
        series.history.add(record.epoch, {}, data, epochs_);
      }
    }
    for (const auto& [name, value] : record.scalars) {
      scalar_of(name).history.add(record.epoch, {},
                                  {name, name, ValueKind::Number, {name}, {value}});
    }
    ++epochs_;
    last_ = record;
    for (LayerRecord& layer : last_.layers) layer.arrays.clear();
    limit();
  }

  [[nodiscard]] bool empty() const { return epochs_ == 0; }
  /// How many epochs came.
  [[nodiscard]] std::size_t epochs() const { return epochs_; }
  /// In the order of their first appearance, which is that of their forward.
  [[nodiscard]] const std::vector<std::string>& layers() const { return layers_; }
  [[nodiscard]] const std::vector<ReportSeries>& series() const { return series_; }
  [[nodiscard]] const std::vector<ReportScalar>& scalars() const { return scalars_; }
  [[nodiscard]] const std::vector<LayerField>& fields() const { return fields_; }
  /// The last whole epoch.
  [[nodiscard]] const EpochRecord& last() const { return last_; }
  [[nodiscard]] Verdict verdict() const { return delve::verdict(last_, fields_); }

  [[nodiscard]] const LayerField* field_of(const std::string& layer) const {
    return find_field(fields_, layer);
  }

  /// The saturation that stands for the layers: of training, or else of evaluation.
  [[nodiscard]] const ReportSeries* saturation() const {
    const ReportSeries* found = nullptr;
    for (const ReportSeries& series : series_) {
      if (series.kind != ValueKind::Saturation) continue;
      // Of several thresholds the first, which the verdict uses as well.
      const bool is_better =
          found == nullptr || (series.mode == Mode::Train && found->mode != Mode::Train);
      if (is_better) found = &series;
    }
    return found;
  }

 private:
  static constexpr std::size_t kMostNumbers = 60'000;  // some 400 KB of text

  ReportSeries& series_of(Mode mode, const PlotData& data) {
    for (ReportSeries& series : series_) {
      if (series.mode == mode && series.stat == data.stat) return series;
    }
    return series_.emplace_back(
        ReportSeries{mode, data.stat, data.quantity, data.kind, History(kUnlimited)});
  }

  ReportScalar& scalar_of(const std::string& name) {
    for (ReportScalar& scalar : scalars_) {
      if (scalar.name == name) return scalar;
    }
    return scalars_.emplace_back(ReportScalar{name, History(kMostEpochs)});
  }

  void note_layer(const std::string& name) {
    if (std::find(layers_.begin(), layers_.end(), name) == layers_.end()) layers_.push_back(name);
  }

  /// All series drop the same epochs, whenever each of them began.
  void limit() {
    const std::size_t columns = std::max<std::size_t>(1, layers_.size() * series_.size());
    const std::size_t most = std::clamp<std::size_t>(kMostNumbers / columns, 16, kMostEpochs);
    const auto is_long = [&](const ReportSeries& series) {
      return series.history.columns().size() > most;
    };
    while (std::any_of(series_.begin(), series_.end(), is_long)) {
      stride_ *= 2;
      thin();
    }
    if (stride_ > 1) thin();  // what has begun since
  }

  void thin() {
    for (ReportSeries& series : series_) series.history.keep_every(stride_);
  }

  static constexpr std::size_t kMostEpochs = 512;
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  std::size_t epochs_ = 0;
  std::size_t stride_ = 1;  // every Nth epoch is kept
  std::vector<std::string> layers_;
  std::vector<ReportSeries> series_;
  std::vector<ReportScalar> scalars_;
  std::vector<LayerField> fields_;
  EpochRecord last_{};
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
