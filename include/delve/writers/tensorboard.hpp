// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>     // std::max
#include <atomic>        // std::atomic
#include <charconv>      // std::from_chars
#include <chrono>        // std::chrono
#include <cstddef>       // std::size_t
#include <cstdint>       // std::int64_t
#include <filesystem>    // std::filesystem
#include <memory>        // std::make_shared
#include <optional>      // std::optional
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code
#include <utility>       // std::exchange
#include <vector>        // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/formats/histogram.hpp>
#include <delve/detail/formats/tensorboard_event.hpp>
#include <delve/detail/formats/tfrecord.hpp>
#include <delve/detail/os/files.hpp>
#include <delve/detail/os/growing_file.hpp>
#include <delve/detail/os/os.hpp>
#include <delve/detail/support/initial_epoch.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>

namespace delve {
inline namespace DELVE_ABI {

struct TensorBoardOptions {
  /// The first epoch to come. What an earlier run wrote to the folder for this epoch and later ones
  /// is taken out of its files, and TensorBoard forgets it.
  std::int64_t initial_epoch = 0;
};

/// Writes an event file into the folder SAVEFILE, for `tensorboard --logdir SAVEFILE` or a folder
/// above it. The step is the epoch. Tags are the names of add_scalar(), and MODE-QUANTITY/LAYER,
/// "train-saturation/features-0", which TensorBoard groups by quantity. Numbers are scalars,
/// float32 as TensorBoard keeps them; vectors are histograms of their finite elements. Missing
/// numbers (NaN) and matrices are left out: NpyWriter has the matrices. Needs protozero.
///
/// Each run has a file of its own, made with the first epoch and read by TensorBoard after those
/// that are there. Those that this writer made under this savefile's name, which they hold as a
/// mark, lose the epochs that come again, each replaced whole. Others are never touched, nor those
/// of an older delve, which have no mark; if they hold such epochs, that is reported. An epoch is
/// appended whole or, unless the process is killed, not at all. What could not be written is
/// written with the next epoch, or at the end.
class TensorBoardWriter final : public Writer {
 public:
  /// Makes the folder.
  /// @throws std::invalid_argument for a bad option; std::runtime_error if the folder cannot be
  ///   made
  explicit TensorBoardWriter(const std::string& savefile, const TensorBoardOptions& options = {})
      : folder_(detail::path_of(detail::prepare_savefile(savefile))),
        initial_epoch_(detail::checked_initial_epoch(options.initial_epoch)) {
    detail::make_parent_folders(detail::text_of(folder_ / "events"));
  }

  /// The folder that is written to, as an absolute path.
  [[nodiscard]] std::string path() const { return detail::text_of(folder_); }

 protected:
  void write_epoch(const EpochRecord& record) override {
    const double now = seconds_since_1970();
    std::string records;
    if (!file_) {
      take_out_later_steps();
      file_.emplace(detail::text_of(folder_ / detail::path_of(new_file_name(now))));
      records += detail::tf_record(detail::file_version_event(now, mark()));
      records += detail::tf_record(detail::session_start_event(now, initial_epoch_));
    }
    file_->add(records + detail::tf_record(summary_of(record).event(now, record.epoch)));
  }

  void finish() override {
    if (file_) file_->finish();
  }

 private:
  static constexpr std::string_view kBeginning = "events.out.tfevents.";

  [[nodiscard]] std::string mark() const {
    return "delve-cpp " + detail::text_of(folder_.filename());
  }

  /// Takes the steps from initial_epoch on out of the files of earlier runs. TensorBoard's fast
  /// loader heeds no session start, and would show them for tags that this run does not write.
  void take_out_later_steps() {
    std::vector<std::string> paths;
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder_, error), end; entry != end && !error;
         entry.increment(error)) {
      const std::string name = detail::text_of(entry->path().filename());
      std::error_code unknown;
      if (name.compare(0, kBeginning.size(), kBeginning) == 0 && entry->is_regular_file(unknown)) {
        paths.push_back(detail::text_of(entry->path()));
      }
    }
    std::size_t strange = 0;
    for (const std::string& path : paths) {
      try {
        if (!take_out_later_steps(path)) ++strange;
      } catch (const detail::FileError& fault) {
        report(fmt::format("{}; TensorBoard may show its later steps", fault.what()));
      }
    }
    if (strange == 0) return;
    report(fmt::format(
        "\"{}\" holds {} event file{} of another writer, or of an older delve, with steps "
        "from {} on; TensorBoard's fast loader shows these beside the new ones",
        detail::text_of(folder_), strange, strange == 1 ? "" : "s", initial_epoch_));
  }

