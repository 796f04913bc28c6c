// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>      // std::from_chars
#include <cstddef>       // std::size_t
#include <cstdint>       // std::int32_t, std::int64_t, std::uint16_t, std::uint32_t, std::uint64_t
#include <cstring>       // std::memcpy
#include <optional>      // std::optional
#include <stdexcept>     // std::runtime_error
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::errc
#include <utility>       // std::move
#include <vector>        // std::vector

#include <fmt/format.h>  // fmt::format
#include <Eigen/Core>

#include <delve/detail/support/little_endian.hpp>
#include <delve/version.hpp>

// NumPy's file format for one array, .npy, as the documentation of numpy.lib.format has it: magic
// bytes, version, size of the header, the header (a Python dictionary with "descr", the type of the
// numbers, "fortran_order" and "shape"), then the numbers.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

inline constexpr std::string_view npy_magic = "\x93NUMPY";

/// The beginning of a file of float64 numbers in C order, format 1.0, up to the numbers.
/// @param shape as Python writes it: "()", "(3,)", "(2, 3)"
[[nodiscard]] inline std::string npy_header(std::string_view shape) {
  constexpr std::size_t alignment = 64;  // where the numbers begin, so that they can be mapped
  const std::size_t before = npy_magic.size() + 2 + sizeof(std::uint16_t);
  std::string header =
      fmt::format("{{'descr': '<f8', 'fortran_order': False, 'shape': {}, }}", shape);
  while ((before + header.size() + 1) % alignment != 0) header.push_back(' ');
  header.push_back('\n');
  std::string bytes(npy_magic);
  bytes.append("\x01\x00", 2);
  append_little_endian(bytes, static_cast<std::uint16_t>(header.size()));
  return bytes + header;
}

inline void append_float64(std::string& bytes, double number) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &number, sizeof bits);
  append_little_endian(bytes, bits);
}

/// A .npy file of one number, shape ().
[[nodiscard]] inline std::string npy_bytes(double number) {
  std::string bytes = npy_header("()");
  append_float64(bytes, number);
  return bytes;
}

/// A .npy file of a matrix, shape (r, c); one column is written as a vector, shape (n,).
[[nodiscard]] inline std::string npy_bytes(const Eigen::MatrixXd& matrix) {
  std::string bytes =
      npy_header(matrix.cols() == 1 ? fmt::format("({},)", matrix.rows())
                                    : fmt::format("({}, {})", matrix.rows(), matrix.cols()));
  bytes.reserve(bytes.size() + static_cast<std::size_t>(matrix.size()) * sizeof(double));
  for (Eigen::Index row = 0; row < matrix.rows(); ++row) {
    for (Eigen::Index column = 0; column < matrix.cols(); ++column) {
      append_float64(bytes, matrix(row, column));
    }
  }
  return bytes;
}

/// What a .npy file holds.
struct NpyArray {
  std::vector<std::int64_t> shape;  ///< of no, one or two axes
  Eigen::MatrixXd values;           ///< a single number is 1 × 1, a vector one column
};

/// A type of number that can be read: its name in a header, its size in bytes, its value.
struct NpyType {
  std::string_view descr;
  std::size_t size;
  double (*value)(std::string_view bytes);
};

template <typename Number, typename Bits>
double npy_value(std::string_view bytes) {
  static_assert(sizeof(Number) == sizeof(Bits));
  const Bits bits = read_little_endian<Bits>(bytes);
  Number number = 0;
  std::memcpy(&number, &bits, sizeof number);
  return static_cast<double>(number);
}

inline constexpr NpyType npy_types[] = {
    {"<f8", 8, npy_value<double, std::uint64_t>},
    {"<f4", 4, npy_value<float, std::uint32_t>},
    {"<i8", 8, npy_value<std::int64_t, std::uint64_t>},
    {"<i4", 4, npy_value<std::int32_t, std::uint32_t>},
};

/// Reads a .npy file. Trusts no size that the file states.
class NpyReader {
 public:
  /// `name` is the file's, for messages. The bytes must outlive the reader.
  NpyReader(std::string_view bytes, std::string name) : rest_(bytes), name_(std::move(name)) {}

  /// @throws std::runtime_error that says file and what was expected
  NpyArray read() {
    take_header();
    take_dictionary();
    return take_numbers();
  }

 private:
  /// Leaves the dictionary in header_, the numbers in rest_.
  void take_header() {
    if (rest_.substr(0, npy_magic.size()) != npy_magic) fail("\"\\x93NUMPY\" at its beginning");
    rest_.remove_prefix(npy_magic.size());
    const std::string_view version = rest_.substr(0, 2);
    const bool is_first = version == std::string_view("\x01\x00", 2);
    const bool is_second = version == std::string_view("\x02\x00", 2);
    if (!is_first && !is_second) fail("format version 1.0 or 2.0");
    rest_.remove_prefix(version.size());
    const std::size_t width = is_first ? sizeof(std::uint16_t) : sizeof(std::uint32_t);
    if (rest_.size() < width) fail("the size of the header");
    const std::size_t size = is_first ? read_little_endian<std::uint16_t>(rest_)
                                      : read_little_endian<std::uint32_t>(rest_);
    rest_.remove_prefix(width);
    if (rest_.size() < size) {
      fail(fmt::format("a header of {} bytes, found {} bytes", size, rest_.size()));
    }
    header_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
  }

