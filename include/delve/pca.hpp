// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::min, std::replace
#include <cmath>        // NAN
#include <cstdint>      // std::int64_t, std::uint64_t
#include <iostream>     // std::cerr
#include <memory>       // std::make_shared, std::shared_ptr
#include <optional>     // std::optional
#include <ostream>      // std::ostream
#include <set>          // std::set
#include <stdexcept>    // std::invalid_argument, std::logic_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <tuple>        // std::get
#include <type_traits>  // std::conditional_t, std::is_const_v
#include <utility>      // std::move
#include <vector>       // std::vector

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>
#include <torch/serialize/input-archive.h>
#include <Eigen/Core>

#include <delve/detail/sums/noise_floor.hpp>
#include <delve/detail/support/require.hpp>
#include <delve/detail/tensors/plain_mode.hpp>
#include <delve/spectrum.hpp>

// Layers that confine a network to the subspaces that its data needs. At a threshold of 0.99 that
// should cost no accuracy (Richter et al., "Feature space saturation during training", arXiv
// 2006.08679); lower ones show what the rest of the variance is worth.
//
//     torch::nn::Sequential model(torch::nn::Linear(784, 256), delve::LinearPCA(256),
//                                 torch::nn::ReLU(), torch::nn::Linear(256, 10));
//     train(model);     // train(): data passes unchanged, its covariance is summed
//     evaluate(model);  // eval(): data is projected
//     delve::set_pca_threshold(*model, 0.9);
//     evaluate(model);
//     for (const delve::PcaSummary& layer : delve::pca_summaries(*model)) …

namespace delve {

/// What LinearPCA is made with: `LinearPCAOptions(256).threshold(0.9).keepdim(false)`.
struct LinearPCAOptions {
  LinearPCAOptions(std::int64_t in_features)  // NOLINT(google-explicit-constructor): as LibTorch's
      : in_features_(in_features) {}

  /// D, the size of the input's last axis; at least 1.
  TORCH_ARG(std::int64_t, in_features);

  /// The share of the variance that the directions kept explain, in (0, 1].
  TORCH_ARG(double, threshold) = 0.99;

  /// Whether the projection comes back in the D coordinates it came in; otherwise in the k of the
  /// directions kept.
  TORCH_ARG(bool, keepdim) = true;

  /// Whether directions are those of the covariance, and the projection leaves the mean where it
  /// is; otherwise both are about the origin.
  TORCH_ARG(bool, centering) = true;

  /// How many epochs pass before gradients are projected as well: later on, training still passes
  /// data unchanged, but its gradient on the way back goes through the projection that the last
  /// evaluation used. Of an epoch, see PcaLayer. Unset: never.
  ///
  /// Delve (Python) 0.1.50 sets it to 20 and reads it nowhere, so that it, too, never projects
  /// gradients unasked. What it does here it did in the program that Delve's layers come from
  /// (MLRichter/phd-lab).
  TORCH_ARG(std::optional<std::int64_t>, gradient_epoch_start) = std::nullopt;

  /// Whether each newly found subspace is told on stderr.
  TORCH_ARG(bool, verbose) = false;

  /// The control: as many orthonormal directions, drawn at random.
  TORCH_ARG(bool, random_directions) = false;

  /// Of the random directions. The same seed gives the same ones on any device.
  TORCH_ARG(std::uint64_t, seed) = 0;
};

/// What Conv2dPCA is made with. As in Delve, it does not centre unless asked to.
struct Conv2dPCAOptions {
  Conv2dPCAOptions(std::int64_t in_filters)  // NOLINT(google-explicit-constructor): as LibTorch's
      : in_filters_(in_filters) {}

  /// C, the number of the input's channels; at least 1.
  TORCH_ARG(std::int64_t, in_filters);

