// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::max, std::remove_if, std::sort
#include <cmath>        // std::isnan
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <exception>    // std::exception
#include <memory>       // std::make_shared, std::shared_ptr
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::exchange, std::move, std::pair
#include <vector>       // std::vector

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/covariance.hpp>
#include <delve/detail/probes/layer_probe.hpp>
#include <delve/detail/probes/probe_errors.hpp>
#include <delve/detail/probes/probe_score.hpp>
#include <delve/detail/ranks/moments_sum.hpp>
#include <delve/detail/ranks/rank_group.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/detail/tracking/observed_layer.hpp>
#include <delve/detail/tracking/options_text.hpp>
#include <delve/detail/tracking/settings.hpp>
#include <delve/detail/tracking/stream.hpp>
#include <delve/mode.hpp>
#include <delve/probe.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A layer, and what an epoch left of it.
template <typename Scalar>
using LayerEpoch =
    std::pair<std::shared_ptr<ObservedLayer<Scalar>>, typename ObservedLayer<Scalar>::EpochData>;

/// What ranks must agree on besides their layers.
template <typename Scalar>
std::string rank_options(const Settings& settings, std::int64_t epoch, std::string_view call) {
  std::string text = fmt::format("{} of epoch {}, {} numbers", call, epoch,
                                 sizeof(Scalar) == sizeof(double) ? "float64" : "float32");
  for (const auto& [name, value] : options_text(settings)) {
    // These may differ: which data a rank takes is its own affair.
    const bool is_own = name == "sample_seed" || name == "max_samples" || name == "initial_epoch";
    if (!is_own) text += fmt::format(", {} {}", name, value);
  }
  return text;
}

/// Asks the ranks whether all are ready; where this one is not, says why.
/// @param fault empty where it is
inline void agree_with_reason(RankGroup& group, const std::string& fault, const std::string& layers,
                              const std::string& options) {
  try {
    group.agree(!fault.empty(), layers, options);
  } catch (const RanksDisagree& error) {
    if (fault.empty()) throw;
    throw RanksDisagree(fmt::format("{}: {}", error.what(), fault));
  }
}

/// One epoch's data of all layers, summed over the ranks.
template <typename Scalar>
class EpochSums {
 public:
  using Layers = std::vector<LayerEpoch<Scalar>>;

  EpochSums(RankGroup& group, Observation& observation)
      : group_(group), observation_(observation), modes_(observation.modes.all()) {}

  /// Puts the data of all ranks in the place of this one's. Waits for the device, and for the other
  /// ranks. Where it throws, the data is as it was.
  /// @param layers all of them, in the order of their forward on this rank; becomes that of rank 0,
  ///   without parts that ran nowhere
  /// @throws RanksDisagree, RankSumFailed
  void run(Layers& layers, std::int64_t epoch) {
    const PlainMode plain;
    std::string fault;
    try {
      prepare(layers);
    } catch (const std::exception& error) {
      fault = error.what();
    }
    std::vector<std::string> names;
    for (const Entry& entry : entries_) names.push_back(entry.layer->first->name());
    std::vector<std::string_view> modes;
    for (const Mode mode : modes_) modes.push_back(to_string(mode));
    agree_with_reason(
        group_, fault,
        fmt::format("layers {}; modes {}", fmt::join(names, ", "), fmt::join(modes, ", ")),
        rank_options<Scalar>(observation_.settings, epoch, "add_saturations()"));
    sum_moments(group_, parts_, notes_);
    if (notes_.back() != 1) {
      throw RanksDisagree(
          fmt::format("{} of {} ranks say that they are rank 0", notes_.back(), group_.ranks()));
    }
    sum_others();
    try {
      fit();
      compare();
    } catch (const std::exception& error) {
      fault = error.what();
    }
    sum_tried();
    try {
      group_.confirm(fault.empty());
    } catch (const RanksDisagree& error) {
      if (fault.empty()) throw;
      throw RanksDisagree(fmt::format("{}: {}", error.what(), fault));
    }
    hand_over(layers);
  }

 private:
  /// What a layer has besides moments.
  struct Entry {
    LayerEpoch<Scalar>* layer;
    std::vector<at::Tensor> samples;  // by mode: rank 0's rows
    at::Tensor evaluation;            // as ProbeScore::numbers()
    at::Tensor training;
    at::Tensor tried;
    std::shared_ptr<Probe<Scalar>> probe;  // of all ranks
    std::shared_ptr<LazyFit<Scalar>> fit;
    at::Tensor gain;  // as paired_sums(): on the best layer before; only of classes
  };