  void take_dictionary() {
    expect('{');
    bool has_more = true;
    while (has_more && !take('}')) {
      take_entry();
      has_more = take(',');
      if (!has_more) expect('}');
    }
    skip_blanks();
    if (!header_.empty()) fail("nothing after the dictionary of the header");
    if (type_ == nullptr || !fortran_order_ || !shape_) {
      fail("\"descr\", \"fortran_order\" and \"shape\" in the header");
    }
  }

  void take_entry() {
    const std::string_view key = quoted();
    expect(':');
    if (key == "descr" && type_ == nullptr) {
      type_ = type_named(quoted());
    } else if (key == "fortran_order" && !fortran_order_) {
      fortran_order_ = truth();
    } else if (key == "shape" && !shape_) {
      shape_ = sizes();
    } else {
      fail("\"descr\", \"fortran_order\" and \"shape\" in the header, each once");
    }
  }

  [[nodiscard]] const NpyType* type_named(std::string_view descr) const {
    for (const NpyType& type : npy_types) {
      if (type.descr == descr) return &type;
    }
    fail("numbers of type '<f8', '<f4', '<i8' or '<i4'");
  }

  bool truth() {
    skip_blanks();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (header_.substr(0, word.size()) != word) continue;
      header_.remove_prefix(word.size());
      return value;
    }
    fail("True or False for \"fortran_order\"");
  }

  std::vector<std::int64_t> sizes() {
    std::vector<std::int64_t> shape;
    expect('(');
    bool has_more = true;
    while (has_more && !take(')')) {
      skip_blanks();
      std::int64_t size = 0;
      const auto [end, error] =
          std::from_chars(header_.data(), header_.data() + header_.size(), size);
      if (error != std::errc() || size < 0) fail("sizes of 0 or more in \"shape\"");
      header_.remove_prefix(static_cast<std::size_t>(end - header_.data()));
      shape.push_back(size);
      if (shape.size() > 2) fail("an array of at most two axes");
      has_more = take(',');
      if (!has_more && shape.size() == 1) fail("',' after the only size in \"shape\"");
      if (!has_more) expect(')');
    }
    return shape;
  }

  NpyArray take_numbers() {
    const std::int64_t rows = shape_->empty() ? 1 : shape_->front();
    const std::int64_t columns = shape_->size() < 2 ? 1 : shape_->back();
    const auto there = static_cast<std::int64_t>(rest_.size() / type_->size);
    const bool would_overflow = columns > 0 && rows > there / columns;
    if (would_overflow || rows * columns != there || rest_.size() % type_->size != 0) {
      fail(fmt::format("{} x {} numbers of {} bytes each, found {} bytes", rows, columns,
                       type_->size, rest_.size()));
    }
    NpyArray array{std::move(*shape_), {}};
    // Without numbers an axis may still be of any length: no loop over it.
    if (there == 0) {
      array.values.resize(rows, columns);
      return array;
    }
    Eigen::MatrixXd in_order =
        *fortran_order_ ? Eigen::MatrixXd(rows, columns) : Eigen::MatrixXd(columns, rows);
    for (std::int64_t i = 0; i < there; ++i) {
      in_order.data()[i] = type_->value(rest_);
      rest_.remove_prefix(type_->size);
    }
    array.values = *fortran_order_ ? std::move(in_order) : Eigen::MatrixXd(in_order.transpose());
    return array;
  }

  void skip_blanks() {
    while (!header_.empty() && (header_.front() == ' ' || header_.front() == '\n')) {
      header_.remove_prefix(1);
    }
  }

  bool take(char c) {
    skip_blanks();
    if (header_.empty() || header_.front() != c) return false;
    header_.remove_prefix(1);
    return true;
  }

  void expect(char c) {
    if (!take(c)) fail(fmt::format("'{}' in the header", c));
  }

  std::string_view quoted() {
    skip_blanks();
    const std::string_view quote = header_.substr(0, 1);
    if (quote != "'" && quote != "\"") fail("a text in quotes in the header");
    const std::size_t end = header_.find(quote, 1);
    if (end == std::string_view::npos) fail("a closing quote in the header");
    const std::string_view text = header_.substr(1, end - 1);
    header_.remove_prefix(end + 1);
    return text;
  }

  [[noreturn]] void fail(std::string_view expected) const {
    throw std::runtime_error(
        fmt::format("\"{}\": not a .npy file that can be read: expected {}", name_, expected));
  }

  std::string_view rest_;
  std::string name_;
  std::string_view header_;
  const NpyType* type_ = nullptr;
  std::optional<bool> fortran_order_;
  std::optional<std::vector<std::int64_t>> shape_;
};

/// Reads a .npy file of format 1.0 or 2.0: little-endian float64, float32, int64 (beyond 2^53
/// rounded) or int32, C or Fortran order, of at most two axes. `name` is the file's, for messages.
/// @throws std::runtime_error that says file and what was expected
[[nodiscard]] inline NpyArray parse_npy(std::string_view bytes, std::string name) {
  return NpyReader(bytes, std::move(name)).read();
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
