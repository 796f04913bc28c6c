// SPDX-License-Identifier: MIT
#pragma once

// A tree of files in one input: for each file its path in a line, "FOLDER/FILE", the size of its
// content in two bytes, lowest first, and the content.

#include <algorithm>   // std::min
#include <cstdint>     // std::uint16_t
#include <filesystem>  // std::filesystem

#include <delve/detail/support/little_endian.hpp>

#include "fuzz.hpp"
#include "records.hpp"

namespace delve_fuzz {

/// The part of an input that is one file.
inline std::string tree_entry(const std::string& path, const std::string& content) {
  std::string entry = path + "\n";
  delve::detail::append_little_endian(entry, static_cast<std::uint16_t>(content.size()));
  return entry + content;
}

/// Makes the files that an input tells. Those that cannot be made are left out.
inline void make_tree(const std::filesystem::path& folder, std::string_view input) {
  while (!input.empty()) {
    const std::string path = take_line(input);
    const std::size_t told =
        input.size() < 2 ? 0 : delve::detail::read_little_endian<std::uint16_t>(input);
    input.remove_prefix(std::min<std::size_t>(input.size(), 2));
    const std::string content(input.substr(0, told));
    input.remove_prefix(content.size());
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string name = path.substr(std::min(slash + 1, path.size()));
    if (!is_file_name(path.substr(0, slash)) || !is_file_name(name)) continue;
    delve_test::put(folder / path, content);
  }
}

}  // namespace delve_fuzz
