// SPDX-License-Identifier: MIT

// Events written into a folder that holds a file of any name, of any names and numbers, and read
// again. The input is the file's name, a scalar's, a layer's, a line each, and float64 numbers.

#include <algorithm>  // std::count_if
#include <cmath>      // std::isfinite
#include <cstring>    // std::memcpy
#include <memory>     // std::make_shared

#include <protozero/pbf_reader.hpp>

#include <delve/detail/support/utf8.hpp>
#include <delve/writers/tensorboard.hpp>

#include "fuzz.hpp"
#include "records.hpp"

namespace fuzz_tensorboard {

using delve_fuzz::require;

namespace {

std::vector<double> numbers_in(std::string_view bytes) {
  std::vector<double> numbers(bytes.size() / sizeof(double));
  if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(double));
  return numbers;
}

/// The data of the next record, which is taken off the file.
std::string take_record(std::string_view& file) {
  require(file.size() >= 16, "a record is whole");
  const auto size = delve::detail::read_little_endian<std::uint64_t>(file);
  require(size <= file.size() - 16, "a record is whole");
  const std::string data(file.substr(12, size));
  const std::string record = delve::detail::tf_record(data);
  require(file.substr(0, record.size()) == record, "a record has its checksums");
  file.remove_prefix(record.size());
  return data;
}

/// The tags of an event, and how many numbers its histogram counts.
std::vector<std::string> tags_of(const std::string& event, double& counted) {
  std::vector<std::string> tags;
  protozero::pbf_reader message(event);
  while (message.next()) {
    if (message.tag() != 5) {
      message.skip();
      continue;
    }
    protozero::pbf_reader summary = message.get_message();
    while (summary.next(1)) {
      protozero::pbf_reader value = summary.get_message();
      while (value.next()) {
        if (value.tag() == 1) {
          tags.push_back(value.get_string());
        } else if (value.tag() == 5) {
          protozero::pbf_reader histogram = value.get_message();
          while (histogram.next(7)) {
            for (const double count : histogram.get_packed_double()) counted += count;
          }
        } else {
          value.skip();
        }
      }
    }
  }
  return tags;
}

}  // namespace

DELVE_FUZZ_TARGET(tensorboard) {
  static const delve_fuzz::Folder folder;
  const std::string input = delve_fuzz::text_of(data, size);
  std::string_view rest = input;
  const std::string there = "events.out.tfevents." + delve_fuzz::take_line(rest);
  const std::string scalar = delve_fuzz::take_line(rest);
  const std::string layer = delve_fuzz::take_line(rest);
  const std::vector<double> numbers = numbers_in(rest);
  const auto savefile = folder.emptied() / "run";
  if (delve_fuzz::is_file_name(there)) delve_test::put(savefile / there, "");

  const double first = numbers.empty() ? 0.5 : numbers.front();
  delve::EpochRecord record = delve_test::record(
      7, {{scalar, first}}, {delve_test::layer(layer, delve::Mode::Train, {first})});
  auto column = std::make_shared<Eigen::MatrixXd>(static_cast<Eigen::Index>(numbers.size()), 1);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    (*column)(static_cast<Eigen::Index>(i)) = numbers[i];
  record.layers[0].arrays.push_back({"eigenvalues", "eigenvalues", column});
  delve_test::Watched<delve::TensorBoardWriter, delve::TensorBoardOptions> run(savefile.string());
  run.writer.write(record);
  run.writer.close();
  require(run.messages.empty(), "any record can be written");

  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(savefile)) {
    if (entry.path().filename() != there) path = entry.path().string();
  }
  const std::string file = delve_test::read(path);
  std::string_view events = file;
  take_record(events);
  take_record(events);
  double counted = 0;
  const std::vector<std::string> tags = tags_of(take_record(events), counted);
  require(events.empty(), "there is an event an epoch");
  std::vector<std::string> expected;
  if (!std::isnan(first)) {
    expected = {scalar, "train-saturation/" + layer};
  }
  const auto finite = std::count_if(numbers.begin(), numbers.end(),
                                    [](double number) { return std::isfinite(number); });
  if (finite > 0) expected.push_back("train-eigenvalues/" + layer);
  for (std::string& tag : expected) tag = delve::detail::valid_utf8(tag);
  require(tags == expected, "tags are read as they were written");
  require(counted == static_cast<double>(finite), "each finite number is in the histogram");
  return 0;
}

}  // namespace fuzz_tensorboard
