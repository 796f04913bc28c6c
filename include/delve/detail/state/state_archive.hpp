// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>       // std::atomic
#include <cstddef>      // std::size_t
#include <cstdint>      // std::uint8_t, std::uint64_t
#include <cstring>      // std::memcpy
#include <optional>     // std::optional
#include <set>          // std::set
#include <stdexcept>    // std::runtime_error
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <type_traits>  // std::is_arithmetic_v, std::is_enum_v, …
#include <utility>      // std::exchange, std::move, std::pair
#include <vector>       // std::vector

#include <delve/mode.hpp>
#include <delve/version.hpp>

// What a tracker remembers, as bytes. A class lists its members once, in
//
//     template <typename Archive>
//     void state(Archive& archive) {
//       archive(first_, second_);
//     }
//
// and a StateWriter writes them there, a StateReader sets them. Numbers lie in the bytes as in the
// memory of the machine.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// Bytes that are not what was written.
class StateFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Writes what it is called with.
class StateWriter {
 public:
  static constexpr bool kReads = false;

  template <typename... Parts>
  void operator()(Parts&... parts);

  void raw(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
  }

  /// How many elements follow.
  [[nodiscard]] std::size_t length(std::size_t count, std::size_t /*bytes_each*/ = 1) {
    const std::uint64_t number = count;
    raw(&number, sizeof number);
    return count;
  }

  void require(bool /*holds*/) const {}

  /// All that was written, which is then the caller's.
  [[nodiscard]] std::string take() { return std::exchange(bytes_, {}); }

 private:
  std::string bytes_;
};

/// Sets what it is called with. Whatever the bytes, it never reads beyond them, nor takes memory
/// for more than they hold.
class StateReader {
 public:
  static constexpr bool kReads = true;

  explicit StateReader(std::string_view bytes) : left_(bytes) {}

  /// @throws StateFault where the bytes are not those of such parts
  template <typename... Parts>
  void operator()(Parts&... parts);

  void raw(void* data, std::size_t size) {
    const std::string_view bytes = take(size);
    if (size > 0) std::memcpy(data, bytes.data(), size);
  }

  [[nodiscard]] std::string_view take(std::size_t size) {
    require(size <= left_.size());
    const std::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }

  /// @param bytes_each how many bytes an element takes at least
  [[nodiscard]] std::size_t length(std::size_t /*count*/ = 0, std::size_t bytes_each = 1) {
    std::uint64_t number = 0;
    raw(&number, sizeof number);
    require(number <= left_.size() / bytes_each);
    return static_cast<std::size_t>(number);
  }

  /// @throws StateFault unless it holds
  void require(bool holds) const {
    if (!holds) throw StateFault("its content contradicts itself");
  }

  [[nodiscard]] bool has(std::size_t size) const { return size <= left_.size(); }
  [[nodiscard]] bool is_at_end() const { return left_.empty(); }

  /// Whether a tensor came from a device that is not here, and lies in the host's memory instead.
  [[nodiscard]] bool has_moved() const { return has_moved_; }
  void note_move() { has_moved_ = true; }

 private:
  std::string_view left_;
  bool has_moved_ = false;
};

/// Lets classes keep their state() to themselves.
struct StateAccess {
  template <typename Archive, typename Object>
  static auto state(Archive& archive, Object& object) -> decltype(object.state(archive)) {
    object.state(archive);
  }
};

template <typename Archive, typename Number>
std::enable_if_t<std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>> transfer(
    Archive& archive, Number& number) {
  archive.raw(&number, sizeof number);
}

template <typename Archive>
void transfer(Archive& archive, bool& flag) {
  std::uint8_t byte = flag ? 1 : 0;
  archive(byte);
  archive.require(byte <= 1);
  if constexpr (Archive::kReads) flag = byte == 1;
}

/// A value of an enumeration, up to its last one.
template <typename Archive, typename Enumeration>
void transfer_enumerated(Archive& archive, Enumeration& value, Enumeration last) {
  auto number = static_cast<std::uint8_t>(value);
  archive(number);
  archive.require(number <= static_cast<std::uint8_t>(last));
  if constexpr (Archive::kReads) value = static_cast<Enumeration>(number);
}

template <typename Archive>
void transfer(Archive& archive, std::string& text) {
  const std::size_t length = archive.length(text.size());
  if constexpr (Archive::kReads) {
    text = archive.take(length);
  } else {
    archive.raw(text.data(), length);
  }
}

template <typename Archive>
void transfer(Archive& archive, Mode& mode) {
  std::string name(mode.name());
  archive(name);
  if constexpr (Archive::kReads) {
    archive.require(is_mode_name(name));
    mode = Mode(name);
  }
}

template <typename Archive, typename Number>
void transfer(Archive& archive, std::atomic<Number>& number) {
  Number value = number.load();
  archive(value);
  if constexpr (Archive::kReads) number = value;
}

template <typename Archive, typename First, typename Second>
void transfer(Archive& archive, std::pair<First, Second>& pair) {
  archive(pair.first, pair.second);
}

template <typename Archive, typename Element>
void transfer(Archive& archive, std::optional<Element>& element) {
  bool is_set = element.has_value();
  archive(is_set);
  if constexpr (Archive::kReads) {
    element.reset();
    if (is_set) element.emplace();
  }
  if (is_set) archive(*element);
}

template <typename Archive, typename Element>
void transfer(Archive& archive, std::vector<Element>& elements) {
  const std::size_t count = archive.length(
      elements.size(), std::is_arithmetic_v<Element> ? sizeof(Element) : std::size_t{1});
  if constexpr (Archive::kReads) {
    elements.clear();
    // One after the other, so that a false count takes no memory.
    for (std::size_t i = 0; i < count; ++i) archive(elements.emplace_back());
  } else {
    for (Element& element : elements) archive(element);
  }
}

template <typename Archive, typename Element>
void transfer(Archive& archive, std::set<Element>& elements) {
  const std::size_t count = archive.length(elements.size());
  if constexpr (Archive::kReads) {
    elements.clear();
    for (std::size_t i = 0; i < count; ++i) {
      Element element{};
      archive(element);
      elements.insert(std::move(element));
    }
  } else {
    for (Element element : elements) archive(element);
  }
}

template <typename Archive, typename Object>
auto transfer(Archive& archive, Object& object) -> decltype(StateAccess::state(archive, object)) {
  StateAccess::state(archive, object);
}

template <typename... Parts>
void StateWriter::operator()(Parts&... parts) {
  (transfer(*this, parts), ...);
}

template <typename... Parts>
void StateReader::operator()(Parts&... parts) {
  (transfer(*this, parts), ...);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
