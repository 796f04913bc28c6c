// SPDX-License-Identifier: MIT

// Built with the single header for <delve/delve.hpp>, asking here for all that it may leave out,
// and in test_link_2.cpp for nothing of that.

#define DELVE_WITH_JSON
#define DELVE_WITH_TENSORBOARD
#include "test_link_1.cpp"

namespace {

TEST_CASE("A single header brings the writers that are asked for", "[link]") {
  const std::vector<std::string> keys = elsewhere::writer_keys();
  CHECK(std::count(keys.begin(), keys.end(), "json") == 1);
  CHECK(std::count(keys.begin(), keys.end(), "tensorboard") == 1);
}

}  // namespace
