// SPDX-License-Identifier: MIT
#pragma once

#include <string>  // std::string

namespace delve_test {

/// Where a file or folder of tests/data is. Compiled by itself: what names a folder is compiled
/// anew in every clone.
std::string data(const std::string& name);

}  // namespace delve_test
