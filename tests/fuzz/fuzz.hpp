// SPDX-License-Identifier: MIT
#pragma once

// What the fuzz targets of this folder share. README.md tells how they are run.

#include <stdlib.h>  // mkdtemp

#include <cmath>         // std::isnan
#include <cstddef>       // std::size_t
#include <cstdint>       // std::uint8_t
#include <cstdlib>       // std::abort
#include <filesystem>    // std::filesystem
#include <functional>    // std::less
#include <iostream>      // std::cerr
#include <map>           // std::map
#include <optional>      // std::optional
#include <set>           // std::multiset
#include <stdexcept>     // std::invalid_argument, std::runtime_error
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::system_error
#include <vector>        // std::vector

#include <fmt/format.h>

#include <delve/record.hpp>

#include "records.hpp"

namespace delve_fuzz {

/// Takes one input, and returns 0.
using Target = int (*)(const std::uint8_t* data, std::size_t size);

/// All targets of the program, by name.
inline std::map<std::string, Target, std::less<>>& targets() {
  static std::map<std::string, Target, std::less<>> all;
  return all;
}

/// @throws std::invalid_argument where there is none of that name
inline Target target(std::string_view name) {
  const auto found = targets().find(name);
  if (found != targets().end()) return found->second;
  std::string known;
  for (const auto& [other, take] : targets()) known += (known.empty() ? "" : ", ") + other;
  throw std::invalid_argument(fmt::format("no target \"{}\"; there are {}", name, known));
}

struct Registered {
  Registered(const char* name, Target take) { targets().emplace(name, take); }
};

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return size == 0 ? "" : std::string(reinterpret_cast<const char*>(data), size);
}

/// Ends the program where a reader does not keep what it promises.
inline void require(bool holds, std::string_view promise) {
  if (holds) return;
  std::cerr << "broken promise: " << promise << std::endl;
  std::abort();
}

/// Whether an action returns, and does not refuse its input. It may refuse with a
/// std::runtime_error that says which file is bad; every other exception goes on, and is a finding.
template <typename Action>
bool accepts(std::string_view file, const Action& action) {
  try {
    action();
    return true;
  } catch (const std::system_error&) {
    throw;
  } catch (const std::runtime_error& refusal) {
    require(std::string_view(refusal.what()).find(file) != std::string_view::npos,
            fmt::format("\"{}\" names the file {}", refusal.what(), file));
    return false;
  }
}

/// What a file of these bytes becomes where a run goes on from it, which must give the same when it
/// is done again; nothing where the file is refused, and must stay as it was.
template <typename Action>
std::optional<std::string> gone_on(const std::string& path, const std::string& text,
                                   const Action& go_on) {
  delve_test::put(path, text);
  if (!accepts(path, go_on)) {
    require(delve_test::read(path) == text, "what cannot be resumed stays as it was");
    return std::nullopt;
  }
  std::string written = delve_test::read(path);
  go_on();
  require(delve_test::read(path) == written, "going on from the same epoch gives the same file");
  return written;
}

/// The first line of a text, which is taken off it.
inline std::string take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string line(text.substr(0, end));
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

/// Whether a file can be called this.
inline bool is_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

/// The numbers of records as texts. Missing ones are left out, as writers do; in any order, since a
/// table's columns are in that of their first number.
inline std::multiset<std::string> numbers_of(const std::vector<delve::EpochRecord>& records) {
  std::multiset<std::string> numbers;
  for (const delve::EpochRecord& record : records) {
    for (const auto& [name, value] : record.scalars) {
      if (!std::isnan(value)) numbers.insert(fmt::format("{}: {} = {}", record.epoch, name, value));
    }
    for (const delve::LayerRecord& layer : record.layers) {
      for (const delve::Value& value : layer.values) {
        if (std::isnan(value.value)) continue;
        numbers.insert(fmt::format("{}: {} {} = {}", record.epoch,
                                   delve::value_name(layer.mode, value.quantity, layer.layer),
                                   value.stat, value.value));
      }
    }
  }
  return numbers;
}

/// A folder of the program's own, empty at first, and gone with it.
class Folder {
 public:
  Folder() {
    std::string path = (std::filesystem::temp_directory_path() / "delve_fuzz_XXXXXX").string();
    require(::mkdtemp(path.data()) != nullptr, "a folder for temporary files can be made");
    path_ = path;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// Takes out what an input before left.
  const std::filesystem::path& emptied() const {
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      std::filesystem::remove_all(entry.path());
    }
    return path_;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace delve_fuzz

/// Begins the function that takes one input of a target, `size` bytes at `data`. libfuzzer.cpp
/// calls it, and replay.cpp.
#define DELVE_FUZZ_TARGET(name)                                      \
  static int take_input(const std::uint8_t* data, std::size_t size); \
  static const delve_fuzz::Registered registered(#name, take_input); \
  static int take_input(const std::uint8_t* data, std::size_t size)
