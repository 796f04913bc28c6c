// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::sort
#include <cstdint>      // std::int64_t
#include <filesystem>   // std::filesystem
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <delve/detail/formats/npy.hpp>
#include <delve/detail/os/files.hpp>
#include <delve/detail/os/os.hpp>
#include <delve/detail/reading/value_name.hpp>
#include <delve/detail/support/file_names.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A file of a tree that NpyWriter or Delve (Python) left.
struct StoredArray {
  std::string path;
  std::int64_t epoch;
  std::string name;                  ///< "train-saturation_features-0", "accuracy"
  std::optional<StatColumn> column;  ///< unset: a scalar of the user's
};

/// All files of a tree, by epoch; in each the scalars, then the layers, those of training first.
/// Files with other names are left out.
/// @throws std::runtime_error where the folder cannot be read
inline std::vector<StoredArray> stored_arrays(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<StoredArray> arrays;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(path_of(folder))) {
      if (!entry.is_directory()) continue;
      const std::string folder_name = text_of(entry.path().filename());
      const std::string name = name_of_file(folder_name).value_or(folder_name);
      for (const fs::directory_entry& file : fs::directory_iterator(entry)) {
        const auto epoch = epoch_of_array_file(text_of(file.path().filename()), folder_name);
        if (epoch) arrays.push_back({text_of(file.path()), *epoch, name, stat_column(name)});
      }
    }
  } catch (const fs::filesystem_error& error) {
    throw FileError("read the folder", folder, error.code().message());
  }
  std::sort(arrays.begin(), arrays.end(), [](const StoredArray& a, const StoredArray& b) {
    if (a.epoch != b.epoch) return a.epoch < b.epoch;
    if (a.column.has_value() != b.column.has_value()) return !a.column;
    if (!a.column) return a.name < b.name;
    if (a.column->mode != b.column->mode) return a.column->mode < b.column->mode;
    if (a.column->layer != b.column->layer) return is_before(a.column->layer, b.column->layer);
    return a.column->quantity < b.column->quantity;
  });
  return arrays;
}

inline NpyArray read_stored(const StoredArray& array) {
  return parse_npy(read_file(array.path).value_or(""), array.path);
}

/// The stored files of one layer in one mode and epoch.
using StoredLayer = std::vector<StoredArray>;

inline const StoredArray* find_array(const StoredLayer& layer, std::string_view quantity) {
  for (const StoredArray& array : layer) {
    if (array.column->quantity == quantity) return &array;
  }
  return nullptr;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
