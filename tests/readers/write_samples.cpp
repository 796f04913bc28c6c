// SPDX-License-Identifier: MIT

// What check.py reads.
//
//   write_samples FOLDER        writes a fixed run, stopped and resumed, through the writers for
//                               NumPy, JSON lines and TensorBoard, and what readers must find there
//                               as FOLDER/expected.json; and archives that are large, though mostly
//                               holes, large.npz and wide.npz
//   write_samples --decode FILE prints shape and values of a .npy file as JSON

#include <cmath>        // std::isfinite, std::sin
#include <cstdint>      // std::int64_t, std::uint64_t
#include <cstdio>       // std::fputs
#include <exception>    // std::exception
#include <filesystem>   // std::filesystem
#include <fstream>      // std::ofstream
#include <ios>          // std::streamoff
#include <iostream>     // std::cout
#include <limits>       // std::numeric_limits
#include <memory>       // std::make_shared
#include <string>       // std::string, std::to_string
#include <string_view>  // std::string_view

#include <nlohmann/json.hpp>

#include <delve/detail/formats/zip.hpp>
#include <delve/writers/json.hpp>
#include <delve/writers/npy.hpp>
#include <delve/writers/tensorboard.hpp>

namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kStop = 5;    // the first run does epochs 0 to 4
constexpr std::int64_t kResume = 3;  // the second one goes on from here
constexpr std::int64_t kEnd = 7;

/// A number that tells its run, epoch and place apart from all others. NaN now and then.
double number(int run, std::int64_t epoch, int place) {
  if (epoch == 1 && place == 2) return std::numeric_limits<double>::quiet_NaN();
  return std::sin(1.0 + 100.0 * run + 10.0 * static_cast<double>(epoch) + place);
}

delve::EpochRecord sample(int run, std::int64_t epoch) {
  delve::EpochRecord record{epoch, {}, {}};
  record.scalars = {{"accuracy", number(run, epoch, 0)}, {"../loss: 100%/größe", 1e300}};
  if (epoch >= 2) record.scalars.emplace_back("late", number(run, epoch, 1));
  if (run == 0) record.scalars.emplace_back("first run alone", number(run, epoch, 99));
  int place = 2;
  for (const delve::Mode mode : {delve::Mode::Train, delve::Mode::Eval}) {
    for (const std::string name : {"features-0", "classifier/0"}) {
      delve::LayerRecord layer{name, mode, 6, 100 + epoch, delve::Status::Ok, {}};
      layer.values = {{"lsat", "saturation", number(run, epoch, place)},
                      {"det", "covariance-determinant", -number(run, epoch, place)}};
      Eigen::MatrixXd covariance(6, 6);
      Eigen::MatrixXd eigenvalues(6, 1);
      for (Eigen::Index row = 0; row < 6; ++row) {
        eigenvalues(row, 0) = number(run, epoch, 100 * place + static_cast<int>(row));
        for (Eigen::Index column = 0; column < 6; ++column) {
          covariance(row, column) = eigenvalues(row, 0) + 10 * static_cast<double>(column);
        }
      }
      if (epoch == 0) eigenvalues(5, 0) = -std::numeric_limits<double>::infinity();
      layer.arrays = {
          {"cov", "covariance-matrix", std::make_shared<const Eigen::MatrixXd>(covariance)},
          {"eig", "eigenvalues", std::make_shared<const Eigen::MatrixXd>(eigenvalues)}};
      record.layers.push_back(layer);
      ++place;
    }
  }
  return record;
}

Json json_number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

Json json_array(const Eigen::MatrixXd& values) {
  Json rows = Json::array();
  for (Eigen::Index r = 0; r < values.rows(); ++r) {
    Json row = Json::array();
    for (Eigen::Index c = 0; c < values.cols(); ++c) row.push_back(json_number(values(r, c)));
    rows.push_back(values.cols() == 1 ? row[0] : row);
  }
  return rows;
}

