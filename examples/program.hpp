// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>     // std::uint64_t
#include <cstdio>      // stderr
#include <cstdlib>     // EXIT_FAILURE, EXIT_SUCCESS
#include <exception>   // std::exception
#include <filesystem>  // std::filesystem::path
#include <limits>      // std::numeric_limits

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <torch/utils.h>
#include <CLI/CLI.hpp>

namespace examples {

/// What every example lets be chosen. An example sets the defaults; the command line comes after.
struct Settings {
  std::filesystem::path output;
  int epochs = 1;
  double learning_rate = 1e-3;
  std::uint64_t seed = 0;
  int threads = 0;
};

inline CLI::Range at_least_one() {
  return {1, std::numeric_limits<int>::max()};
}

inline void add_options(CLI::App& app, Settings& settings) {
  app.add_option("--output", settings.output, "Folder for the table and the plots")
      ->capture_default_str();
  app.add_option("--epochs", settings.epochs, "Epochs")
      ->check(at_least_one())
      ->capture_default_str();
  app.add_option("--learning-rate", settings.learning_rate, "Adam's")->capture_default_str();
  app.add_option("--seed", settings.seed, "Of weights, order and dropout")->capture_default_str();
  app.add_option("--threads", settings.threads, "Threads on the CPU; 0: LibTorch decides")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

/// Has LibTorch take over the seed and the number of threads.
inline void apply(const Settings& settings) {
  torch::manual_seed(settings.seed);
  if (settings.threads > 0) torch::set_num_threads(settings.threads);
}

/// Reads the command line, then calls `run`. What goes wrong is said in a line.
/// @return what main() shall return
template <typename Run>
int run_program(CLI::App& app, int argc, char** argv, const Run& run) {
  try {
    app.parse(argc, argv);
    run();
  } catch (const CLI::ParseError& error) {  // --help, too, is one
    return app.exit(error) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
  } catch (const c10::Error& error) {
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what_without_backtrace());
    return EXIT_FAILURE;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

}  // namespace examples
