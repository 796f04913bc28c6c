// SPDX-License-Identifier: MIT
// A text as a double: our own reading, for libraries that lack std::from_chars() for it, against
// std::from_chars() where it is, else against strtod() in the locale "C", which is where a program
// begins.
#include <delve/detail/support/read_number.hpp>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include <delve/detail/support/text.hpp>

#include "catch.hpp"
#include "data.hpp"
#include "records.hpp"
#include "system.hpp"

namespace test_read_number {

using delve::detail::double_in;

namespace {

std::optional<double> reference(const std::string& text) {
#ifdef __cpp_lib_to_chars
  return delve::detail::number_in<double>(text);
#else
  // What strtod() takes and from_chars() does not.
  if (text.empty() || text.find_first_of("+xXpP \t\n\v\f\r") == 0) return std::nullopt;
  if (text.find_first_of("xX") != std::string::npos) return std::nullopt;
  if (text.substr(0, 2) == "-+" || text.find('\0') != std::string::npos) return std::nullopt;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size()) return std::nullopt;
  const bool has_digit =
      text.find_first_of("123456789") < std::min(text.find_first_of("eE"), text.size());
  if ((std::isinf(number) || number == 0) && has_digit) return std::nullopt;
  return number;
#endif
}

std::string bits_of(const std::optional<double>& number) {
  if (!number) return "refused";
  std::uint64_t bits = 0;
  std::memcpy(&bits, &*number, sizeof bits);
  return fmt::format("{:016x}", bits);
}

/// The texts of a fuzz corpus: its files, and the cells of them.
std::set<std::string> corpus() {
  std::set<std::string> texts;
  const std::filesystem::path folder = delve_test::data("../fuzz/corpus");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string bytes = delve_test::read(entry.path().string());
    texts.insert(bytes);
    for (std::size_t begin = 0; begin < bytes.size();) {
      const std::size_t end = std::min(bytes.find_first_of(";,:\n\r \"", begin), bytes.size());
      texts.insert(bytes.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return texts;
}

}  // namespace

TEST_CASE("Known texts are the doubles that they are, or refused", "[numbers]") {
  const double smallest = std::numeric_limits<double>::denorm_min();
  const double largest = std::numeric_limits<double>::max();
  CHECK(double_in("0.1") == 0.1);
  CHECK(double_in("-2.5e3") == -2500);
  CHECK(double_in(".5") == 0.5);
  CHECK(double_in("5.") == 5);
  CHECK(bits_of(double_in("-0")) == "8000000000000000");
  CHECK(double_in("4.9406564584124654e-324") == smallest);
  CHECK(double_in("2.4703282292062328e-324") == smallest);      // just above half of it
  CHECK(double_in("2.4703282292062327e-324") == std::nullopt);  // just below
  CHECK(double_in("1.7976931348623157e308") == largest);
  CHECK(double_in("1.7976931348623158e308") == largest);  // nearer to it than to 2^1024
  CHECK(double_in("1.797693134862315808e308") == std::nullopt);
  CHECK(double_in("2.2250738585072012e-308") == std::numeric_limits<double>::min());
  // Half-way between two: to the even one; a digit far behind decides otherwise.
  CHECK(double_in("9007199254740993") == 9007199254740992.0);
  CHECK(double_in("9007199254740993.0000000000000000000000000000000000001") == 9007199254740994.0);
  CHECK(double_in("9007199254740993." + std::string(2000, '0') + "1") == 9007199254740994.0);
  CHECK(double_in("1" + std::string(400, '0') + "e-400") == 1);
  CHECK(double_in("0." + std::string(400, '0') + "1e401") == 1);
  CHECK(double_in("1e99999999999999999999") == std::nullopt);
  CHECK(double_in("0e99999999999999999999") == 0);
  CHECK(double_in("Infinity") == INFINITY);
  CHECK(double_in("-inf") == -INFINITY);
  for (const std::string nan : {"nan", "-NaN", "nan()", "nan(a_1)"})
    CHECK(std::isnan(*double_in(nan)));
  for (const std::string none :
       {"",    "-",   ".",     "-.",  "e5",      "1e",   "1e+",    "+1", " 1", "1 ",
        "0x1", "1,5", "1.2.3", "--1", "infinit", "nan(", "nan(-)", "na", "1f", "1e5.0"}) {
    CAPTURE(none);
    CHECK(double_in(none) == std::nullopt);
  }
}

TEST_CASE("Random doubles are read back, to the bit", "[numbers]") {
  // As many as it takes where this is what reads numbers; fewer where it is not used.
  const auto count =
      delve_test::times(delve::detail::has_from_chars_for_double ? 100'000 : 1'000'000);
  std::mt19937_64 random(17);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t bits = random();
    double number = 0;
    std::memcpy(&number, &bits, sizeof number);
    if (!std::isfinite(number)) continue;
    const std::string text = fmt::format("{}", number);
    const std::optional<double> read = double_in(text);
    if (!read || std::memcmp(&*read, &number, sizeof number) != 0) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("Texts of the fuzz corpus, and spoiled numbers, are read as by the standard library",
          "[numbers][fuzz]") {
  const std::set<std::string> texts = corpus();
  REQUIRE(texts.size() > 1000);
  std::size_t numbers = 0;
  for (const std::string& text : texts) {
    CAPTURE(text);
    const std::string read = bits_of(double_in(text));
    REQUIRE(read == bits_of(reference(text)));
    if (read != "refused") ++numbers;
  }
  CHECK(numbers > 100);

  std::mt19937_64 random(18);
  const std::string likely = "0123456789.eE+-naif()";
  numbers = 0;
  for (std::size_t round = 0; round < delve_test::times(200'000); ++round) {
    std::string text;
    if (round % 3 == 0) {  // few are numbers
      for (auto length = random() % 12; length > 0; --length)
        text += likely[random() % likely.size()];
    } else {  // of any number of digits, near the ends of the range, too
      const auto digits = random() % (round % 100 == 1 ? 900 : 25);
      for (std::uint64_t i = 0; i <= digits; ++i) text += static_cast<char>('0' + random() % 10);
      if (random() % 2 == 0) text.insert(random() % text.size(), ".");
      text += fmt::format("e{}", static_cast<int>(random() % 700) - 350);
      if (random() % 8 == 0) text[random() % text.size()] = likely[random() % likely.size()];
    }
    CAPTURE(text);
    const std::string read = bits_of(double_in(text));
    REQUIRE(read == bits_of(reference(text)));
    if (read != "refused") ++numbers;
  }
  CHECK(numbers > delve_test::times(50'000));
}

TEST_CASE("A number half-way between two doubles is read as the even one", "[numbers]") {
  if (std::numeric_limits<long double>::digits < 64) LEAVE_OUT("no wider type has the middles");
  std::mt19937_64 random(19);
  for (int round = 0; round < 3000; ++round) {
    // The middle of a double and the next has at most 55 bits times a power of two: "%.800f" and
    // the like have all its digits, exactly.
    const std::uint64_t bits = random() % 0x7FE0000000000000U;
    double lower = 0;
    std::memcpy(&lower, &bits, sizeof lower);
    const double upper = std::nextafter(lower, INFINITY);
    const long double middle =
        (static_cast<long double>(lower) + static_cast<long double>(upper)) / 2;
    const std::string text = fmt::format("{:.800e}", middle);
    const std::optional<double> read = double_in(text);
    REQUIRE(read);
    CHECK(*read == (bits % 2 == 0 ? lower : upper));
    CHECK(bits_of(read) == bits_of(reference(text)));
  }
}

}  // namespace test_read_number