  static constexpr std::size_t kNotes = 10;  // per layer

  [[nodiscard]] const Settings& settings() const { return observation_.settings; }
  [[nodiscard]] bool is_first() const { return settings().options().rank() == 0; }
  [[nodiscard]] std::int64_t targets() const { return settings().options().targets(); }

  /// All that this rank has to say. What may fail is done here, before anybody waits for it.
  void prepare(Layers& layers) {
    // The names come first: where something fails, the others must still see the same layers.
    for (LayerEpoch<Scalar>& layer : layers)
      entries_.push_back({&layer, {}, {}, {}, {}, {}, {}, {}});
    std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
      return a.layer->first->name() < b.layer->first->name();
    });
    for (Entry& entry : entries_) {
      const auto place = static_cast<std::int64_t>(entry.layer - layers.data());
      auto& data = entry.layer->second;
      const ProbeFaults& faults = data.probe_faults;
      for (const bool flag :
           {data.was_called, data.is_frozen, !entry.layer->first->is_hidden(), faults.shape,
            faults.is_ambiguous, faults.other_thread, faults.is_untrained, faults.is_late}) {
        notes_.push_back(flag ? 1 : 0);
      }
      notes_.push_back(is_first() ? place : 0);
      notes_.push_back(has_scores_by_sample(data) ? 1 : 0);
      for (const Mode mode : modes_) prepare_stream(entry, mode);
      if (settings().has_probes()) prepare_probe(entry);
    }
    for (const Entry& entry : entries_) {
      for (const at::Tensor& sample : entry.samples) {
        notes_.push_back(sample.defined() ? sample.size(0) : 0);
      }
    }
    notes_.push_back(is_first() ? 1 : 0);
  }

  void prepare_stream(Entry& entry, Mode mode) {
    const std::string& name = entry.layer->first->name();
    Stream<Scalar>& stream = stream_of(entry, mode);
    parts_.push_back({name, 0, stream.covariance.moments()});
    if (has_halves(mode)) parts_.push_back({name, 0, stream.second_half.moments()});
    if (!settings().keeps_sample()) return;
    const bool is_sent = is_first() && stream.width() > 0;
    entry.samples.push_back(is_sent ? stream.sample.rows() : at::Tensor());
  }

  void prepare_probe(Entry& entry) {
    auto& probe = entry.layer->second.probe;
    if (!probe || !probe->sums) {
      throw std::runtime_error(
          fmt::format("{}: its probe could not be ended", entry.layer->first->name()));
    }
    parts_.push_back({entry.layer->first->name(),
                      settings().options().classes() + settings().options().targets(),
                      probe->sums->moments()});
    entry.evaluation = probe->evaluation.numbers(targets(), group_.device());
    entry.training = probe->training.numbers(targets(), group_.device());
    entry.tried = ProbeScore().numbers(targets(), group_.device());
    entry.gain = at::zeros({4}, entry.tried.options());
  }

  [[nodiscard]] static bool has_scores_by_sample(
      const typename ObservedLayer<Scalar>::EpochData& data) {
    return data.probe && !data.probe->evaluation.by_sample().empty();
  }

  [[nodiscard]] bool has_halves(Mode mode) const {
    return settings().has_drift() && mode == Mode::Train;
  }

  /// The stream of a mode; ranks that saw nothing in it have one, too.
  Stream<Scalar>& stream_of(Entry& entry, Mode mode) const {
    auto& streams = entry.layer->second.streams;
    for (auto& [known, stream] : streams) {
      if (known == mode) return stream;
    }
    return streams.emplace_back(mode, entry.layer->first->new_stream()).second;
  }

  /// Calls of_stream() or of_probe() for each part, in their order.
  template <typename OfStream, typename OfProbe>
  void for_each_part(const OfStream& of_stream, const OfProbe& of_probe) {
    std::size_t next = 0;
    for (Entry& entry : entries_) {
      for (const Mode mode : modes_) {
        RankMoments& whole = parts_[next++];
        RankMoments* half = has_halves(mode) ? &parts_[next++] : nullptr;
        of_stream(entry, mode, whole, half);
      }
      if (settings().has_probes()) of_probe(entry, parts_[next++]);
    }
  }

  /// Rank 0's samples, and the scores of probes.
  void sum_others() {
    std::vector<at::Tensor> tensors;
    std::size_t note = entries_.size() * kNotes;
    for_each_part(
        [&](Entry& entry, Mode /*mode*/, RankMoments& whole, RankMoments* half) {
          if (!settings().keeps_sample()) return;
          at::Tensor& sample = entry.samples[(note - entries_.size() * kNotes) % modes_.size()];
          const std::int64_t rows = notes_[note++];
          const std::int64_t width =
              std::max(whole.moments.width(), half != nullptr ? half->moments.width() : 0);
          const auto options = at::TensorOptions(group_.device()).dtype(at::kDouble);
          const bool is_own = sample.defined() && sample.size(0) == rows && sample.size(1) == width;
          sample = is_own ? sample.to(options).contiguous() : at::zeros({rows, width}, options);
          tensors.push_back(sample);
        },
        [&](Entry& entry, RankMoments& /*part*/) {
          tensors.push_back(entry.evaluation);
          tensors.push_back(entry.training);
        });
    group_.sum(tensors);
  }

  /// Fits probes to the sums of all ranks, and tries them on what this one has held out.
  void fit() {
    for_each_part([](Entry&, Mode, RankMoments&, RankMoments*) {},
                  [&](Entry& entry, RankMoments& part) {
                    if (part.moments.samples == 0) return;
                    entry.probe = std::make_shared<Probe<Scalar>>(settings().probe());
                    entry.probe->assign(part.moments);
                    entry.fit = std::make_shared<LazyFit<Scalar>>(entry.probe);
                    ProbeEpoch<Scalar> own;
                    own.fit = entry.fit;
                    own.held_out = entry.layer->second.probe->held_out;
                    entry.tried = own.try_held_out().numbers(targets(), group_.device());
                  });
  }

  /// Compares each layer's probe with the best one of the layers before, in rank 0's order, on this
  /// rank's samples.
  void compare() {
    if (!settings().has_probes()) return;
    std::vector<std::size_t> ordered;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const std::int64_t* const notes = &notes_[i * kNotes];
      if (notes[2] > 0 && notes[9] > 0) ordered.push_back(i);
    }
    std::sort(ordered.begin(), ordered.end(), [&](std::size_t a, std::size_t b) {
      return notes_[a * kNotes + 8] < notes_[b * kNotes + 8];
    });
    BestBefore best;
    for (const std::size_t i : ordered) {
      Entry& entry = entries_[i];
      ProbeScore all;
      all.assign(entry.evaluation);
      const double share = all.share();
      if (std::isnan(share)) continue;
      const auto before = best.take(i, share);
      if (!before) continue;
      entry.gain.copy_(paired_sums(scores_of(entry), scores_of(entries_[*before])));
    }
  }

  [[nodiscard]] static const std::vector<SampleScores>& scores_of(const Entry& entry) {
    return entry.layer->second.probe->evaluation.by_sample();
  }

  void sum_tried() {
    if (!settings().has_probes()) return;
    std::vector<at::Tensor> tensors;
    for (Entry& entry : entries_) tensors.push_back(entry.tried);
    for (Entry& entry : entries_) tensors.push_back(entry.gain);
    group_.sum(tensors);
  }

  void hand_over(Layers& layers) {
    std::vector<std::string> refused;
    for_each_part(
        [&](Entry& entry, Mode mode, RankMoments& whole, RankMoments* half) {
          Stream<Scalar>& stream = stream_of(entry, mode);
          if (whole.is_refused || (half != nullptr && half->is_refused)) {
            refused.push_back(whole.layer);
            whole.moments = {};
            if (half != nullptr) half->moments = {};
          }
          stream.covariance.assign(whole.moments);
          if (half != nullptr) stream.second_half.assign(half->moments);
        },
        [&](Entry& entry, RankMoments& part) {
          if (part.is_refused) refused.push_back(part.layer);
          ProbeEpoch<Scalar>& probe = *entry.layer->second.probe;
          probe.evaluation.assign(entry.evaluation);
          probe.training.assign(entry.training);
          probe.error = paired_error(entry.gain.cpu());
          probe.tried.emplace();
          probe.tried->assign(entry.tried);
          probe.held_out.clear();
          probe.sums = nullptr;
          probe.fit = entry.fit;
          if (entry.fit) entry.layer->first->accept(entry.fit);
        });
    observation_.problems.tell_once_of(
        refused, "its outputs have another width on other ranks, and it is left out");
    std::vector<std::pair<std::int64_t, LayerEpoch<Scalar>>> ordered;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      Entry& entry = entries_[i];
      const std::int64_t* notes = &notes_[i * kNotes];
      auto& data = entry.layer->second;
      data.was_called = notes[0] > 0;
      data.is_frozen = notes[1] > 0;
      data.probe_faults.shape = notes[3] > 0;
      data.probe_faults.is_ambiguous = notes[4] > 0;
      data.probe_faults.other_thread = notes[5] > 0;
      data.probe_faults.is_untrained = notes[6] > 0;
      data.probe_faults.is_late = notes[7] > 0;
      for (std::size_t mode = 0; mode < entry.samples.size(); ++mode) {
        stream_of(entry, modes_[mode]).sample.assign(entry.samples[mode]);
      }
      if (notes[2] == 0) continue;  // a part that ran nowhere
      if (data.was_called) entry.layer->first->note_called();
      ordered.emplace_back(notes[8], std::move(*entry.layer));
    }
    std::sort(ordered.begin(), ordered.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    layers.clear();
    for (auto& [place, layer] : ordered) layers.push_back(std::move(layer));
  }

  RankGroup& group_;
  Observation& observation_;
  std::vector<Mode> modes_;
  std::vector<Entry> entries_;      // by name
  std::vector<RankMoments> parts_;  // per entry: one or two per mode, then its probe's
  std::vector<std::int64_t> notes_;
};

