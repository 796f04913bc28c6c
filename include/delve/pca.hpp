// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::replace
#include <cmath>        // NAN
#include <cstdint>      // std::int64_t, std::uint64_t
#include <set>          // std::set
#include <string>       // std::string
#include <type_traits>  // std::conditional_t, std::is_const_v
#include <vector>       // std::vector

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <delve/detail/pca/pca_impl.hpp>
#include <delve/detail/pca/pca_kinds.hpp>
#include <delve/pca_layer.hpp>
#include <delve/version.hpp>

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
inline namespace DELVE_ABI {

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
  std::string layer;  ///< "features-1"; its kind, where the model itself is the layer
  std::int64_t dimensions_in;
  std::int64_t dimensions_kept;  ///< 0 before any data, too
  double saturation;             ///< dimensions_kept / dimensions_in; NaN before any data
};

/// Of all PCA layers of a model, in the order of their registration: the lists that Delve's
/// change_all_pca_layer_… functions return, whose saturation is in percent. Waits for the device,
/// and solves for eigenvectors where there is new data; therefore not thread-safe.
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

}  // namespace DELVE_ABI
}  // namespace delve
