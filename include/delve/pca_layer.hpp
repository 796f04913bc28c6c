// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>   // std::int64_t, std::uint64_t
#include <optional>  // std::optional
#include <string>    // std::string

#include <torch/arg.h>

#include <delve/version.hpp>

// The options of the layers of pca.hpp, and the members that all of them have.

namespace delve {
inline namespace DELVE_ABI {

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
  /// evaluation used. PcaLayer says what an epoch is. Unset: never.
  ///
  /// Delve (Python) 0.1.50 sets it to 20 and reads it nowhere, so that it, too, never projects
  /// gradients by default. Here it does what it did in the program that Delve's layers come from
  /// (MLRichter/phd-lab).
  TORCH_ARG(std::optional<std::int64_t>, gradient_epoch_start) = std::nullopt;

  /// Whether each newly found subspace is reported on stderr.
  TORCH_ARG(bool, verbose) = false;

  /// The control: as many orthonormal directions, drawn at random.
  TORCH_ARG(bool, random_directions) = false;

  /// The seed of the random directions. The same seed gives the same ones on any device.
  TORCH_ARG(std::uint64_t, seed) = 0;
};

/// What Conv2dPCA is made with. As in Delve, it does not centre unless asked to.
struct Conv2dPCAOptions {
  Conv2dPCAOptions(std::int64_t in_filters)  // NOLINT(google-explicit-constructor): as LibTorch's
      : in_filters_(in_filters) {}

  /// C, the number of the input's channels; at least 1.
  TORCH_ARG(std::int64_t, in_filters);

  TORCH_ARG(double, threshold) = 0.99;  ///< As in LinearPCAOptions, like those below.
  TORCH_ARG(bool, keepdim) = true;
  TORCH_ARG(bool, centering) = false;
  TORCH_ARG(std::optional<std::int64_t>, gradient_epoch_start) = std::nullopt;
  TORCH_ARG(bool, verbose) = false;
  TORCH_ARG(bool, random_directions) = false;
  TORCH_ARG(std::uint64_t, seed) = 0;

  /// A size in pixels to which larger inputs are brought, by nearest neighbours, before their
  /// positions are summed: it saves time. Heights and widths below it stay. The data passed on
  /// stays as it is.
  TORCH_ARG(std::optional<std::int64_t>, downsampling) = std::nullopt;
};

/// What LinearPCA and Conv2dPCA have in common; `dynamic_cast` finds them among other modules.
///
/// While it trains, such a layer returns its input and sums its mean and covariance. In
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

}  // namespace DELVE_ABI
}  // namespace delve
