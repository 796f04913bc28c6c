// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::int64_t
#include <filesystem>   // std::filesystem
#include <fstream>      // std::ifstream, std::ofstream
#include <iterator>     // std::istreambuf_iterator
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::pair
#include <vector>       // std::vector

#include <delve/record.hpp>

namespace delve_test {

/// A layer with values of lsat and, where there is a second one, idim.
inline delve::LayerRecord layer(const std::string& name, delve::Mode mode,
                                const std::vector<double>& values) {
  delve::LayerRecord record{name, mode, 8, 1000, delve::Status::Ok, {}};
  if (!values.empty())
    record.values.push_back({"lsat", "saturation", values[0], delve::ValueKind::Saturation});
  if (values.size() > 1) {
    record.values.push_back(
        {"idim", "intrinsic-dimensionality", values[1], delve::ValueKind::Count});
  }
  return record;
}

inline delve::EpochRecord record(std::int64_t epoch,
                                 std::vector<std::pair<std::string, double>> scalars,
                                 std::vector<delve::LayerRecord> layers) {
  return {epoch, std::move(scalars), std::move(layers)};
}

/// What a layer sees of an input of 32 × 32, the same on both axes; a negative length: everything.
inline delve::LayerField field(const std::string& layer, std::int64_t least, std::int64_t most,
                               bool is_border) {
  delve::LayerField field;
  field.layer = layer;
  field.kind = "Conv2d";
  field.output = {1, 4, 8, 8};
  field.is_map = true;
  field.is_border = is_border;
  for (int i = 0; i < 2; ++i) {
    delve::AxisField& axis = field.axes.emplace_back();
    axis.input = 32;
    axis.size = 8;
    if (least >= 0) axis.least = least;
    if (most >= 0) axis.most = most;
    axis.largest_finite = most >= 0 ? most : 99;
    axis.stride = 4;
  }
  return field;
}

/// A writer of whose reports none is lost.
template <typename Writer, typename Options>
struct Watched {
  explicit Watched(const std::filesystem::path& savefile, const Options& options = {})
      : writer(savefile.string(), options) {
    writer.on_problem([this](std::string_view message) { messages.emplace_back(message); });
  }

  std::vector<std::string> messages;
  Writer writer;
};

/// A folder of a test's own that is not there yet.
inline std::filesystem::path fresh_folder(const std::filesystem::path& folder) {
  std::filesystem::remove_all(folder);
  return folder;
}

/// Writes a file of these bytes, and makes the folders above it.
inline void put(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

/// All bytes of a file; none where there is no such file.
inline std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace delve_test