  TORCH_ARG(double, threshold) = 0.99;  ///< As of LinearPCAOptions; so are those below.
  TORCH_ARG(bool, keepdim) = true;
  TORCH_ARG(bool, centering) = false;
  TORCH_ARG(std::optional<std::int64_t>, gradient_epoch_start) = std::nullopt;
  TORCH_ARG(bool, verbose) = false;
  TORCH_ARG(bool, random_directions) = false;
  TORCH_ARG(std::uint64_t, seed) = 0;

  /// A size in pixels to which larger inputs are brought, by nearest neighbours, before their
  /// positions are summed: it saves time. Heights and widths below it stay. The data that passes
  /// stays as it is.
  TORCH_ARG(std::optional<std::int64_t>, downsampling) = std::nullopt;
};

/// What LinearPCA and Conv2dPCA have in common; `dynamic_cast` finds them among other modules.
///
/// While it trains, such a layer returns its input and sums mean and covariance of it. In
/// evaluation it projects its input onto the k leading eigenvectors V, D × k, of what it saw:
///
///     y = (x − m)VVᵀ + m    with centering, V of the covariance Σ about the mean m
///     y = xVVᵀ              without, V of the second moment Σ + mmᵀ
///
/// or onto their coordinates, (x − m)V and xV, where keepdim is false. k is the smallest number
/// of eigenvectors that explains the threshold's share of the variance: by the rule of
/// Spectrum::dimensionality, so that with centering this is what a tracker reports of the data, and
/// 0 where the data never varied.
///
/// An epoch is what comes between two evaluations: the first training batch after an evaluation
/// starts new sums, as in Delve. A batch with a NaN or an infinity is left out whole. Training
/// never waits for the device; the first evaluation after it does, and solves for the eigenvectors.
///
/// The sums are buffers, and saved with the model; options are not, as with LibTorch's own modules.
/// In a loaded model and in a clone, gradients are projected from the next evaluation on. Sums stay
/// float64 when a model is moved to another type, and the output has the type that the input has.
///
/// Not thread-safe, but once an evaluation has passed, others may run on several threads at once.
class PcaLayer {
 public:
  virtual ~PcaLayer() = default;

  /// @param threshold in (0, 1]; holds from the next evaluation on
  /// @throws std::invalid_argument for another one
  virtual void set_threshold(double threshold) = 0;

  /// Holds from the next evaluation on, which solves for the eigenvectors anew; no new data is
  /// needed.
  virtual void set_centering(bool centering) = 0;

  /// Random directions in place of the leading ones, as many of them; or the leading ones again.
  virtual void set_random_directions(bool random_directions, std::uint64_t seed) = 0;

  /// D.
  [[nodiscard]] virtual std::int64_t dimensions_in() const = 0;

  /// k, with the data seen so far. Waits for the device.
  /// @throws std::logic_error where there was none
  [[nodiscard]] virtual std::int64_t dimensions_kept() const = 0;

  /// The data points in the sums. Waits for the device.
  [[nodiscard]] virtual std::int64_t samples() const = 0;

  /// "LinearPCA" or "Conv2dPCA".
  [[nodiscard]] virtual std::string kind() const = 0;

