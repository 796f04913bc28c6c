// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t, std::uint64_t
#include <limits>       // std::numeric_limits
#include <memory>       // std::make_shared
#include <optional>     // std::optional
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>  // fmt::format
#include <Eigen/Core>
#include <nlohmann/json.hpp>

#include <delve/detail/os/files.hpp>
#include <delve/detail/os/growing_file.hpp>
#include <delve/detail/support/initial_epoch.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/verdict.hpp>
#include <delve/version.hpp>
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>

namespace delve {
inline namespace DELVE_ABI {

struct JsonOptions {
  /// The first epoch to come. Above 0, the lines before it in a file that is there already are kept
  /// to the letter, and the others dropped. At 0 the first epoch replaces the file.
  std::int64_t initial_epoch = 0;
};

namespace detail {

/// A number as JSON, which has no name for those that are not finite: null is NaN, a missing value;
/// infinities are the texts "Infinity" and "-Infinity".
inline nlohmann::ordered_json json_of(double number) {
  if (is_nan(number)) return nullptr;
  if (is_infinite(number)) return is_negative(number) ? "-Infinity" : "Infinity";
  return number;
}

inline std::string_view json_name(Status status) {
  switch (status) {
    case Status::Ok:
      return "ok";
    case Status::NoData:
      return "no-data";
    case Status::NoVariance:
      return "no-variance";
    case Status::NotConverged:
      return "not-converged";
    case Status::StatisticFailed:
      return "statistic-failed";
  }
  return "unknown";
}

inline nlohmann::ordered_json json_of(const LayerRecord& layer) {
  using Json = nlohmann::ordered_json;
  Json object;
  object["layer"] = layer.layer;
  object["mode"] = to_string(layer.mode);
  object["width"] = layer.width;
  object["samples"] = layer.samples;
  object["skipped_batches"] = layer.skipped_batches;
  object["status"] = json_name(layer.status);
  Json& values = object["values"] = Json::object();
  for (const Value& value : layer.values) values[value.stat] = json_of(value.value);
  Json& arrays = object["arrays"] = Json::object();
  for (const ArrayValue& array : layer.arrays) {
    if (array.array->cols() != 1) continue;
    Json& numbers = arrays[array.stat] = Json::array();
    for (Eigen::Index i = 0; i < array.array->size(); ++i) {
      numbers.push_back(json_of(array.array->data()[i]));
    }
  }
  return object;
}

/// What a layer sees: lengths per axis, null where it sees everything or nothing is known.
inline nlohmann::ordered_json json_of(const LayerField& field) {
  using Json = nlohmann::ordered_json;
  Json object;
  object["layer"] = field.layer;
  object["kind"] = field.kind;
  object["output"] = field.output;
  object["parameters"] = field.parameters;
  object["multiplications"] = field.multiplications;
  object["border"] = field.is_border;
  object["critical"] = field.is_critical;
  if (field.rank_limit < 1) object["rank_limit"] = field.rank_limit;
  object["notes"] = field.notes;
  Json& axes = object["axes"] = Json::array();
  for (const AxisField& axis : field.axes) {
    const auto length = [](const std::optional<std::int64_t>& number) {
      return number ? Json(*number) : Json();
    };
    axes.push_back({{"input", axis.input},
                    {"size", axis.size},
                    {"least", length(axis.least)},
                    {"most", length(axis.most)},
                    {"largest_finite", axis.largest_finite},
                    {"stride", axis.stride},
                    {"centre", axis.centre},
                    {"unknown", axis.unknown.empty() ? Json() : Json(axis.unknown)}});
  }
  return object;
}

inline nlohmann::ordered_json json_of(const Verdict& verdict) {
  nlohmann::ordered_json object;
  object["kind"] = verdict_name(verdict.kind);
  object["layers"] = verdict.layers;
  object["sentence"] = verdict.sentence;
  object["evidence"] = verdict.evidence;
  object["advice"] = verdict.advice;
  object["limits"] = verdict.limits;
  return object;
}

/// An epoch as one line of text, its end included. Bytes of names that are not UTF-8 become U+FFFD.
/// @param verdict on it; nullptr: none is written
inline std::string json_line(const EpochRecord& record, const Verdict* verdict = nullptr) {
  using Json = nlohmann::ordered_json;
  Json object;
  object["epoch"] = record.epoch;
  Json& scalars = object["scalars"] = Json::object();
  for (const auto& [name, value] : record.scalars) scalars[name] = json_of(value);
  Json& layers = object["layers"] = Json::array();
  for (const LayerRecord& layer : record.layers) layers.push_back(json_of(layer));
  if (!record.fields.empty()) {
    Json& fields = object["fields"] = Json::array();
    for (const LayerField& field : record.fields) fields.push_back(json_of(field));
  }
  if (verdict != nullptr) object["verdict"] = json_of(*verdict);
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace detail

/// Writes SAVEFILE.jsonl, JSON lines, one object per epoch:
///
///     {"epoch":0,"scalars":{"accuracy":0.5},"layers":[{"layer":"fc","mode":"train","width":8,
///      "samples":1000,"skipped_batches":0,"status":"ok","values":{"lsat":0.25},
///      "arrays":{"eigenvalues":[2.5,1.0]}}]}
///
/// Where receptive fields were found there is "fields", too: an object per layer, with "least" and
/// "most" per axis; and for a network of four layers or more "verdict": what verdict() says, with
/// the kind "tail", "possible-tail", "no-tail" or "not-enough-data". Layers come in the record's
/// order, values and arrays by the names by which they were requested. status is "ok", "no-data",
/// "no-variance", "not-converged" or "statistic-failed". Numbers read back to the same double; a
/// missing one is null, infinities are the texts "Infinity" and "-Infinity". Matrices are left out:
/// NpyWriter has them. Needs nlohmann/json.
///
/// Each epoch is appended whole or, unless the process is killed, not at all. What could not be
/// written is written with the next epoch, or at the end.
class JsonWriter final : public Writer {
 public:
  /// Makes the folders above the file.
  /// @throws std::invalid_argument for a bad option; std::runtime_error if a folder cannot be made,
  ///   or if the file to resume from cannot be read or is malformed
  explicit JsonWriter(const std::string& savefile, const JsonOptions& options = {})
      : file_(detail::prepare_savefile(savefile) + ".jsonl") {
    const std::int64_t initial_epoch = detail::checked_initial_epoch(options.initial_epoch);
    file_.begin_with(initial_epoch > 0 ? lines_before(initial_epoch) : "");
  }

  /// Where the lines are written, as an absolute path.
  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

 protected:
  void write_epoch(const EpochRecord& record) override {
    detail::renew_fields(fields_, record.fields);
    Verdict said;
    if (detail::is_whole_epoch(record)) said = verdict(record, fields_);
    file_.add(detail::json_line(record, said.is_of_depth() ? &said : nullptr));
  }
  void finish() override { file_.finish(); }

 private:
  std::string lines_before(std::int64_t initial_epoch) {
    const std::optional<std::string> text = detail::read_file(path());
    std::string kept;
    std::string_view rest = text ? std::string_view(*text) : std::string_view();
    for (std::size_t number = 1; !rest.empty(); ++number) {
      const std::size_t end = rest.find('\n');
      const bool has_end = end != std::string_view::npos;
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(has_end ? end + 1 : rest.size());
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;

      const std::optional<std::int64_t> epoch = epoch_of(line);
      if (!epoch && !has_end) {
        report(fmt::format("\"{}\", line {}: the last line is broken off and was left out", path(),
                           number));
      } else if (!epoch) {
        throw std::runtime_error(fmt::format(
            "\"{}\", line {}: expected a JSON object with an integer \"epoch\"", path(), number));
      } else if (*epoch < initial_epoch) {
        kept.append(line).append("\n");
      }
    }
    return kept;
  }

  static std::optional<std::int64_t> epoch_of(std::string_view line) {
    const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_object()) return std::nullopt;
    const auto epoch = object.find("epoch");
    if (epoch == object.end() || !epoch->is_number_integer()) return std::nullopt;
    // As a std::int64_t it would be negative.
    const bool is_too_large =
        epoch->is_number_unsigned() &&
        epoch->get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max();
    if (is_too_large) return std::nullopt;
    return epoch->get<std::int64_t>();
  }

  detail::GrowingFile file_;
  std::vector<LayerField> fields_;
};

namespace detail {

/// Makes the keys known in every program that includes this header.
inline const bool json_is_registered = [] {
  register_writer("json", [](const WriterContext& context) {
    return Writers{
        std::make_shared<JsonWriter>(context.savefile, JsonOptions{context.initial_epoch})};
  });
  return true;
}();

}  // namespace detail

}  // namespace DELVE_ABI
}  // namespace delve
