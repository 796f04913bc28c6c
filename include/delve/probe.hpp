// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::max
#include <cmath>      // std::sqrt
#include <cstdint>    // std::int64_t
#include <optional>   // std::optional
#include <stdexcept>  // std::invalid_argument, std::logic_error
#include <string>     // std::string
#include <tuple>      // std::tie
#include <utility>    // std::move

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/arg.h>

#include <delve/covariance.hpp>
#include <delve/detail/probes/row_labels.hpp>
#include <delve/detail/state/state_archive.hpp>
#include <delve/detail/state/tensor_state.hpp>
#include <delve/detail/sums/products.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/require.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/product_precision.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What a Probe predicts, and how: ProbeOptions().classes(10), or ProbeOptions().targets(3).
struct ProbeOptions {
  /// C: labels are 0 … C − 1, or shares of so many classes; 2 to 4096. 0: targets instead.
  TORCH_ARG(std::int64_t, classes) = 0;

  /// K: how many numbers are to be predicted; 1 to 4096. 0: classes instead.
  TORCH_ARG(std::int64_t, targets) = 0;

  /// λ, how far the covariance is drawn towards a multiple of the identity; 0 to 1. Unset: 0.1 for
  /// classes, 0.001 for targets.
  TORCH_ARG(std::optional<double>, shrinkage) = std::nullopt;

  /// The label of rows that have none. The default is that of LibTorch's cross entropy.
  TORCH_ARG(std::int64_t, ignore_index) = -100;

  /// In what precision products are formed.
  TORCH_ARG(Products, products) = Products::Float32;
};

/// A linear map that was fitted: scores = (x − m)·W + b. Plain values; thread-safe.
struct FittedProbe {
  at::Tensor mean;    ///< m: (d), float64
  at::Tensor weight;  ///< W: (d, c), float64
  at::Tensor bias;    ///< b: (c), float64; −∞ for a class that never came

  /// For each class the logarithm of its likelihood, up to a term that all have in common; or the
  /// numbers predicted. Does not wait for the device.
  /// @param rows (n, d), on the same device
  /// @return (n, c); float64 where the rows are, else float32
  [[nodiscard]] at::Tensor scores(const at::Tensor& rows) const {
    const detail::PlainMode plain;
    const at::Tensor without = scores_without_bias(rows);
    return without + bias.to(without.scalar_type());
  }

  /// (x − m)·W, for numbers that lie far from 0.
  [[nodiscard]] at::Tensor scores_without_bias(const at::Tensor& rows) const {
    const detail::PlainMode plain;
    const at::ScalarType type = detail::product_type(Products::Float32, rows);
    // Centred first: what lies far from the origin cancels in float32.
    return at::mm(rows.to(type) - mean.to(type), weight.to(type));
  }

  /// The class with the highest score: (n), int64. Does not wait for the device.
  [[nodiscard]] at::Tensor predict(const at::Tensor& rows) const { return scores(rows).argmax(1); }

  /// Whether the equations could be solved. Waits for the device.
  [[nodiscard]] bool is_solved() const { return at::isfinite(weight).all().item<bool>(); }
};