/// The record itself, every number in it, infinities as "inf", NaN as "nan".
Json expected(const delve::EpochRecord& record) {
  Json scalars = Json::array();
  for (const auto& [name, value] : record.scalars) scalars.push_back({name, json_number(value)});
  Json layers = Json::array();
  for (const delve::LayerRecord& layer : record.layers) {
    Json values = Json::array();
    for (const delve::Value& value : layer.values) {
      values.push_back({value.stat, value.quantity, json_number(value.value)});
    }
    Json arrays = Json::array();
    for (const delve::ArrayValue& array : layer.arrays) {
      arrays.push_back({array.stat, array.quantity, json_array(*array.array)});
    }
    layers.push_back({{"layer", layer.layer},
                      {"mode", layer.mode == delve::Mode::Train ? "train" : "eval"},
                      {"width", layer.width},
                      {"samples", layer.samples},
                      {"values", values},
                      {"arrays", arrays}});
  }
  return {{"epoch", record.epoch}, {"scalars", scalars}, {"layers", layers}};
}

template <typename Writer>
void run_twice(const std::string& savefile) {
  Writer first(savefile);
  for (std::int64_t epoch = 0; epoch < kStop; ++epoch) first.write(sample(0, epoch));
  first.close();
  Writer second(savefile, {kResume});
  for (std::int64_t epoch = kResume; epoch < kEnd; ++epoch) second.write(sample(1, epoch));
  second.close();
}

/// An archive of more files than ZIP counts without its extension ZIP64, behind 5 GiB of other
/// data.
void write_large_archive(const std::string& path) {
  constexpr std::uint64_t before = std::uint64_t{5} << 30U;
  constexpr int count = 70'000;
  std::ofstream file(path, std::ios::binary);
  file << "PK\x03\x04";  // by which NumPy knows an archive
  file.seekp(static_cast<std::streamoff>(before));
  delve::detail::ZipWriter archive([&](std::string_view bytes) { file << bytes; }, before);
  for (int i = 0; i < count; ++i) {
    archive.add("n" + std::to_string(i) + ".npy", delve::detail::npy_bytes(i));
  }
  archive.finish();
}

/// An archive of one file whose size ZIP64 alone can tell: 2^32 + 7 zeros.
void write_wide_archive(const std::string& path) {
  constexpr std::uint64_t size = (std::uint64_t{1} << 32U) + 7;
  const delve::detail::ZipEntry entry{"zeros", 0, size, 0};
  const std::string local = delve::detail::zip_local_header(entry);
  const std::string central = delve::detail::zip_central_header(entry);
  std::ofstream file(path, std::ios::binary);
  file << local;
  file.seekp(static_cast<std::streamoff>(local.size() + size));
  file << central << delve::detail::zip_end(1, central.size(), local.size() + size);
}

void write_samples(const std::string& folder) {
  run_twice<delve::NpyWriter>(folder + "/npy");
  delve::NpyWriter(folder + "/npy", {kEnd, true}).close();  // nothing more, but the archive
  write_large_archive(folder + "/large.npz");
  write_wide_archive(folder + "/wide.npz");
  run_twice<delve::JsonWriter>(folder + "/json");
  run_twice<delve::TensorBoardWriter>(folder + "/tensorboard");
  Json epochs = Json::array();
  for (std::int64_t epoch = 0; epoch < kEnd; ++epoch) {
    epochs.push_back(expected(sample(epoch < kResume ? 0 : 1, epoch)));
  }
  std::ofstream(folder + "/expected.json") << epochs.dump(1) << '\n';
}

void decode(const std::string& path) {
  const auto array = delve::detail::parse_npy(delve::detail::read_file(path).value_or(""), path);
  Json rows = Json::array();
  for (Eigen::Index r = 0; r < array.values.rows(); ++r) {
    Json row = Json::array();
    for (Eigen::Index c = 0; c < array.values.cols(); ++c) row.push_back(array.values(r, c));
    rows.push_back(row);
  }
  std::cout << Json{{"shape", array.shape}, {"values", rows}}.dump() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc == 2) {
      write_samples(argv[1]);
    } else if (argc == 3 && std::string(argv[1]) == "--decode") {
      decode(argv[2]);
    } else {
      std::fputs("usage: write_samples FOLDER | write_samples --decode FILE\n", stderr);
      return 2;
    }
  } catch (const std::exception& error) {
    std::fputs((std::string("write_samples: ") + error.what() + "\n").c_str(), stderr);
    return 1;
  }
}
