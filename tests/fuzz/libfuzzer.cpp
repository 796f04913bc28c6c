// SPDX-License-Identifier: MIT

// What libFuzzer calls: the target that the program is named after. run.sh links it to each name.

#include <cstdlib>     // std::exit, EXIT_FAILURE
#include <exception>   // std::exception
#include <filesystem>  // std::filesystem::path
#include <iostream>    // std::cerr

#include "fuzz.hpp"

namespace {

delve_fuzz::Target chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(const int* /*argc*/, char*** argv) {
  try {
    chosen = delve_fuzz::target(std::filesystem::path((*argv)[0]).filename().string());
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    std::exit(EXIT_FAILURE);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return chosen(data, size);
}
