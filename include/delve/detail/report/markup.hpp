// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::int64_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>

#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/detail/support/utf8.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A text as HTML, in an element or between '"'. Bytes that are no UTF-8, and control characters,
/// which no page may hold, become U+FFFD and blanks.
inline std::string html_text(std::string_view text) {
  std::string markup;
  for (const char c : one_line(valid_utf8(text))) {
    switch (c) {
      case '&':
        markup += "&amp;";
        break;
      case '<':
        markup += "&lt;";
        break;
      case '>':
        markup += "&gt;";
        break;
      case '"':
        markup += "&quot;";
        break;
      default:
        markup += c;
    }
  }
  return markup;
}

/// A text as JSON (RFC 8259, section 7) that may stand in a page: without '<'.
inline std::string json_text(std::string_view text) {
  std::string json = "\"";
  for (const char c : valid_utf8(text)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (byte < 0x20 || c == '<') {
      json += fmt::format("\\u{:04x}", byte);
    } else {
      json += c;
    }
  }
  return json + '"';
}

/// A number as JSON, to six digits; null where it is missing or infinite.
inline std::string json_number(double number) {
  return is_finite(number) ? fmt::format("{:.6g}", number) : "null";
}

/// The same of a value, a count with all its digits.
inline std::string json_number(double value, ValueKind kind) {
  const bool is_whole = kind == ValueKind::Count && value > -1e15 && value < 1e15;
  return is_whole ? fmt::format("{:.0f}", value) : json_number(value);
}

/// "[a,b]" of texts that are JSON.
inline std::string json_list(const std::vector<std::string>& items) {
  std::string list = "[";
  for (const std::string& item : items) {
    if (list.size() > 1) list += ',';
    list += item;
  }
  return list + ']';
}

inline std::string json_texts(const std::vector<std::string>& texts) {
  std::vector<std::string> items;
  for (const std::string& text : texts) items.push_back(json_text(text));
  return json_list(items);
}

/// A value as a reader wants it: "53.1 %", "1,024", "0.01234"; "–" where it is missing. The page's
/// script does the same.
inline std::string shown(double value, ValueKind kind) {
  if (is_nan(value)) return "–";
  if (is_infinite(value)) return is_negative(value) ? "−∞" : "∞";
  switch (kind) {
    case ValueKind::Saturation:
    case ValueKind::Share:
      return fmt::format("{:.1f} %", 100 * value);
    case ValueKind::Count:
      if (value > -1e15 && value < 1e15) return grouped(static_cast<std::int64_t>(value));
      break;
    case ValueKind::Number:
    case ValueKind::Variance:
    case ValueKind::Drift:
      break;
  }
  return fmt::format("{}", number_in<double>(fmt::format("{:.4g}", value)).value_or(value));
}

/// For the page's script: "share", "count" or "number".
inline std::string_view shown_as(ValueKind kind) {
  if (kind == ValueKind::Saturation || kind == ValueKind::Share) return "share";
  return kind == ValueKind::Count ? "count" : "number";
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
