// SPDX-License-Identifier: MIT
#pragma once

#include <array>    // std::array
#include <cstddef>  // std::ptrdiff_t, std::size_t
#include <cstdint>  // std::int64_t
#include <string>   // std::string
#include <utility>  // std::exchange
#include <vector>   // std::vector

#include <ATen/ATen.h>

#include <delve/covariance.hpp>
#include <delve/detail/ranks/rank_group.hpp>
#include <delve/detail/sums/noise_floor.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// One accumulator that every rank has.
struct RankMoments {
  std::string layer;         ///< for messages
  std::int64_t columns = 0;  ///< c: targets
  Moments moments;           ///< this rank's, then those of all
  bool is_refused = false;   ///< set where ranks differ in d: left out, everywhere
};

/// What each rank says of an accumulator before anything of its size is sent.
struct RankHeading {
  static constexpr std::array<at::ScalarType, 4> kTypes = {at::kDouble, at::kFloat, at::kHalf,
                                                           at::kBFloat16};
  static constexpr std::size_t kSize = 6 + kTypes.size();

  explicit RankHeading(const Moments& own) {
    const std::int64_t width = own.width();
    numbers = {width > 0 ? 1 : 0,       width,       width * width,
               own.samples > 0 ? 1 : 0, own.samples, own.skipped_batches};
    for (const at::ScalarType type : kTypes) {
      numbers.push_back(width > 0 && own.coarsest == type ? 1 : 0);
    }
  }
  explicit RankHeading(const std::int64_t* all) : numbers(all, all + kSize) {}

  // Of the sums over all ranks:
  [[nodiscard]] bool has_width() const { return numbers[0] > 0; }
  [[nodiscard]] std::int64_t width() const { return has_width() ? numbers[1] / numbers[0] : 0; }
  [[nodiscard]] bool is_one_width() const {
    return numbers[0] * numbers[2] == numbers[1] * numbers[1];
  }
  [[nodiscard]] std::int64_t ranks_with_data() const { return numbers[3]; }
  [[nodiscard]] std::int64_t samples() const { return numbers[4]; }
  [[nodiscard]] std::int64_t skipped_batches() const { return numbers[5]; }
  [[nodiscard]] at::ScalarType coarsest() const {
    at::ScalarType found = at::kDouble;
    for (std::size_t i = 0; i < kTypes.size(); ++i) {
      if (numbers[6 + i] > 0) found = coarser(found, kTypes[i]);
    }
    return found;
  }

  std::vector<std::int64_t> numbers;
};

/// Sums moments over the ranks. They have no common shift and need none: the mean of their means is
/// near all of them, the mean of all data is found about it, and moments about one mean become
/// those about another by n·δδᵀ (Chan, Golub & LeVeque, "Algorithms for computing
/// the sample variance", The American Statistician 37(3), 1983).
/// @param parts the same ones on all ranks, in the same order
/// @param notes integers to be summed as well; become the sums over all ranks
/// @throws what RankGroup throws
inline void sum_moments(RankGroup& group, std::vector<RankMoments>& parts,
                        std::vector<std::int64_t>& notes) {
  std::vector<std::int64_t> numbers = notes;
  for (const RankMoments& part : parts) {
    const RankHeading own(part.moments);
    numbers.insert(numbers.end(), own.numbers.begin(), own.numbers.end());
  }
  numbers = group.sum(numbers);
  const auto begin = numbers.begin() + static_cast<std::ptrdiff_t>(notes.size());
  notes.assign(numbers.begin(), begin);

  struct Sum {
    Moments* result;
    std::int64_t ranks;  // with data
    double samples;      // of this rank
    at::Tensor mean;     // (d + c), of this rank; zeros where it has no data
  };
  std::vector<Sum> sums;
  std::vector<at::Tensor> means;
  std::vector<at::Tensor> moved;
  std::vector<at::Tensor> scatters;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const RankHeading all(&*begin + i * RankHeading::kSize);
    RankMoments& part = parts[i];
    const Moments own = std::exchange(part.moments, {});
    part.is_refused = all.has_width() && !all.is_one_width();
    part.moments.skipped_batches = all.skipped_batches();
    if (!all.has_width() || part.is_refused) continue;
    part.moments.samples = all.samples();
    part.moments.coarsest = all.coarsest();
    const auto options = at::TensorOptions(own.mean.defined() ? own.mean.device() : group.device())
                             .dtype(at::kDouble);
    const std::int64_t height = all.width() + part.columns;
    const bool has_data = own.samples > 0;
    part.moments.mean = at::zeros({height}, options);
    part.moments.scatter = has_data ? own.scatter : at::zeros({height, all.width()}, options);
    if (all.samples() == 0) continue;
    sums.push_back({&part.moments, all.ranks_with_data(), static_cast<double>(own.samples),
                    has_data ? own.mean : part.moments.mean.clone()});
    means.push_back(sums.back().mean.clone());
    scatters.push_back(part.moments.scatter);
  }
  group.sum(means);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    means[i].div_(static_cast<double>(sums[i].ranks));
    moved.push_back((sums[i].mean - means[i]).mul_(sums[i].samples));
  }
  group.sum(moved);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const Sum& sum = sums[i];
    sum.result->mean = means[i].add_(moved[i], 1 / static_cast<double>(sum.result->samples));
    const at::Tensor delta = sum.mean - sum.result->mean;
    scatters[i].addr_(delta, delta.narrow(0, 0, scatters[i].size(1)), /*beta=*/1,
                      /*alpha=*/sum.samples);
  }
  group.sum(scatters);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
