// SPDX-License-Identifier: MIT
// One program of three shared libraries that use delve and hide their symbols: two with one
// version, which share what is registered, and one with another, which has its own.

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <vector>

#include <torch/types.h>

#include "libraries.hpp"

namespace {

int faults = 0;

template <typename A, typename B>
void expect(const char* what, const A& found, const B& expected) {
  std::cout << what << ": " << found << '\n';
  if (found == expected) return;
  std::cout << "  expected " << expected << '\n';
  ++faults;
}

}  // namespace

int main() {
  torch::manual_seed(0);
  plugin_register();
  int hooked = 0;
  plugin_hook(hooked);
  const Trainer here = trainer();
  const Trainer next = trainer_of_next_version();
  expect("another version", std::strcmp(here.version, next.version) != 0, true);

  here.begin();
  next.begin();
  for (int i = 0; i < 3; ++i) plugin_forward(torch::randn({50, 6}));
  plugin_pause(here.tracker(), [] { plugin_forward(torch::randn({50, 6})); });
  const std::vector<double> found = here.end();
  const std::vector<double> of_next = next.end();

  expect("forwards that the plugin's hook saw", hooked, 4);
  expect("layers of the trainer: the Linear, and that of the plugin's kind", found.size() / 2, 2U);
  expect("data points: the plugin's guard paused one forward", found.at(1), 150);
  expect("those of the plugin's kind", found.at(3), 150);
  expect("what the plugin's writer was given of the plugin's statistic", plugin_notes().size(), 2U);
  expect("its value", plugin_notes().at(0), 42);
  expect("layers of the other version: the Linear alone", of_next.size() / 2, 1U);
  expect("its data points, paused by nothing", of_next.at(1), 200);
  expect("its saturation", of_next.at(0), found.at(0));

  plugin_unhook();
  plugin_forward(torch::randn({50, 6}));
  expect("forwards seen after the hook went", hooked, 4);
  return faults == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
