// SPDX-License-Identifier: MIT

#include <memory>
#include <mutex>
#include <vector>

#include <torch/nn/modules/linear.h>
#include <delve/check_layer_sat.hpp>
#include <delve/forward_hook.hpp>
#include <delve/layer_kind.hpp>
#include <delve/statistics.hpp>
#include <delve/writers/function.hpp>
#include <delve/writers/writer_list.hpp>

#include "libraries.hpp"

namespace {

/// A product with a weight of its own, which LibTorch has no module for.
struct MixerImpl : torch::nn::Module {
  torch::Tensor weight = register_parameter("weight", torch::randn({4, 5}));
  torch::Tensor forward(const torch::Tensor& input) { return torch::mm(input, weight); }
};
TORCH_MODULE(Mixer);

struct ModelImpl : torch::nn::Module {
  torch::nn::Linear linear = register_module("linear", torch::nn::Linear(6, 4));
  Mixer mixer = register_module("mixer", Mixer());
};

std::shared_ptr<ModelImpl>& model() {
  static std::shared_ptr<ModelImpl> model = std::make_shared<ModelImpl>();
  return model;
}

delve::RemovableHandle& handle() {
  static delve::RemovableHandle handle;
  return handle;
}

}  // namespace

void plugin_register() {
  delve::register_statistic(
      {"answer", "answer", [](const delve::LayerMeasurement&) { return 42.0; }});
  delve::register_writer("notes", [](const delve::WriterContext&) {
    return std::vector<std::shared_ptr<delve::Writer>>{
        std::make_shared<delve::FunctionWriter>([](const delve::EpochRecord& record) {
          for (const delve::LayerRecord& layer : record.layers) {
            for (const delve::Value& value : layer.values) {
              if (value.stat == "answer") plugin_notes().push_back(value.value);
            }
          }
        })};
  });
  delve::register_layer_kind(
      delve::LayerKind::of<MixerImpl>("Mixer", delve::LayerFamily::Linear)
          .weight_is<&MixerImpl::weight>("weight")
          .run_by({delve::ForwardOperator("aten::mm").input_at(0).weight_at(1)}));
}

std::vector<double>& plugin_notes() {
  static std::vector<double> notes;
  return notes;
}

std::shared_ptr<torch::nn::Module> plugin_model() {
  return model();
}

torch::Tensor plugin_forward(const torch::Tensor& input) {
  return model()->mixer(model()->linear(input));
}

void plugin_hook(int& count) {
  handle() = delve::register_forward_hook(model()->linear,
                                          [&count](const delve::ForwardCall&) { ++count; });
}

void plugin_unhook() {
  handle().remove();
}

void plugin_pause(void* tracker, const std::function<void()>& action) {
  const auto paused = static_cast<delve::CheckLayerSat<>*>(tracker)->paused();
  action();
}
