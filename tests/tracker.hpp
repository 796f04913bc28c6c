// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::int64_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <torch/torch.h>

#include <delve/check_layer_sat.hpp>
#include <delve/detail/verdict/judge.hpp>

namespace delve_test {

struct NetImpl : torch::nn::Module {
  torch::nn::Conv2d conv =
      register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(2, 6, 3)));
  torch::nn::Linear fc = register_module("fc", torch::nn::Linear(96, 5));

  torch::Tensor forward(const torch::Tensor& input) {
    return fc(torch::relu(conv(input)).flatten(1));
  }
};
TORCH_MODULE(Net);

inline torch::Tensor pictures(std::int64_t count = 64) {
  return torch::randn({count, 2, 6, 6});
}

/// Options that gather what is told, so that a test can read it.
inline delve::CheckLayerSatOptions quiet(std::vector<std::string>* messages = nullptr) {
  return delve::CheckLayerSatOptions().nosave(true).on_warning(
      [messages](std::string_view message) {
        if (messages != nullptr) messages->emplace_back(message);
      });
}

inline const delve::LayerRecord* find(const delve::EpochRecord& record, const std::string& layer,
                                      delve::Mode mode) {
  for (const delve::LayerRecord& it : record.layers) {
    if (it.layer == layer && it.mode == mode) return &it;
  }
  return nullptr;
}

/// A statistic of a layer; missing where the record has none.
inline double value(const delve::EpochRecord& record, const std::string& layer, delve::Mode mode,
                    const std::string& stat) {
  const delve::LayerRecord* found = find(record, layer, mode);
  return found == nullptr ? delve::missing_value() : delve::detail::value_of(*found, stat);
}

}  // namespace delve_test
