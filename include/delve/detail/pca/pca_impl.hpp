// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>    // std::int64_t, std::uint64_t
#include <iostream>   // std::cerr
#include <memory>     // std::make_shared, std::shared_ptr
#include <optional>   // std::optional
#include <ostream>    // std::ostream
#include <stdexcept>  // std::invalid_argument, std::logic_error
#include <string>     // std::string
#include <tuple>      // std::get
#include <utility>    // std::move

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <torch/nn/cloneable.h>
#include <torch/serialize/input-archive.h>

#include <delve/detail/pca/pca_kinds.hpp>
#include <delve/detail/sums/noise_floor.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/pca_layer.hpp>
#include <delve/spectrum.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// The eigenvectors of a layer's data, (d, d), float64, in columns from the leading one on.
struct Eigenspace {
  Spectrum spectrum;
  at::Tensor vectors;
};

/// @param matrix (d, d), symmetric, finite, float64
/// @param floor as of Spectrum
inline Eigenspace eigenspace_of(const at::Tensor& matrix, double floor) {
  const auto [values, vectors] = symmetric_eigenvectors(matrix);
  return {Spectrum(to_eigen(values), values.numel(), {}, floor), vectors.flip(1).contiguous()};
}

/// A random orthonormal basis, (d, d), float64: the Q of a Gaussian matrix, uniformly distributed
/// but for signs, which a projection does not see (Stewart, "The efficient generation of random
/// orthogonal matrices with an application to condition estimators", SIAM Journal on Numerical
/// Analysis 17(3), 1980). Any k of its columns span a random subspace.
inline at::Tensor random_basis(std::int64_t width, std::uint64_t seed, at::Device device) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor gaussian = at::randn({width, width}, generator, at::kDouble);
  return std::get<0>(at::linalg_qr(gaussian)).to(device);
}

/// All of LinearPCA and Conv2dPCA except for what differs between them. Kind has their name, the
/// axis of the features, and `observed()`: what of a batch is summed.
template <typename Derived, typename Options, typename Kind>
class PcaImpl : public torch::nn::Cloneable<Derived>, public PcaLayer {
 public:
  explicit PcaImpl(const Options& options_) : options(options_) {
    require_pca_threshold(Kind::kName, options.threshold());
    if (options.gradient_epoch_start()) {
      require_pca_at_least(Kind::kName, "gradient_epoch_start", *options.gradient_epoch_start(), 0);
    }
    Kind::check(options);
    reset();
  }

  /// Forgets all data.
  void reset() override {
    const PlainMode plain;
    forget_solutions();
    const std::int64_t d = Kind::width(options);
    samples_ = this->register_buffer("samples", at::zeros({}, at::kDouble));
    mean_ = this->register_buffer("mean", at::zeros({d}, at::kDouble));
    moments_ = this->register_buffer("moments", at::zeros({d, d}, at::kDouble));
    epochs_ = this->register_buffer("epochs", at::zeros({}, at::kLong));
    evaluated_ = this->register_buffer("evaluated", at::zeros({}, at::kBool));
  }

  /// @param x (…, D), or (B, C, H, W) and (C, H, W), of any floating type
  /// @return the same shape; with k for D or C in evaluation where keepdim is false
  /// @throws std::logic_error in evaluation, before any training data
  /// @throws std::invalid_argument for an input of another shape or type
  torch::Tensor forward(const torch::Tensor& x) {
    check_input(x);
    if (this->is_training()) {
      if (x.numel() > 0) observe(x);
      return with_projected_gradient(x);
    }
    finish_epoch();
    return projected(x);
  }

  void set_threshold(double threshold) override {
    require_pca_threshold(Kind::kName, threshold);
    options.threshold(threshold);
  }

  void set_centering(bool centering) override { options.centering(centering); }

  void set_random_directions(bool random_directions, std::uint64_t seed) override {
    options.random_directions(random_directions).seed(seed);
  }

  [[nodiscard]] std::int64_t dimensions_in() const override { return Kind::width(options); }

  [[nodiscard]] std::int64_t dimensions_kept() const override {
    return eigenspace()->spectrum.dimensionality(options.threshold());
  }

  [[nodiscard]] std::int64_t samples() const override {
    return static_cast<std::int64_t>(samples_.template item<double>());
  }

  [[nodiscard]] std::string kind() const override { return Kind::kName; }

  void load(torch::serialize::InputArchive& archive) override {
    torch::nn::Module::load(archive);
    forget_solutions();
  }

