// SPDX-License-Identifier: MIT
#pragma once

#include <string>  // std::string
#include <vector>  // std::vector

#include <torch/nn/modules/linear.h>
#include <delve/delve.hpp>
#if __has_include(<delve/pca.hpp>)  // not where all of delve is in one header
#include <delve/pca.hpp>
#include <delve/reconstruct.hpp>
#endif

/// What test_link_2.cpp does with its delve, for test_link_1.cpp to see in its own.
namespace elsewhere {

void register_writer(const std::string& key);
std::vector<std::string> writer_keys();
delve::RemovableHandle count_forwards(const torch::nn::Linear& module, int& count);

}  // namespace elsewhere
