// SPDX-License-Identifier: MIT

// Draws pictures from a table that delve, or Delve (Python), left: again, in another format, or of
// other statistics; or compares the tables of several runs, a line a run. It writes nothing but the
// pictures that it names.

#include <charconv>      // std::from_chars
#include <cstddef>       // std::size_t
#include <cstdint>       // std::int64_t
#include <cstdio>        // stderr
#include <filesystem>    // std::filesystem::path
#include <set>           // std::set
#include <stdexcept>     // std::runtime_error
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::errc
#include <utility>       // std::move
#include <vector>        // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>
#include <delve/compare_runs.hpp>
#include <delve/picture_format.hpp>
#include <delve/read_table.hpp>
#include <delve/record.hpp>
#include <delve/writers/plot.hpp>

#include "table_program.hpp"

namespace {

struct Settings {
  std::vector<std::string> tables;
  std::string output;
  std::string format = "png";
  std::string epochs = "last";
  delve::PlotOptions plot;
};

void add_options(CLI::App& app, Settings& settings) {
  delve::PlotOptions& plot = settings.plot;
  app.add_option("TABLE", settings.tables,
                 "Table to draw from, as the csv writer leaves it. Several are compared: pictures "
                 "hold a line a table")
      ->required();
  app.add_option("--output", settings.output,
                 "Beginning of the pictures' names [the table's, without .csv; of several: "
                 "comparison, beside the first]");
  app.add_option("--format", settings.format, "Format of the pictures")
      ->check(CLI::IsMember({"png", "svg", "pdf"}))
      ->capture_default_str();
  app.add_option("--stats", plot.stats, "Statistics to draw, such as lsat,idim [all]")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--epochs", settings.epochs,
                 "Epochs that get pictures: last, all, or a number; of several tables last or a "
                 "number")
      ->capture_default_str();
  app.add_flag("--heat-map,!--no-heat-map", plot.heat_map, "Saturation over all epochs [drawn]");
  app.add_flag("--animation", plot.animation, "Saturation over all epochs, in motion, as a GIF");
  app.add_option("--primary-metric", plot.primary_metric, "Scalar whose value titles show");
  app.add_option("--title", plot.title, "Beginning of titles [the last part of --output]");
  app.add_option("--font", plot.font, "Family of fonts")->capture_default_str();
  app.add_option("--font-size", plot.font_size, "In points, 6 to 72")->capture_default_str();
  app.add_option("--width", plot.width, "In pixels; 0: as many as are needed")
      ->capture_default_str();
  app.add_option("--height", plot.height, "In pixels; 0: as many as are needed")
      ->capture_default_str();
  app.add_option("--gnuplot", plot.gnuplot, "Program that draws")->capture_default_str();
}

std::vector<delve::EpochRecord> read_table(const std::string& path) {
  return delve::read_table(
      path, [](std::string_view message) { fmt::print(stderr, "delve-plot: {}\n", message); });
}

void require_stats(const std::vector<std::string>& wanted,
                   const std::vector<delve::EpochRecord>& records) {
  std::set<std::string> known;
  for (const delve::EpochRecord& record : records) {
    for (const delve::LayerRecord& layer : record.layers) {
      for (const delve::Value& value : layer.values) known.insert(value.stat);
    }
  }
  for (const std::string& stat : wanted) {
    if (known.count(stat) > 0) continue;
    throw std::runtime_error(fmt::format("--stats: the table holds no \"{}\"; it holds {}", stat,
                                         fmt::join(known, ", ")));
  }
}

