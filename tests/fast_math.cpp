// SPDX-License-Identifier: MIT

// Writes what the writers make of numbers that are missing or infinite into a folder. Compiled
// twice, as it is and with -Ofast -ffast-math: test fast_math compares the files byte for byte.
// TensorBoard's are left out, since they hold the time.

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <Eigen/Core>

#include <delve/detail/formats/histogram.hpp>
#include <delve/detail/plot/heat_map_script.hpp>
#include <delve/detail/plot/history.hpp>
#include <delve/detail/plot/layer_script.hpp>
#include <delve/detail/plot/plot_data.hpp>
#include <delve/read_table.hpp>
#include <delve/record.hpp>
#include <delve/spectrum.hpp>
#include <delve/statistics.hpp>
#include <delve/writers/console.hpp>
#include <delve/writers/csv.hpp>
#include <delve/writers/json.hpp>
#include <delve/writers/npy.hpp>

namespace {

using delve::Mode;

/// All statistics of a layer whose sums are exact, so that no order of additions matters.
delve::LayerRecord layer(const std::string& name, Mode mode, const Eigen::VectorXd& eigenvalues) {
  std::vector<delve::Statistic> statistics;
  for (const char* stat : {"lsat", "idim", "trc", "dtrc", "det", "logdet", "explained@2", "curve",
                           "eigenvalues", "stable_rank"}) {
    statistics.push_back(delve::find_statistic(stat));
  }
  delve::LayerRecord record{name, mode, eigenvalues.size(), 64, delve::Status::Ok, {}};
  const delve::Spectrum spectrum(eigenvalues, eigenvalues.size());
  delve::detail::read_off({spectrum, spectrum.total(), 64, 0.5, delve::IdimRule::ExplainedVariance},
                          statistics, record, [](const auto&, auto) { std::abort(); });
  return record;
}

std::vector<delve::EpochRecord> records() {
  const double infinity = delve::detail::infinity();
  std::vector<delve::EpochRecord> all;
  for (int epoch = 0; epoch < 3; ++epoch) {
    delve::EpochRecord record{epoch, {{"loss", 0.5}}, {}};
    record.scalars.emplace_back("missing", delve::missing_value());
    record.scalars.emplace_back("infinite", epoch == 1 ? -infinity : infinity);
    record.layers.push_back(layer("varied", Mode::Train, Eigen::Vector4d(4, 2, 1, 1)));
    record.layers.push_back(layer("constant", Mode::Train, Eigen::Vector4d::Zero()));
    record.layers.push_back(layer("flat", Mode("acting"), Eigen::Vector2d(2, 0)));
    delve::LayerRecord empty{"empty", Mode::Eval, 0, 0, delve::Status::NoData, {}};
    empty.values.push_back(
        {"lsat", "saturation", delve::missing_value(), delve::ValueKind::Saturation});
    record.layers.push_back(empty);
    all.push_back(std::move(record));
  }
  return all;
}

/// What a script says of numbers that are missing. Its coordinates may differ in the last digit.
std::string gaps_in(const std::string& script) {
  std::string places;
  for (std::size_t at = 0; (at = script.find(" NaN\n", at)) != std::string::npos; ++at) {
    places += script.substr(script.rfind('\n', at), at - script.rfind('\n', at));
  }
  const bool is_odd =
      script.find("inf") != std::string::npos || script.find("nan") != std::string::npos;
  return places + (is_odd ? " and more\n" : "\n");
}

}  // namespace

int main(int, char** argv) {
  const std::string folder = argv[1];
  const std::string savefile = folder + "/run";
  std::vector<std::shared_ptr<delve::Writer>> writers = {
      std::make_shared<delve::CsvWriter>(savefile), std::make_shared<delve::JsonWriter>(savefile),
      std::make_shared<delve::NpyWriter>(savefile)};
  std::ofstream console(folder + "/console.txt");
  writers.push_back(std::make_shared<delve::ConsoleWriter>(delve::ConsoleOptions{&console}));
  std::ofstream scripts(folder + "/scripts.txt");
  delve::detail::History history;
  for (const delve::EpochRecord& record : records()) {
    for (const auto& writer : writers) writer->write(record);
    for (const Mode mode : delve::modes_of(record)) {
      for (const delve::detail::PlotData& data : delve::detail::plot_data(record, mode)) {
        scripts << data.stat << delve::detail::has_points(data)
                << gaps_in(delve::detail::layer_script(delve::detail::png_picture, {"run"}, mode,
                                                       {data.quantity, data.kind}, data.layers,
                                                       {{record.epoch, "", data.values}}));
        if (data.stat == "lsat") history.add(record.epoch, "", data);
      }
    }
  }
  for (const auto& writer : writers) writer->close();
  scripts << gaps_in(
      delve::detail::heat_map_script(delve::detail::svg_picture, {"run"}, Mode::Train,
                                     {"saturation", delve::ValueKind::Saturation}, history));
  const auto histogram = delve::detail::histogram_of(
      Eigen::Vector3d(delve::missing_value(), delve::detail::infinity(), 2));
  scripts << histogram->min << ' ' << histogram->max << ' ' << histogram->count << '\n';
  // What was written is read back as it was.
  for (const delve::EpochRecord& record : delve::read_table(savefile + ".csv")) {
    for (const auto& [name, value] : record.scalars) {
      scripts << fmt::format("{} {}\n", name, delve::detail::number_text(value));
    }
    for (const delve::LayerRecord& read : record.layers) {
      for (const delve::Value& value : read.values) {
        scripts << fmt::format("{} {} {} {}\n", to_string(read.mode), read.layer, value.stat,
                               delve::detail::number_text(value.value));
      }
    }
  }
  return scripts.good() && console.good() ? EXIT_SUCCESS : EXIT_FAILURE;
}
