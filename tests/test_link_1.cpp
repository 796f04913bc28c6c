// SPDX-License-Identifier: MIT

// All of delve in two files of one program: what is not inline fails to link, and what a process
// has once must be the same for both.

#include <algorithm>  // std::count
#include <string>     // std::string
#include <vector>     // std::vector

#include <torch/nn/modules/linear.h>
#include <torch/utils.h>
#include <delve/delve.hpp>

#include "catch.hpp"
#include "test_link.hpp"

namespace {

TEST_CASE("A writer registered in one file is known in the other", "[link]") {
  elsewhere::register_writer("elsewhere");
  const std::vector<std::string> keys = delve::writer_keys();
  CHECK(std::count(keys.begin(), keys.end(), "elsewhere") == 1);
  CHECK(keys == elsewhere::writer_keys());
  // By one file for all, which is another one where these are told that it is (writers.cpp).
  CHECK(std::count(keys.begin(), keys.end(), "csv") == 1);
}

TEST_CASE("A module is hooked from both files at once", "[link]") {
  torch::nn::Linear module(3, 2);
  int here = 0;
  int there = 0;
  auto first = delve::register_forward_hook(module, [&](const delve::ForwardCall&) { ++here; });
  auto second = elsewhere::count_forwards(module, there);
  module->forward(torch::ones({4, 3}));
  first.remove();
  module->forward(torch::ones({4, 3}));
  CHECK(here == 1);
  CHECK(there == 2);
}

}  // namespace