namespace detail {

/// The most classes or targets: above that, a row of them is as wide as a wide layer, and coarser
/// classes tell as much.
constexpr std::int64_t kMostTargets = 4096;

constexpr double kClassShrinkage = 0.1;
constexpr double kTargetShrinkage = 1e-3;

/// X with A·X = B for a positive definite A, by Cholesky's factor; NaN where A is not. Does not
/// wait for the device.
inline at::Tensor solved(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor factor;
  at::Tensor info;
  std::tie(factor, info) = at::linalg_cholesky_ex(a);
  const at::Tensor x = at::cholesky_solve(b, factor);
  return at::where(info.eq(0), x, at::full_like(x, missing_number()));
}

/// Means and covariances of classes, from sums: all float64, on the device.
struct ClassMoments {
  at::Tensor shares;  ///< π: (c)
  /// ν: (d, c), each class's mean less that of all; 0 where a class never came.
  at::Tensor centred;
  at::Tensor within;  ///< Σ_W: (d, d)
};

template <typename Scalar>
ClassMoments class_moments(Covariance<Scalar>& sums) {
  ClassMoments moments;
  moments.shares = sums.target_means();
  const at::Tensor cross = sums.cross_covariance();
  // π_c·ν_c is the covariance of the features with the column of class c.
  const at::Tensor divisor =
      at::where(moments.shares.gt(0), moments.shares, at::full_like(moments.shares, 1));
  moments.centred = cross / divisor;
  moments.within = sums.matrix().addmm_(moments.centred, cross.t(), /*beta=*/1, /*alpha=*/-1);
  return moments;
}

/// Linear discriminant analysis with a shrunk covariance (Hastie, Tibshirani & Friedman, "The
/// Elements of Statistical Learning", 2nd edition, 4.3): with Σ_λ = (1 − λ)·Σ_W + λ·(tr Σ_W/d)·I
/// the score of class c is (x − m)ᵀΣ_λ⁻¹ν_c − ν_cᵀΣ_λ⁻¹ν_c/2 + ln π_c.
/// @param rounding of the products, relative to the variances
template <typename Scalar>
FittedProbe fitted_to_classes(Covariance<Scalar>& sums, double shrinkage, double rounding) {
  const ClassMoments moments = class_moments(sums);
  const at::Tensor whole = sums.variances().mean();
  at::Tensor shrunk = moments.within.mul(1 - shrinkage);
  if (shrinkage > 0) {
    // Where nothing varies within the classes, Σ_W is rounding, of either sign.
    const double noise = rounding * std::sqrt(static_cast<double>(sums.width()));
    const at::Tensor ridge =
        at::maximum(moments.within.diagonal().mean() * shrinkage, whole * noise);
    // What never varies at all has only the shares of the classes to go by.
    shrunk.diagonal().add_(at::where(whole.gt(0), ridge, at::ones_like(ridge)));
  }
  FittedProbe fit;
  fit.mean = sums.mean();
  fit.weight = solved(shrunk, moments.centred);
  fit.bias = moments.shares.log() - (moments.centred * fit.weight).sum(0) / 2;
  return fit;
}

/// Ridge regression: W = (Σ + γ·I)⁻¹·Σ_xy, with γ = λ·tr Σ/d (Hastie, Tibshirani & Friedman, 3.4).
/// @param origin (c), float64: what was subtracted from the targets before they were summed
template <typename Scalar>
FittedProbe fitted_to_numbers(Covariance<Scalar>& sums, const at::Tensor& origin,
                              double shrinkage) {
  at::Tensor sigma = sums.matrix();
  const at::Tensor size = sigma.diagonal().mean();
  sigma.diagonal().add_(at::where(size.gt(0), size * shrinkage, at::ones_like(size)));
  FittedProbe fit;
  fit.mean = sums.mean();
  fit.weight = solved(sigma, sums.cross_covariance());
  fit.bias = sums.target_means() + origin;
  return fit;
}

/// How far the spread within classes reaches into what separates them, tr(Σ_W·Σ_B⁺)/c over the c
/// classes that came: NC1 of Papyan, Han & Donoho, "Prevalence of neural collapse during the
/// terminal phase of deep learning training" (PNAS 117(40), 2020; arXiv 2008.08186). With
/// M = [√π_c·ν_c], Σ_B = MMᵀ, it is tr((MᵀM)⁺·MᵀΣ_W·M·(MᵀM)⁺)/c, where MᵀM is only c × c, and its
/// rank is known: c − 1 at most, since Σ π_c·ν_c = 0. Waits for the device.
/// @return missing where nothing varies within the classes, or nothing between them
template <typename Scalar>
double neural_collapse(Covariance<Scalar>& sums) {
  const ClassMoments moments = class_moments(sums);
  const double floor = sums.noise_floor();
  const auto spread = moments.within.trace().template item<double>();
  const at::Tensor present = moments.shares.gt(0).nonzero().squeeze(1);
  const std::int64_t classes = present.size(0);
  if (is_nan(spread) || spread <= floor || classes < 2) return missing_number();
  const at::Tensor m = (moments.centred * moments.shares.sqrt()).index_select(1, present);
  const auto [values, vectors] = symmetric_eigenvectors(at::mm(m.t(), m));
  const at::Tensor moved = at::mm(m, vectors);
  const at::Tensor inner = (moved * at::mm(moments.within, moved)).sum(0);
  // The first eigenvalue is 0.
  const at::Tensor counts =
      values.gt(floor).logical_and(at::arange(classes, values.options()).gt(0));
  const at::Tensor parts = at::where(counts, inner / values.square(), at::zeros_like(values));
  const auto sum = parts.sum().template item<double>();
  return sum > 0 ? sum / static_cast<double>(classes) : missing_number();
}

}  // namespace detail