  /// @return false where the file has such steps and is not ours
  [[nodiscard]] bool take_out_later_steps(const std::string& path) const {
    const std::string bytes = detail::read_file(path).value_or("");
    std::string_view rest = bytes;
    std::string kept;
    bool is_first = true;
    bool is_ours = false;
    bool has_values = false;
    bool has_later = false;
    while (const std::optional<std::string_view> data = detail::next_tf_record(rest)) {
      const auto outline = detail::outline_of(*data);
      if (!outline) return true;  // not a file of events
      if (std::exchange(is_first, false)) is_ours = outline->writer == mark();
      const bool is_later = outline->has_values && outline->step >= initial_epoch_;
      has_later = has_later || is_later;
      if (is_later) continue;
      has_values = has_values || outline->has_values;
      kept += detail::tf_record(*data);
    }
    if (!has_later) return true;
    if (!is_ours) return false;
    if (has_values) {
      detail::replace_file(path, kept);
    } else {
      std::error_code error;
      if (!std::filesystem::remove(detail::path_of(path), error) && error) {
        throw detail::FileError("remove", path, error.message());
      }
    }
    return true;
  }

  static double seconds_since_1970() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration<double>(now).count();
  }

  static detail::SummaryBuilder summary_of(const EpochRecord& record) {
    detail::SummaryBuilder summary;
    for (const auto& [name, value] : record.scalars) {
      if (!is_missing(value)) summary.add_scalar(name, value);
    }
    for (const LayerRecord& layer : record.layers) {
      const auto tag = [&layer](std::string_view quantity) {
        return fmt::format("{}-{}/{}", to_string(layer.mode), quantity, layer.layer);
      };
      for (const Value& value : layer.values) {
        if (!is_missing(value.value)) summary.add_scalar(tag(value.quantity), value.value);
      }
      for (const ArrayValue& array : layer.arrays) {
        if (array.array->cols() != 1) continue;
        if (const auto histogram = detail::histogram_of(*array.array)) {
          summary.add_histogram(tag(array.quantity), *histogram);
        }
      }
    }
    return summary;
  }

  /// events.out.tfevents.SECONDS.HOST.PID.N. TensorBoard reads a folder's files in the order of
  /// their names, so SECONDS is later than in all of them, whatever the clock says.
  [[nodiscard]] std::string new_file_name(double now) const {
    static std::atomic<unsigned> count{0};
    auto seconds = static_cast<std::int64_t>(now);
    std::error_code error;
    for (std::filesystem::directory_iterator entry(folder_, error), end; entry != end && !error;
         entry.increment(error)) {
      const std::string name = detail::text_of(entry->path().filename());
      if (name.compare(0, kBeginning.size(), kBeginning) != 0) continue;
      const std::string digits = name.substr(kBeginning.size(), 10);
      std::int64_t there = 0;
      std::from_chars(digits.data(), digits.data() + digits.size(), there);
      seconds = std::max(seconds, there + 1);
    }
    return fmt::format("{}{:010}.{}.{}.{}", kBeginning, seconds, host(), detail::process_id(),
                       count++);
  }

  /// The machine's name, as far as it can stand in the name of a file.
  static std::string host() {
    std::string name = detail::host_name();
    for (char& c : name) {
      if (c == '/') c = '_';
    }
    return name.empty() ? "localhost" : name;
  }

  std::filesystem::path folder_;
  std::int64_t initial_epoch_;
  std::optional<detail::GrowingFile> file_;
};

namespace detail {

/// Makes the keys known in every program that includes this header.
inline const bool tensorboard_is_registered = [] {
  register_writer("tensorboard", [](const WriterContext& context) {
    return Writers{std::make_shared<TensorBoardWriter>(context.savefile,
                                                       TensorBoardOptions{context.initial_epoch})};
  });
  register_writer_groups({"tb"}, {"tensorboard"});
  return true;
}();

}  // namespace detail

}  // namespace DELVE_ABI
}  // namespace delve
