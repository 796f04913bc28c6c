// SPDX-License-Identifier: MIT
#include "data.hpp"

std::string delve_test::data(const std::string& name) {
  return DELVE_TEST_DATA "/" + name;
}