/// What can be read off features by a linear map, found from sums alone: rows come in batches, on
/// their device, in any order, and none is kept. For classes it is linear discriminant analysis
/// with a shrunk covariance, which is what scikit-learn's LinearDiscriminantAnalysis(solver="lsqr",
/// shrinkage=λ) finds; for numbers ridge regression, as its Ridge(alpha=n·λ·tr Σ/d).
///
///     delve::Probe probe(delve::ProbeOptions().classes(10));
///     for (…) probe.update(features, labels);   // (n, d), (n)
///     const delve::FittedProbe fit = probe.fit();
///     const auto right = fit.predict(test_features).eq(test_labels).sum();
///
/// A batch whose features are not finite is left out whole, as Covariance does, and so is one with
/// an invalid label. Scalar is the type of the sums. Not thread-safe.
template <typename Scalar = double>
class Probe {
 public:
  /// @throws std::invalid_argument where an option is out of its range; it says which
  explicit Probe(const ProbeOptions& options)
      : options_(checked(options)),
        sums_(options_.products(), options_.classes() + options_.targets()) {}

  /// Takes one batch in. Does not wait for the device, unless the labels have to be copied from
  /// another one to the host.
  /// @param rows (n, d) or (b, n, d), of any floating type; not kept
  /// @param labels one per row, in the shape of its leading axes: classes of an integer type, or
  ///   shares of each class with one more axis of size C, or numbers with one more of size K
  /// @throws std::invalid_argument where their shape or type is not one of these
  /// @throws std::runtime_error as Covariance::update()
  void update(const at::Tensor& rows, const at::Tensor& labels) {
    const detail::PlainMode plain;
    update(rows, labels_of(rows, labels.to(rows.device())));
  }

  /// The same for labels that were looked at before.
  void update(const at::Tensor& rows, detail::RowLabels labels) {
    if (labels.is_known_bad || rows.numel() == 0) {
      bad_batches_ += labels.is_known_bad ? 1 : 0;
      return;
    }
    if (options_.targets() > 0)
      labels.with.targets =
          from_origin(labels.with, detail::product_type(options_.products(), rows));
    if (labels.is_bad.defined()) {
      bad_on_device_ = bad_on_device_.defined()
                           ? bad_on_device_.to(labels.is_bad.device()) + labels.is_bad
                           : labels.is_bad.to(at::kLong);
    }
    sums_.update(rows, labels.with);
  }

  /// Adds all that another probe has seen, as if this one had seen it too. The other one's result
  /// stays the same.
  /// @throws std::invalid_argument where the widths, or the numbers of classes or targets, differ
  void merge(Probe& other) {
    const detail::PlainMode plain;
    if ((options_.classes() > 0) != (other.options_.classes() > 0)) {
      throw std::invalid_argument("delve::Probe::merge: one is of classes, the other of targets");
    }
    if (other.sums_.width() == 0) return;
    if (options_.targets() > 0 && origin_.defined()) {
      const at::Tensor here = origin_.to(other.sums_.device());
      other.sums_.move_targets(other.origin_.to(here.device()) - here);
      other.origin_ = here;
    } else {
      origin_ = other.origin_;
    }
    sums_.merge(other.sums_);
  }

  /// What is known of the rows and labels. Waits for the device.
  /// @throws std::runtime_error as Covariance::update()
  [[nodiscard]] Moments moments() {
    const detail::PlainMode plain;
    Moments known = sums_.moments();
    if (origin_.defined() && known.samples > 0) {
      known.mean.narrow(0, known.width(), options_.targets()).add_(origin_.to(known.mean.device()));
    }
    return known;
  }

  /// Replaces all rows by what another probe of the same options, or several of them together, had
  /// seen.
  /// @throws std::runtime_error as Covariance::update()
  void assign(const Moments& moments) {
    const detail::PlainMode plain;
    sums_.assign(moments);
    if (options_.targets() > 0 && moments.width() > 0) {
      origin_ = at::zeros({options_.targets()}, moments.mean.options());
    }
  }

  /// Solves for the map that best fits what came. Does not wait for the device. Where the equations
  /// have no solution, as with shrinkage 0 and fewer rows than features, the weights are NaN.
  /// @throws std::logic_error before the first update()
  /// @throws std::runtime_error as Covariance::matrix()
  [[nodiscard]] FittedProbe fit() {
    const detail::PlainMode plain;
    if (sums_.width() == 0) {
      throw std::logic_error("delve::Probe::fit: there is nothing to fit, since no rows came");
    }
    if (options_.targets() > 0) {
      return detail::fitted_to_numbers(sums_, origin_.to(sums_.device()), shrinkage());
    }
    const double rounding = options_.products() == Products::Float64 ? 1e-14 : 1e-6;
    return detail::fitted_to_classes(sums_, shrinkage(), rounding);
  }

  /// NC1, how far classes have collapsed to their means: detail::neural_collapse has the formula.
  /// Waits for the device.
  /// @return missing (is_missing) where it is not defined, and for targets
  [[nodiscard]] double neural_collapse() {
    const detail::PlainMode plain;
    if (options_.classes() == 0 || sums_.samples() == 0) return detail::missing_number();
    return detail::neural_collapse(sums_);
  }