  using torch::nn::Module::to;
  /// Sums stay float64: nothing changes.
  void to(torch::Dtype /*dtype*/, bool /*non_blocking*/ = false) override {}
  /// Sums stay float64: only the device changes.
  void to(torch::Device device, torch::Dtype /*dtype*/, bool non_blocking = false) override {
    torch::nn::Module::to(device, non_blocking);
  }

  void pretty_print(std::ostream& stream) const override {
    stream << fmt::format("delve::{}({}, threshold={}, keepdim={}, centering={}{})", Kind::kName,
                          Kind::print(options), options.threshold(), options.keepdim(),
                          options.centering(),
                          options.random_directions() ? ", random_directions=true" : "");
  }

  /// May be changed at any time, as by the setters; the size of the input may not.
  Options options;

 private:
  void check_input(const at::Tensor& x) const {
    if (Kind::takes(x) && x.is_floating_point() && x.size(Kind::kAxis) == Kind::width(options)) {
      return;
    }
    throw std::invalid_argument(fmt::format(
        "delve::{}: the input must be {}, of a floating type; it is ({}), of type {}", Kind::kName,
        Kind::expected(options), shape_of(x), c10::toString(x.scalar_type())));
  }

  static std::string shape_of(const at::Tensor& x) {
    std::string shape;
    for (const std::int64_t size : x.sizes()) {
      shape += fmt::format("{}{}", shape.empty() ? "" : ", ", size);
    }
    return shape;
  }

  void forget_solutions() {
    eigenspace_.reset();
    last_epoch_.reset();
  }

  /// Takes one batch into the sums: moments are Σᵢ (xᵢ − m)(xᵢ − m)ᵀ, and those of two sets, with
  /// means δ apart, merge by adding δδᵀ · n₁n₂ / (n₁ + n₂) (Chan, Golub & LeVeque, "Algorithms for
  /// computing the sample variance", The American Statistician 37(3), 1983). Whether a batch is
  /// finite, and whether it starts new sums, is decided on the device.
  void observe(const at::Tensor& x) {
    const PlainMode plain;
    coarsest_ = has_seen_ ? coarser(coarsest_, x.scalar_type()) : x.scalar_type();
    has_seen_ = true;
    const at::Tensor by_feature = Kind::observed(x, options).movedim(Kind::kAxis, -1);
    at::Tensor rows = at::empty(by_feature.sizes(), moments_.options())
                          .copy_(by_feature)
                          .view({-1, Kind::width(options)});
    const double count = static_cast<double>(rows.size(0));
    // By way of one row, so that the mean of a constant is that constant to the last bit, and data
    // that never varies has no variance at all.
    const at::Tensor first = rows[0].clone();
    const at::Tensor offset = rows.sub_(first).mean(0);
    rows.sub_(offset);
    const at::Tensor mean = first + offset;

    const at::Tensor before = samples_.masked_fill(evaluated_, 0);
    const at::Tensor after = before + count;
    const at::Tensor delta = mean - mean_;
    at::Tensor cross = delta * (before * count / after).sqrt();
    // Any value that is not finite, and any overflow, shows in the norms.
    const at::Tensor size = at::linalg_vector_norm(rows) + at::linalg_vector_norm(cross);
    const at::Tensor is_bad = at::isfinite(size).logical_not();
    rows.masked_fill_(is_bad, 0);
    cross.masked_fill_(is_bad, 0);

    const at::Tensor is_new = before.eq(0).logical_and(is_bad.logical_not());
    moments_.masked_fill_(is_new, 0).addmm_(rows.t(), rows).addr_(cross, cross);
    const at::Tensor merged = at::where(is_new, mean, mean_ + delta * (count / after));
    mean_.copy_(at::where(is_bad, mean_, merged));
    samples_.copy_(at::where(is_bad, samples_, after));
    evaluated_.logical_and_(is_bad);
  }

  /// Marks the end of the sums, if training went on since the last one.
  void finish_epoch() {
    std::shared_ptr<const Eigenspace> found = eigenspace();
    if (last_epoch_ == found) return;
    const PlainMode plain;
    if (!evaluated_.template item<bool>()) {
      epochs_.add_(1);
      evaluated_.fill_(true);
    }
    last_epoch_ = std::move(found);
    const std::optional<std::int64_t> start = options.gradient_epoch_start();
    projects_gradient_ = start && epochs_.template item<std::int64_t>() >= *start;
    if (options.verbose()) {
      const std::int64_t kept = last_epoch_->spectrum.dimensionality(options.threshold());
      std::cerr << fmt::format("delve: {}: {} of {} dimensions explain {:g} % of the variance\n",
                               Kind::kName, kept, dimensions_in(), 100 * options.threshold());
    }
  }