/// Which epochs get pictures of their own.
std::set<std::int64_t> chosen_epochs(const std::string& wanted,
                                     const std::vector<delve::EpochRecord>& records) {
  std::set<std::int64_t> epochs;
  for (const delve::EpochRecord& record : records) epochs.insert(record.epoch);
  if (wanted == "all") return epochs;
  if (wanted == "last") return {*epochs.rbegin()};
  std::int64_t epoch = 0;
  const char* const end = wanted.data() + wanted.size();
  const auto [read_to, error] = std::from_chars(wanted.data(), end, epoch);
  if (error != std::errc() || read_to != end) {
    throw std::runtime_error(
        fmt::format("--epochs is \"{}\"; it must be last, all or the number of an epoch", wanted));
  }
  if (epochs.count(epoch) == 0) {
    throw std::runtime_error(fmt::format("--epochs: the table holds no epoch {}; it holds {} to {}",
                                         epoch, *epochs.begin(), *epochs.rbegin()));
  }
  return {epoch};
}

using examples::without_extension;

void draw_one(const Settings& settings) {
  const std::string& table = settings.tables.front();
  const std::vector<delve::EpochRecord> records = read_table(table);
  require_stats(settings.plot.stats, records);
  const std::set<std::int64_t> epochs = chosen_epochs(settings.epochs, records);
  const std::filesystem::path output =
      settings.output.empty() ? without_extension(table) : std::filesystem::path(settings.output);

  delve::PlotWriter writer(output.string(), settings.plot);
  std::vector<std::string> problems;
  std::size_t pictures = 0;
  writer.on_problem([&](std::string_view message) { problems.emplace_back(message); });
  writer.on_picture([&](const std::string& picture) {
    fmt::print("{}\n", picture);
    ++pictures;
  });
  for (const delve::EpochRecord& record : records) {
    if (epochs.count(record.epoch) > 0) {
      writer.write(record);
    } else {
      writer.remember(record);
    }
  }
  writer.close();
  if (!problems.empty()) {
    throw std::runtime_error(fmt::format("{}", fmt::join(problems, "\n")));
  }
  if (pictures == 0) throw std::runtime_error("there is nothing to draw in these epochs");
}

/// "resnet18, epoch 9, test-accuracy 0.52"
std::string key_of(const std::string& table, const delve::EpochRecord& record,
                   const std::string& metric) {
  std::string key =
      fmt::format("{}, epoch {}", without_extension(table).filename().string(), record.epoch);
  for (const auto& [name, value] : record.scalars) {
    if (name == metric) key += fmt::format(", {} {:.4g}", name, value);
  }
  return key;
}

std::vector<delve::ComparedEpoch> read_runs(const Settings& settings) {
  if (settings.epochs == "all") {
    throw std::runtime_error("--epochs all is for one table; of several, last or a number");
  }
  std::vector<delve::ComparedEpoch> runs;
  for (const std::string& table : settings.tables) {
    const std::vector<delve::EpochRecord> records = read_table(table);
    require_stats(settings.plot.stats, records);
    const std::int64_t epoch = *chosen_epochs(settings.epochs, records).begin();
    for (const delve::EpochRecord& record : records) {
      if (record.epoch != epoch) continue;
      runs.push_back({key_of(table, record, settings.plot.primary_metric), record});
    }
  }
  return runs;
}

void draw_comparison(const Settings& settings) {
  const std::vector<delve::ComparedEpoch> runs = read_runs(settings);
  const std::string output =
      settings.output.empty()
          ? std::filesystem::path(settings.tables.front()).replace_filename("comparison").string()
          : settings.output;
  const std::vector<std::string> pictures = delve::compare_runs(output, runs, settings.plot);
  for (const std::string& picture : pictures) fmt::print("{}\n", picture);
  if (pictures.empty()) throw std::runtime_error("there is nothing to draw in these epochs");
}

void run(Settings settings) {
  settings.plot.format = *delve::picture_format_of(settings.format);
  settings.plot.remove_stale = false;
  if (settings.tables.size() == 1) {
    draw_one(settings);
  } else {
    draw_comparison(settings);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Draws pictures from tables that delve, or Delve (Python), left.");
  Settings settings;
  add_options(app, settings);
  return examples::run_table_program(app, "delve-plot", argc, argv,
                                     [&] { run(std::move(settings)); });
}