  /// d; 0 before the first batch.
  [[nodiscard]] std::int64_t width() const { return sums_.width(); }

  /// How many rows are in the sums. Waits for the device.
  [[nodiscard]] std::int64_t samples() const { return sums_.samples(); }

  /// How many batches were left out for an invalid label. Waits for the device.
  [[nodiscard]] std::int64_t bad_batches() const {
    return bad_batches_ + (bad_on_device_.defined() ? bad_on_device_.item<std::int64_t>() : 0);
  }

  /// The memory that it holds on its device, in bytes.
  [[nodiscard]] std::int64_t bytes() const { return sums_.bytes(); }

  [[nodiscard]] const ProbeOptions& options() const { return options_; }

  /// What it has summed.
  [[nodiscard]] Covariance<Scalar>& sums() { return sums_; }

 private:
  friend struct detail::StateAccess;

  /// Of a probe with the same options.
  template <typename Archive>
  void state(Archive& archive) {
    archive(sums_, origin_, bad_on_device_, bad_batches_);
    archive.require(!origin_.defined() || origin_.numel() == options_.targets());
    archive.require(!bad_on_device_.defined() || bad_on_device_.numel() == 1);
  }

  static ProbeOptions checked(ProbeOptions options) {
    const auto require = [](bool holds, const char* option, const std::string& value,
                            const char* valid) {
      detail::require(holds, "delve::ProbeOptions", option, value, valid);
    };
    const std::int64_t classes = options.classes();
    const std::int64_t targets = options.targets();
    require(classes == 0 || (classes >= 2 && classes <= detail::kMostTargets), "classes",
            fmt::to_string(classes), "2 to 4096, or 0 where targets is set");
    require(targets >= 0 && targets <= detail::kMostTargets, "targets", fmt::to_string(targets),
            "1 to 4096, or 0 where classes is set");
    require((classes > 0) != (targets > 0), "classes", fmt::to_string(classes),
            "above 0 where targets is 0, and 0 where it is not");
    const double shrinkage = options.shrinkage().value_or(0);
    require(shrinkage >= 0 && shrinkage <= 1, "shrinkage", fmt::to_string(shrinkage), "0 to 1");
    return options;
  }

  [[nodiscard]] double shrinkage() const {
    return options_.shrinkage().value_or(options_.classes() > 0 ? detail::kClassShrinkage
                                                                : detail::kTargetShrinkage);
  }

  [[nodiscard]] detail::RowLabels labels_of(const at::Tensor& rows,
                                            const at::Tensor& labels) const {
    const std::int64_t count = rows.numel() / std::max<std::int64_t>(1, rows.size(-1));
    const at::ScalarType type = detail::product_type(options_.products(), rows);
    const auto require = [&](bool holds) {
      if (holds) return;
      throw std::invalid_argument(fmt::format(
          "delve::Probe::update: {} rows need as many labels, integers or shares of {} classes, or "
          "{} targets each; these have type {} and {} elements",
          count, options_.classes(), options_.targets(), c10::toString(labels.scalar_type()),
          labels.numel()));
    };
    if (options_.targets() > 0) {
      require(labels.numel() == count * options_.targets());
      return detail::labels_of_numbers(labels.reshape({count, options_.targets()}));
    }
    if (labels.is_floating_point()) {
      require(labels.numel() == count * options_.classes());
      return detail::labels_of_shares(labels.reshape({count, options_.classes()}), type);
    }
    require(labels.numel() == count);
    return detail::labels_of_classes(labels.reshape({count}).to(at::kLong), options_.classes(),
                                     options_.ignore_index(), type);
  }

  /// The targets less the first ones that came, so that a mean far from 0 cancels nothing.
  /// @param type of the result
  at::Tensor from_origin(const RowTargets& with, at::ScalarType type) {
    const at::Tensor wide = with.targets.to(at::kDouble);
    origin_ = origin_.defined() ? origin_.to(wide.device()) : wide[0].clone();
    const at::Tensor near = wide - origin_;
    const at::Tensor masked =
        with.mask.defined() ? near.masked_fill(with.mask.logical_not().unsqueeze(1), 0) : near;
    return masked.to(type);
  }

  ProbeOptions options_;
  Covariance<Scalar> sums_;
  at::Tensor origin_;         // (c), float64, of targets that are numbers
  at::Tensor bad_on_device_;  // () int64
  std::int64_t bad_batches_ = 0;
};

}  // namespace DELVE_ABI
}  // namespace delve
