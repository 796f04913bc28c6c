// SPDX-License-Identifier: MIT

// A main() for the fuzz targets without libFuzzer: gives one of them each file of the folders and
// files named on the command line once.
//
//   fuzz_replay TARGET FILE...

#include <algorithm>   // std::sort
#include <cstdlib>     // EXIT_FAILURE, EXIT_SUCCESS
#include <filesystem>  // std::filesystem
#include <iostream>    // std::cerr, std::cout
#include <string>      // std::string
#include <vector>      // std::vector

#include "fuzz.hpp"
#include "records.hpp"

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  const delve_fuzz::Target take = delve_fuzz::target(argc > 1 ? argv[1] : "");
  std::vector<std::string> inputs;
  for (int i = 2; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      inputs.emplace_back(argv[i]);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(argv[i])) {
      inputs.push_back(entry.path().string());
    }
  }
  std::sort(inputs.begin(), inputs.end());
  if (inputs.empty()) {
    std::cerr << "expected the files to read, or folders that hold them; found none\n";
    return EXIT_FAILURE;
  }
  for (const std::string& input : inputs) {
    // Before it is read, so that it is the last line where it crashes.
    std::cout << input << std::endl;
    const std::string bytes = delve_test::read(input);
    take(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  std::cout << inputs.size() << " inputs\n";
  return EXIT_SUCCESS;
}