  /// k / D, with the data seen so far. Waits for the device.
  /// @throws std::logic_error where there was none
  [[nodiscard]] double saturation() const {
    return static_cast<double>(dimensions_kept()) / static_cast<double>(dimensions_in());
  }
};

namespace detail {

inline void require_pca_threshold(const std::string& kind, double threshold) {
  require_share(threshold, "delve::" + kind, "threshold");
}

inline void require_pca_at_least(const std::string& kind, std::string_view option,
                                 std::int64_t value, std::int64_t least) {
  require(value >= least, "delve::" + kind, option, fmt::to_string(value),
          fmt::format("at least {}", least));
}

/// The eigenvectors of a layer's data, (d, d), float64, in columns from the leading one on.
struct Eigenspace {
  Spectrum spectrum;
  at::Tensor vectors;
};

/// @param matrix (d, d), symmetric, finite, float64
/// @param floor as of Spectrum
inline Eigenspace eigenspace_of(const at::Tensor& matrix, double floor) {
  const auto [ascending, vectors] = at::linalg_eigh(matrix);
  const at::Tensor values = ascending.cpu();
  const Eigen::Map<const Eigen::VectorXd> mapped(values.data_ptr<double>(), values.numel());
  return {Spectrum(mapped, values.numel(), {}, floor), vectors.flip(1).contiguous()};
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

/// All of LinearPCA and Conv2dPCA but for what tells them apart. Kind has their name, the axis of
/// the features, and `observed()`: what of a batch is summed.
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

  /// Of the sums as they are, solved for where they have changed.
  std::shared_ptr<const Eigenspace> eigenspace() const {
    // What a user writes into the buffers counts as well. Inference tensors do not tell, nor can
    // they be written to.
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

  /// Those of the last epoch: the sums are already of the next one.
  at::Tensor with_projected_gradient(const at::Tensor& x) const {
    if (!projects_gradient_ || !last_epoch_ || !x.requires_grad()) return x;
    // A tensor of its own: what is done to it in place afterwards must not lose the hook.
    const at::Tensor y = x.clone();
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

  // The narrowest type that came. It is not saved: of sums that were loaded, float32 is assumed.
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

struct LinearPCAKind {
  static constexpr const char* kName = "LinearPCA";
  static constexpr std::int64_t kAxis = -1;

  static std::int64_t width(const LinearPCAOptions& options) { return options.in_features(); }
  static void check(const LinearPCAOptions& options) {
    require_pca_at_least(kName, "in_features", options.in_features(), 1);
  }
  static bool takes(const at::Tensor& x) { return x.dim() >= 1; }
  static std::string expected(const LinearPCAOptions& options) {
    return fmt::format("(..., {})", options.in_features());
  }
  static at::Tensor observed(const at::Tensor& x, const LinearPCAOptions& /*options*/) { return x; }
  static std::string print(const LinearPCAOptions& options) {
    return fmt::format("in_features={}", options.in_features());
  }
};

struct Conv2dPCAKind {
  static constexpr const char* kName = "Conv2dPCA";
  static constexpr std::int64_t kAxis = -3;

  static std::int64_t width(const Conv2dPCAOptions& options) { return options.in_filters(); }
  static void check(const Conv2dPCAOptions& options) {
    require_pca_at_least(kName, "in_filters", options.in_filters(), 1);
    if (options.downsampling()) {
      require_pca_at_least(kName, "downsampling", *options.downsampling(), 1);
    }
  }
  static bool takes(const at::Tensor& x) { return x.dim() == 3 || x.dim() == 4; }
  static std::string expected(const Conv2dPCAOptions& options) {
    return fmt::format("(B, {0}, H, W) or ({0}, H, W)", options.in_filters());
  }
  static at::Tensor observed(const at::Tensor& x, const Conv2dPCAOptions& options) {
    if (!options.downsampling()) return x;
    const std::int64_t height = std::min(x.size(-2), *options.downsampling());
    const std::int64_t width = std::min(x.size(-1), *options.downsampling());
    if (height == x.size(-2) && width == x.size(-1)) return x;
    return at::upsample_nearest2d(x.dim() == 3 ? x.unsqueeze(0) : x, {height, width});
  }
  static std::string print(const Conv2dPCAOptions& options) {
    return fmt::format("in_filters={}", options.in_filters()) +
           (options.downsampling() ? fmt::format(", downsampling={}", *options.downsampling())
                                   : "");
  }
};

}  // namespace detail

/// Behind a Linear, or wherever features are the last axis: (…, D). See PcaLayer.
class LinearPCAImpl
    : public detail::PcaImpl<LinearPCAImpl, LinearPCAOptions, detail::LinearPCAKind> {
 public:
  using PcaImpl::PcaImpl;
};
TORCH_MODULE(LinearPCA);

/// Behind a Conv2d: each position of (B, C, H, W) or (C, H, W) is a data point of C features, and
/// projected by itself, as by a 1 × 1 convolution. See PcaLayer.
class Conv2dPCAImpl
    : public detail::PcaImpl<Conv2dPCAImpl, Conv2dPCAOptions, detail::Conv2dPCAKind> {
 public:
  using PcaImpl::PcaImpl;
};
TORCH_MODULE(Conv2dPCA);

namespace detail {

/// Calls function(layer, name) for the PCA layers of a model, itself included, each once, in the
/// order of their registration.
template <typename Model, typename Function>
void for_each_pca_layer(Model& model, const Function& function) {
  using Layer = std::conditional_t<std::is_const_v<Model>, const PcaLayer, PcaLayer>;
  std::set<const PcaLayer*> seen;
  if (auto* root = dynamic_cast<Layer*>(&model)) function(*root, root->kind());
  for (const auto& item : model.named_modules(/*name_prefix=*/"", /*include_self=*/false)) {
    auto* layer = dynamic_cast<Layer*>(item.value().get());
    if (layer == nullptr || !seen.insert(layer).second) continue;
    std::string name = item.key();
    std::replace(name.begin(), name.end(), '.', '-');
    function(*layer, name);
  }
}

}  // namespace detail

/// Sets the threshold of all PCA layers of a model: Delve's change_all_pca_layer_thresholds.
/// @param threshold in (0, 1]; holds from the next evaluation on
/// @throws std::invalid_argument for another one; then no layer is changed
inline void set_pca_threshold(torch::nn::Module& model, double threshold) {
  detail::require_pca_threshold("set_pca_threshold", threshold);
  detail::for_each_pca_layer(
      model, [&](PcaLayer& layer, const std::string& /*name*/) { layer.set_threshold(threshold); });
}

/// Sets the centring of all PCA layers of a model: change_all_pca_layer_centering of the program
/// that Delve's layers come from. Holds from the next evaluation on.
inline void set_pca_centering(torch::nn::Module& model, bool centering) {
  detail::for_each_pca_layer(
      model, [&](PcaLayer& layer, const std::string& /*name*/) { layer.set_centering(centering); });
}

/// Gives all PCA layers of a model random directions, as many as they keep, the first layer by this
/// seed, each one after it by the next; or the leading ones again. What
/// change_all_pca_layer_thresholds_and_inject_random_directions does in Delve, but for the
/// threshold.
inline void set_pca_random_directions(torch::nn::Module& model, bool random_directions,
                                      std::uint64_t seed = 0) {
  detail::for_each_pca_layer(model, [&](PcaLayer& layer, const std::string& /*name*/) {
    layer.set_random_directions(random_directions, seed++);
  });
}

/// What a PCA layer keeps of the data seen so far.
struct PcaSummary {
  std::string layer;  ///< "features-1"; of a model that is itself one, its kind
  std::int64_t dimensions_in;
  std::int64_t dimensions_kept;  ///< 0 before any data, too
  double saturation;             ///< dimensions_kept / dimensions_in; NaN before any data
};

/// Of all PCA layers of a model, in the order of their registration: the lists that Delve's
/// change_all_pca_layer_… functions return, whose saturation is in percent. Waits for the device,
/// and solves for eigenvectors where there is new data; not thread-safe therefore.
inline std::vector<PcaSummary> pca_summaries(const torch::nn::Module& model) {
  std::vector<PcaSummary> summaries;
  detail::for_each_pca_layer(model, [&](const PcaLayer& layer, const std::string& name) {
    const std::int64_t width = layer.dimensions_in();
    if (layer.samples() == 0) {
      summaries.push_back({name, width, 0, NAN});
    } else {
      summaries.push_back({name, width, layer.dimensions_kept(), layer.saturation()});
    }
  });
  return summaries;
}

}  // namespace delve