  /// The eigenspace of the sums as they are, solved again where they have changed.
  std::shared_ptr<const Eigenspace> eigenspace() const {
    // What a user writes into the buffers counts as well. Inference tensors have no version,
    // nor can they be written to.
    const auto version = moments_.is_inference() ? 0 : moments_._version();
    if (eigenspace_ && version_ == version && centering_ == options.centering()) return eigenspace_;
    const PlainMode plain;
    if (samples() == 0) {
      throw std::logic_error(fmt::format(
          "delve::{}: there is no subspace to project onto, since no training data has passed: "
          "call train() and forward with finite data before eval()",
          Kind::kName));
    }
    at::Tensor matrix = moments_ / samples_;
    const at::Tensor squares = matrix.diagonal() + mean_.square();
    if (!options.centering()) matrix.addr_(mean_, mean_);
    // Products and sums are float64.
    const auto trace = matrix.trace().template item<double>();
    const double floor =
        noise_floor({samples(), dimensions_in(), coarsest_, squares.amax().template item<double>(),
                     at::kDouble, trace, trace});
    eigenspace_ = std::make_shared<const Eigenspace>(eigenspace_of(matrix, floor));
    version_ = version;
    centering_ = options.centering();
    return eigenspace_;
  }

  /// The directions kept, (d, k), of the type and on the device of x.
  at::Tensor basis(const Eigenspace& space, const at::Tensor& x) const {
    const PlainMode plain;
    const std::int64_t kept = space.spectrum.dimensionality(options.threshold());
    at::Tensor vectors = space.vectors;
    if (options.random_directions()) {
      if (!random_.defined() || random_seed_ != options.seed()) {
        random_ = random_basis(dimensions_in(), options.seed(), moments_.device());
        random_seed_ = options.seed();
      }
      vectors = random_;
    }
    return vectors.narrow(1, 0, kept).to(x.device(), x.scalar_type());
  }

  at::Tensor projected(const at::Tensor& x) const {
    const at::Tensor kept = basis(*last_epoch_, x);
    const at::Tensor mean = mean_.to(x.device(), x.scalar_type());
    at::Tensor y = x.movedim(Kind::kAxis, -1);
    if (options.centering()) y = y - mean;
    y = at::matmul(y, kept);
    if (options.keepdim()) {
      y = at::matmul(y, kept.t());
      if (options.centering()) y = y + mean;
    }
    return y.movedim(-1, Kind::kAxis).contiguous(x.suggest_memory_format());
  }

  /// By the directions of the last epoch: the sums already belong to the next one.
  at::Tensor with_projected_gradient(const at::Tensor& x) const {
    if (!projects_gradient_ || !last_epoch_ || !x.requires_grad()) return x;
    // A tensor of its own: what is done to it in place afterwards must not lose the hook.
    at::Tensor y = x.clone();
    if (!y.requires_grad()) return x;
    y.register_hook([kept = basis(*last_epoch_, x)](const at::Tensor& gradient) {
      const at::Tensor vectors = kept.to(gradient.scalar_type());
      const at::Tensor by_feature = gradient.movedim(Kind::kAxis, -1);
      return at::matmul(at::matmul(by_feature, vectors), vectors.t()).movedim(-1, Kind::kAxis);
    });
    return y;
  }

  // Registered buffers; nothing else is saved.
  at::Tensor samples_;    // () float64
  at::Tensor mean_;       // (d) float64
  at::Tensor moments_;    // (d, d) float64
  at::Tensor epochs_;     // () int64: how many were finished by an evaluation
  at::Tensor evaluated_;  // () bool: the next good batch starts new sums

  // The narrowest type that came. It is not saved: for sums that were loaded, float32 is assumed.
  at::ScalarType coarsest_ = at::kFloat;
  bool has_seen_ = false;

  // What follows from the sums.
  mutable std::shared_ptr<const Eigenspace> eigenspace_;
  mutable std::int64_t version_ = 0;  // of the moments, when it was solved for
  mutable bool centering_ = false;
  mutable at::Tensor random_;
  mutable std::uint64_t random_seed_ = 0;

  std::shared_ptr<const Eigenspace> last_epoch_;  // what the last evaluation used
  bool projects_gradient_ = false;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
