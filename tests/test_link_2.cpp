// SPDX-License-Identifier: MIT

#include <memory>  // std::shared_ptr
#include <string>  // std::string
#include <vector>  // std::vector

#include <torch/nn/modules/linear.h>
#include <delve/delve.hpp>

#include "test_link.hpp"

namespace elsewhere {

void register_writer(const std::string& key) {
  delve::register_writer(key, [](const delve::WriterContext&) {
    return std::vector<std::shared_ptr<delve::Writer>>();
  });
}

std::vector<std::string> writer_keys() {
  return delve::writer_keys();
}

delve::RemovableHandle count_forwards(const torch::nn::Linear& module, int& count) {
  return delve::register_forward_hook(module, [&count](const delve::ForwardCall&) { ++count; });
}

}  // namespace elsewhere
