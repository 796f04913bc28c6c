// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>     // std::sort
#include <cstdint>       // std::int64_t
#include <filesystem>    // std::filesystem
#include <memory>        // std::make_shared
#include <optional>      // std::optional
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code
#include <tuple>         // std::tie
#include <vector>        // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/formats/npy.hpp>
#include <delve/detail/formats/zip.hpp>
#include <delve/detail/os/files.hpp>
#include <delve/detail/os/os.hpp>
#include <delve/detail/support/file_names.hpp>
#include <delve/detail/support/initial_epoch.hpp>
#include <delve/detail/support/writer_args.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>

namespace delve {
inline namespace DELVE_ABI {

struct NpyOptions {
  /// The first epoch to come. Files that an earlier run wrote for this epoch and later ones are
  /// removed at construction.
  std::int64_t initial_epoch = 0;
  /// Whether to make an archive of the folder's arrays, SAVEFILE.npz, at the end. NumPy opens it:
  /// numpy.load("SAVEFILE.npz")["NAME/NAME_epochN"].
  bool zip = false;
};

/// Writes every number and array of an epoch to a NumPy file of its own, float64,
/// SAVEFILE/NAME/NAME_epochN.npy: scalars as shape (), vectors as (n,), matrices as (r, c). NAME is
/// the name of add_scalar() or value_name(), in which '/', '%', control characters and a leading
/// '.' are percent-encoded. A missing number (NaN) has no file.
///
/// Each file is replaced whole or not at all. One that cannot be written is not tried again; a
/// fault that repeats is reported once, and counted at the end.
class NpyWriter final : public Writer {
 public:
  /// Makes the folder, and removes from it what an earlier run wrote for the epochs to come: files
  /// NAME/NAME_epochN.npy, nothing else.
  /// @throws std::invalid_argument for a bad option; std::runtime_error if the folder cannot be
  ///   made, or such a file cannot be removed
  explicit NpyWriter(const std::string& savefile, const NpyOptions& options = {})
      : folder_(detail::path_of(detail::prepare_savefile(savefile))), makes_archive_(options.zip) {
    const std::int64_t initial_epoch = detail::checked_initial_epoch(options.initial_epoch);
    detail::make_parent_folders(detail::text_of(folder_ / "NAME"));
    remove_epochs_from(initial_epoch);
  }

  /// The folder that is written to, as an absolute path.
  [[nodiscard]] std::string path() const { return detail::text_of(folder_); }

 protected:
  void write_epoch(const EpochRecord& record) override {
    std::error_code error;
    const bool is_gone = !std::filesystem::exists(folder_, error) && !error;
    if (is_gone) {
      report(fmt::format(
          "\"{}\" was removed by another process and is made anew; the arrays that were in it are "
          "gone",
          detail::text_of(folder_)));
    }
    for (const auto& [name, value] : record.scalars) {
      if (!is_missing(value)) save(name, record.epoch, detail::npy_bytes(value));
    }
    for (const LayerRecord& layer : record.layers) {
      for (const Value& value : layer.values) {
        if (is_missing(value.value)) continue;
        save(value_name(layer.mode, value.quantity, layer.layer), record.epoch,
             detail::npy_bytes(value.value));
      }
      for (const ArrayValue& array : layer.arrays) {
        save(value_name(layer.mode, array.quantity, layer.layer), record.epoch,
             detail::npy_bytes(*array.array));
      }
    }
  }

  void finish() override {
    if (makes_archive_) make_archive();
  }

 private:
  void save(const std::string& name, std::int64_t epoch, std::string_view bytes) {
    const std::string file_name = detail::file_name_of(name);
    const std::string path =
        detail::text_of(folder_ / detail::path_of(file_name) /
                        detail::path_of(detail::array_file_name(file_name, epoch)));
    try {
      detail::make_parent_folders(path);
      detail::replace_file(path, bytes);
    } catch (const detail::FileError& error) {
      report_once(error.reason(),
                  fmt::format("{}; arrays failing for this reason are skipped", error.what()),
                  "arrays in all were not written because of");
    }
  }

  /// The epoch of a file whose name is one of this writer's; nothing for any other file.
  static std::optional<std::int64_t> epoch_of(const std::string& file, const std::string& folder) {
    const auto epoch = detail::epoch_of_array_file(file, folder);
    return detail::name_of_file(folder) ? epoch : std::nullopt;
  }

  /// A file that this writer named, now or in an earlier run.
  struct OwnArray {
    std::string folder;  ///< NAME
    std::int64_t epoch;
    std::filesystem::path path;
  };

  /// Links are not followed: what lies behind them is not ours.
  /// @param action what the folder is read for, for the message if it is unreadable
  [[nodiscard]] std::vector<OwnArray> own_arrays(std::string_view action) const {
    namespace fs = std::filesystem;
    std::vector<OwnArray> arrays;
    try {
      for (const fs::directory_entry& folder : fs::directory_iterator(folder_)) {
        if (!fs::is_directory(folder.symlink_status())) continue;
        const std::string name = detail::text_of(folder.path().filename());
        for (const fs::directory_entry& file : fs::directory_iterator(folder)) {
          if (!fs::is_regular_file(file.symlink_status())) continue;
          const std::optional<std::int64_t> epoch =
              epoch_of(detail::text_of(file.path().filename()), name);
          if (epoch) arrays.push_back({name, *epoch, file.path()});
        }
      }
    } catch (const fs::filesystem_error& error) {
      throw detail::FileError(action, detail::text_of(folder_), error.code().message());
    }
    return arrays;
  }

  void remove_epochs_from(std::int64_t initial_epoch) const {
    constexpr std::string_view action = "remove old arrays from";
    for (const OwnArray& array : own_arrays(action)) {
      std::error_code error;
      if (array.epoch >= initial_epoch) std::filesystem::remove(array.path, error);
      if (error) throw detail::FileError(action, detail::text_of(folder_), error.message());
    }
  }

  void make_archive() const {
    std::error_code ignored;
    if (!std::filesystem::is_directory(folder_, ignored)) return;
    std::vector<OwnArray> arrays = own_arrays("read the folder");
    std::sort(arrays.begin(), arrays.end(), [](const OwnArray& a, const OwnArray& b) {
      return std::tie(a.folder, a.epoch) < std::tie(b.folder, b.epoch);
    });
    detail::PendingFile file(detail::text_of(folder_) + ".npz");
    detail::ZipWriter archive([&](std::string_view bytes) { file.write(bytes); });
    for (const OwnArray& array : arrays) {
      // One that was removed meanwhile is left out.
      const std::optional<std::string> bytes = detail::read_file(detail::text_of(array.path));
      if (!bytes) continue;
      archive.add(array.folder + "/" + detail::array_file_name(array.folder, array.epoch), *bytes);
    }
    archive.finish();
    file.commit();
  }

  std::filesystem::path folder_;
  bool makes_archive_;
};

namespace detail {

/// Makes the key known.
inline bool register_npy() {
  const auto make = [](const WriterContext& context) {
    NpyOptions options{context.initial_epoch};
    if (const auto found = context.args.find("zip"); found != context.args.end()) {
      options.zip = bool_arg(found->first, found->second);
    }
    return Writers{std::make_shared<NpyWriter>(context.savefile, options)};
  };
  register_writer("npy", make, {"zip"});
  return true;
}

#ifndef DELVE_REGISTERED_ELSEWHERE
inline const bool npy_is_registered = register_npy();
#endif

}  // namespace detail

}  // namespace DELVE_ABI
}  // namespace delve
