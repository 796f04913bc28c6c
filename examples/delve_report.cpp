// SPDX-License-Identifier: MIT

// Writes a page from a table that delve, or Delve (Python), left: whether the last layers
// contribute, and what to change. Of several tables the page shows the runs side by side, compared
// with the first.

#include <cstddef>       // std::size_t
#include <cstdio>        // stderr
#include <filesystem>    // std::filesystem::path
#include <iostream>      // std::cout
#include <set>           // std::set
#include <stdexcept>     // std::runtime_error
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code
#include <vector>        // std::vector

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <delve/read_table.hpp>
#include <delve/report.hpp>
#include <delve/verdict.hpp>

#include "table_program.hpp"

namespace {

struct Settings {
  std::vector<std::string> tables;
  std::vector<std::string> names;
  std::string output;
  std::string title;
};

void add_options(CLI::App& app, Settings& settings) {
  app.add_option("TABLE", settings.tables,
                 "Table to report on, as the csv writer leaves it. Of several, the others are "
                 "compared with the first")
      ->required();
  app.add_option("-o,--output", settings.output, "The page [report.html, beside the first table]");
  app.add_option("--names", settings.names,
                 "What the runs are called, such as before,after [as the tables are]")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--title", settings.title, "Title of the page [the names of the runs]");
}

/// What the runs are called: as their tables are, or by their paths where two tables share a name.
std::vector<std::string> names_of(const std::vector<std::string>& tables) {
  std::vector<std::string> names;
  std::vector<std::string> paths;
  for (const std::string& table : tables) {
    const std::filesystem::path path = examples::without_extension(table);
    names.push_back(path.filename().string());
    paths.push_back(path.string());
  }
  return std::set<std::string>(names.begin(), names.end()).size() == names.size() ? names : paths;
}

void run(const Settings& settings) {
  if (!settings.names.empty() && settings.names.size() != settings.tables.size()) {
    throw std::runtime_error(fmt::format("--names holds {} names for {} tables",
                                         settings.names.size(), settings.tables.size()));
  }
  const std::vector<std::string> names =
      settings.names.empty() ? names_of(settings.tables) : settings.names;
  std::vector<delve::ReportedRun> runs;
  std::string title;
  for (std::size_t i = 0; i < settings.tables.size(); ++i) {
    const std::string& table = settings.tables[i];
    const std::string& name = names[i];
    runs.push_back({name, delve::read_table(table, [](std::string_view message) {
                      fmt::print(stderr, "delve-report: {}\n", message);
                    })});
    title += (title.empty() ? "" : ", ") + name;
  }
  const std::string output =
      settings.output.empty()
          ? std::filesystem::path(settings.tables.front()).replace_filename("report.html").string()
          : settings.output;
  delve::write_report(output, settings.title.empty() ? title : settings.title, runs);
  for (const delve::ReportedRun& it : runs) {
    std::cout << it.name << ": " << delve::verdict(it.records);
  }
  fmt::print("{}\n", output);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Writes a page from tables that delve, or Delve (Python), left.");
  Settings settings;
  add_options(app, settings);
  return examples::run_table_program(app, "delve-report", argc, argv, [&] { run(settings); });
}