/// Makes the best of this rank's own data: its probes are fitted to that.
template <typename Scalar>
void use_own_data(std::vector<LayerEpoch<Scalar>>& layers) {
  for (auto& [layer, data] : layers) {
    if (!data.probe || !data.probe->sums) continue;
    const auto sums = std::exchange(data.probe->sums, nullptr);
    if (sums->width() == 0) continue;
    data.probe->fit = std::make_shared<LazyFit<Scalar>>(sums);
    layer->accept(data.probe->fit);
  }
  layers.erase(std::remove_if(layers.begin(), layers.end(),
                              [](const auto& layer) { return layer.first->is_hidden(); }),
               layers.end());
}

/// Fits a layer's probe to these sums, which are then forgotten.
template <typename Scalar>
void accept_fit(ObservedLayer<Scalar>& layer, const Settings& settings, const Moments& moments) {
  auto probe = std::make_shared<Probe<Scalar>>(settings.probe());
  probe->assign(moments);
  auto fit = std::make_shared<LazyFit<Scalar>>(std::move(probe));
  fit->forget_sums();
  layer.accept(std::move(fit));
}

/// Fits the probes of all layers to what all ranks have summed in this epoch.
/// @param layers in the order of their names
/// @throws RanksDisagree, RankSumFailed; then nothing has changed
template <typename Scalar>
void fit_probes_of_ranks(RankGroup& group, Observation& observation,
                         const std::vector<std::shared_ptr<ObservedLayer<Scalar>>>& layers,
                         std::int64_t epoch) {
  const PlainMode plain;
  const Settings& settings = observation.settings;
  std::vector<RankMoments> parts;
  std::vector<std::string> names;
  std::string fault;
  for (const auto& layer : layers) names.push_back(layer->name());
  try {
    for (const auto& layer : layers) {
      parts.push_back({layer->name(), settings.options().classes() + settings.options().targets(),
                       layer->probe_moments()});
    }
  } catch (const std::exception& error) {
    fault = error.what();
  }
  agree_with_reason(group, fault, fmt::format("layers {}", fmt::join(names, ", ")),
                    rank_options<Scalar>(settings, epoch, "fit_probes()"));
  std::vector<std::int64_t> notes;
  sum_moments(group, parts, notes);
  group.confirm(true);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (parts[i].moments.samples == 0) continue;
    accept_fit(*layers[i], settings, parts[i].moments);
  }
}

/// Fits the probes to what this rank has summed: the sums of others are lost.
template <typename Scalar>
void fit_probes_to_own_data(Observation& observation,
                            const std::vector<std::shared_ptr<ObservedLayer<Scalar>>>& layers) {
  for (const auto& layer : layers) {
    const Moments own = layer->probe_moments();
    if (own.samples == 0) continue;
    accept_fit(*layer, observation.settings, own);
  }
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
