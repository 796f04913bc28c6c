// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>  // lseek, pread

#include <chrono>        // std::chrono::hours
#include <cstdint>       // std::int64_t
#include <cstdio>        // SEEK_END
#include <filesystem>    // std::filesystem
#include <map>           // std::map
#include <memory>        // std::make_shared
#include <optional>      // std::optional
#include <stdexcept>     // std::runtime_error
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code
#include <utility>       // std::exchange
#include <vector>        // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/formats/npy.hpp>
#include <delve/detail/os/files.hpp>
#include <delve/detail/os/process.hpp>
#include <delve/detail/support/file_names.hpp>
#include <delve/detail/support/initial_epoch.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/support/writer_args.hpp>
#include <delve/record.hpp>
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>

namespace delve {

struct NpyOptions {
  /// The first epoch to come. Files that a run before wrote of this epoch and later ones are
  /// removed at construction.
  std::int64_t initial_epoch = 0;
  /// Whether to make an archive of the folder, SAVEFILE.zip, at the end.
  bool zip = false;
  /// The program that makes it, Info-ZIP's: a name to be found in PATH, or a path.
  std::string zip_program = "zip";
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
  /// Makes the folder, and removes from it what a run before wrote of the epochs to come: files
  /// NAME/NAME_epochN.npy, nothing else. Looks for zip where it is needed.
  /// @throws std::invalid_argument for a bad option; std::runtime_error if the folder cannot be
  ///   made, or such a file not be removed
  explicit NpyWriter(const std::string& savefile, const NpyOptions& options = {})
      : folder_(detail::prepare_savefile(savefile)) {
    const std::int64_t initial_epoch = detail::checked_initial_epoch(options.initial_epoch);
    detail::make_parent_folders((folder_ / "NAME").string());
    remove_epochs_from(initial_epoch);
    if (!options.zip) return;
    zip_ = detail::find_program(options.zip_program);
    if (zip_) return;
    report(detail::was_not_found(options.zip_program) +
           "; no archive will be made. Install it (Debian: apt-get install zip) or leave \"zip\" "
           "out");
  }

  /// The folder that is written to, as an absolute path.
  [[nodiscard]] std::string path() const { return folder_.string(); }

 protected:
  void write_epoch(const EpochRecord& record) override {
    std::error_code error;
    const bool is_gone = !std::filesystem::exists(folder_, error) && !error;
    if (is_gone) {
      report(fmt::format(
          "\"{}\" was removed by another process and is made anew; the arrays that were in it are "
          "gone",
          folder_.string()));
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
    if (zip_) make_archive();
  }

 private:
  void save(const std::string& name, std::int64_t epoch, std::string_view bytes) {
    const std::string file_name = detail::file_name_of(name);
    const std::string path =
        (folder_ / file_name / detail::array_file_name(file_name, epoch)).string();
    try {
      detail::make_parent_folders(path);
      detail::replace_file(path, bytes);
    } catch (const detail::FileError& error) {
      report_once(error.reason(),
                  fmt::format("{}; arrays failing for this reason are skipped", error.what()),
                  "arrays in all were not written because of");
    }
  }

  /// The epoch of a file that this writer gives its name; nothing for every other one.
  static std::optional<std::int64_t> epoch_of(const std::string& file, const std::string& folder) {
    const auto epoch = detail::epoch_of_array_file(file, folder);
    return detail::name_of_file(folder) ? epoch : std::nullopt;
  }

  /// Links are not followed: what lies behind them is not ours.
  void remove_epochs_from(std::int64_t initial_epoch) const {
    namespace fs = std::filesystem;
    std::vector<fs::path> doomed;
    try {
      for (const fs::directory_entry& folder : fs::directory_iterator(folder_)) {
        if (!fs::is_directory(folder.symlink_status())) continue;
        for (const fs::directory_entry& file : fs::directory_iterator(folder)) {
          if (!fs::is_regular_file(file.symlink_status())) continue;
          const std::optional<std::int64_t> epoch =
              epoch_of(file.path().filename().string(), folder.path().filename().string());
          if (epoch && *epoch >= initial_epoch) doomed.push_back(file.path());
        }
      }
      for (const fs::path& file : doomed) fs::remove(file);
    } catch (const fs::filesystem_error& error) {
      throw detail::FileError("remove old arrays from", folder_.string(), error.code().message());
    }
  }

  void make_archive() const {
    constexpr std::chrono::hours patience(1);
    const std::string archive = folder_.string() + ".zip";
    std::error_code ignored;
    if (!std::filesystem::is_directory(folder_, ignored)) return;
    detail::PendingFile file(archive);
    const auto fail = [&](const std::string& reason) -> void {
      throw std::runtime_error(fmt::format("cannot make \"{}\": {}", archive, reason));
    };
    // "./": a name may begin with '-'.
    const detail::ProcessEnd end =
        detail::run_program(*zip_, {"-q", "-r", "-", "./" + folder_.filename().string()}, "",
                            file.descriptor(), patience, folder_.parent_path().string());
    const std::string words =
        end.errors.empty() ? ""
                           : ": " + detail::one_line(std::string_view(end.errors).substr(0, 160));
    const std::string fault = detail::fault_of(end, "zip", fmt::format("{} h", patience.count()));
    if (!fault.empty()) fail(fault + words);
    if (!is_whole_archive(file.descriptor())) {
      fail("what zip wrote is not a whole archive" + words);
    }
    file.commit();
  }

  /// Whether the end record is there: 22 bytes, since the archive has no comment. Source: PKWARE's
  /// APPNOTE.TXT, section 4.3.16.
  static bool is_whole_archive(int descriptor) {
    char record[22] = {};
    constexpr auto length = static_cast<::ssize_t>(sizeof record);
    const ::off_t size = ::lseek(descriptor, 0, SEEK_END);
    return size >= length && ::pread(descriptor, record, sizeof record, size - length) == length &&
           std::string_view(record, 4) == "PK\x05\x06";
  }

  std::filesystem::path folder_;
  std::optional<std::string> zip_;
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

}  // namespace delve
