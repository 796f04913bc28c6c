// SPDX-License-Identifier: MIT

// Short texts: numbers, UTF-8, names of statistics, options.

#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/support/utf8.hpp>
#include <delve/statistics.hpp>
#include <delve/writers/plot.hpp>

#include "fuzz.hpp"

namespace fuzz_text {

using delve_fuzz::require;

namespace {

template <typename Number>
void read_number(const std::string& text) {
  const auto number = delve::detail::number_in<Number>(text);
  if (!number) return;
  const auto again = delve::detail::number_in<Number>(fmt::format("{}", *number));
  require(again && (*again == *number || *number != *number), "a number is read as it was written");
}

void read_statistic(const std::string& text) {
  try {
    const delve::Statistic statistic = delve::find_statistic(text);
    require(statistic.name == text, "a statistic bears the name it was asked for by");
    const std::string name = delve::statistic_of_quantity(statistic.quantity);
    require(delve::find_statistic(name).quantity == statistic.quantity,
            "a quantity leads to a statistic of that quantity");
  } catch (const std::invalid_argument&) {
  }
}

void read_option(const std::string& text) {
  const std::size_t end = std::min(text.find('='), text.size());
  try {
    static_cast<void>(delve::plot_options_from(
        {{text.substr(0, end), text.substr(std::min(end + 1, text.size()))}}));
  } catch (const std::invalid_argument&) {
  }
}

}  // namespace

DELVE_FUZZ_TARGET(text) {
  using namespace delve::detail;
  const std::string text = delve_fuzz::text_of(data, size);
  read_number<double>(text);
  read_number<std::int64_t>(text);
  read_number<int>(text);
  read_statistic(text);
  read_option(text);

  const std::string valid = valid_utf8(text);
  require(valid_utf8(valid) == valid, "what is valid UTF-8 stays as it is");
  require(text_width(valid) <= text.size(), "a code point takes a byte or more");
  const std::string line = one_line(text);
  require(line.size() == text.size() && line.find_first_of("\n\r\x1B\x7F") == std::string::npos,
          "one line holds no control characters");
  std::string joined;
  for (const std::string& part : comma_separated(text)) joined.append(part).append(",");
  require(joined == text + ",", "no part between commas is lost");
  for (const PictureKind* kind : {&png_picture, &svg_picture, &pdf_picture, &gif_picture}) {
    static_cast<void>(is_whole_picture(*kind, text));
  }
  return 0;
}

}  // namespace fuzz_text
