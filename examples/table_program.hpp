// SPDX-License-Identifier: MIT
#pragma once

// What the programs for what a run has left have in common. Nothing of LibTorch.

#include <cstdio>      // stderr
#include <cstdlib>     // EXIT_FAILURE, EXIT_SUCCESS
#include <exception>   // std::exception
#include <filesystem>  // std::filesystem::path
#include <string>      // std::string

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace examples {

/// The name without ".csv".
inline std::filesystem::path without_extension(std::filesystem::path table) {
  return table.extension() == ".csv" ? table.replace_extension() : table;
}

/// Reads the command line, then calls `run`. What goes wrong is said in a line.
/// @param name the program's
/// @return what main() shall return
template <typename Run>
int run_table_program(CLI::App& app, const std::string& name, int argc, char** argv,
                      const Run& run) {
  try {
    app.parse(argc, argv);
    run();
  } catch (const CLI::ParseError& error) {  // --help, too, is one
    return app.exit(error) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", name, error.what());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

}  // namespace examples
