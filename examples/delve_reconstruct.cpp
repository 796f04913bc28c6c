// SPDX-License-Identifier: MIT

// delve-reconstruct: the table of a run again, from the .npy files that it left, and statistics at
// another threshold from the covariances among them. Needs no LibTorch.

#include <unistd.h>  // isatty

#include <cstddef>     // std::size_t
#include <cstdio>      // stderr
#include <filesystem>  // std::filesystem
#include <optional>    // std::optional
#include <stdexcept>   // std::runtime_error
#include <string>      // std::string
#include <vector>      // std::vector

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <delve/reconstruct.hpp>
#include <delve/writers/csv.hpp>

#include "table_program.hpp"

namespace {

struct Settings {
  std::filesystem::path folder;
  std::optional<std::string> output;
  std::vector<std::string> stats;
  std::optional<double> threshold;
  bool delve_rule = false;
  bool force = false;
};

/// Without --output: beside the folder.
std::string savefile_of(const Settings& settings) {
  if (settings.output) return *settings.output;
  std::filesystem::path folder = std::filesystem::absolute(settings.folder).lexically_normal();
  if (folder.filename().empty()) folder = folder.parent_path();  // "runs/vgg16/"
  return folder.string() + "_reconstructed";
}

void show_progress(std::size_t done, std::size_t total) {
  if (isatty(fileno(stderr)) == 0) return;
  fmt::print(stderr, "\r{}/{} files{}", done, total, done == total ? "\n" : "");
}

void run(const Settings& settings) {
  delve::ReconstructOptions options;
  options.stats = settings.stats;
  if (settings.threshold) {
    if (options.stats.empty()) options.stats = {"lsat", "idim"};
    options.sat_threshold = *settings.threshold;
  }
  if (settings.delve_rule) options.idim_rule = delve::IdimRule::Delve;
  options.on_progress = show_progress;

  const std::string savefile = savefile_of(settings);
  const std::string table = savefile + ".csv";
  if (std::filesystem::exists(table) && !settings.force) {
    throw std::runtime_error(
        fmt::format("\"{}\" is there already; --force replaces it, --output takes another", table));
  }
  const auto records = delve::reconstruct(settings.folder.string(), options);
  std::string fault;
  delve::CsvWriter writer(savefile);
  writer.on_problem([&](std::string_view message) { fault = message; });
  for (const delve::EpochRecord& record : records) writer.write(record);
  writer.close();
  if (!fault.empty()) throw std::runtime_error(fault);
  fmt::print("{} epochs of {}\n", records.size(), writer.path());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Makes the table of a run again from the folder of .npy files that delve's or Delve's npy "
      "writer left: as the numbers were stored, or with statistics computed from the stored "
      "covariances.",
      "delve-reconstruct");
  Settings settings;
  app.add_option("folder", settings.folder, "What holds NAME/NAME_epochN.npy")->required();
  app.add_option("--output", settings.output,
                 "The table without its \".csv\" [the folder's name, then \"_reconstructed\"]");
  app.add_option("--stats", settings.stats,
                 "What to compute: lsat,idim,lsat@0.9,effective_rank,… [with --threshold "
                 "lsat,idim; else nothing]")
      ->delimiter(',');
  app.add_option("--threshold", settings.threshold, "Of explained variance, above 0, at most 1");
  app.add_flag("--delve-rule", settings.delve_rule, "Count dimensions as Delve (Python) does");
  app.add_flag("--force", settings.force, "Replace a table that is there already");
  return examples::run_table_program(app, "delve-reconstruct", argc, argv, [&] { run(settings); });
}
