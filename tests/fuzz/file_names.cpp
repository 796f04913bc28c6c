// SPDX-License-Identifier: MIT

// Names of files, folders and columns. The input is three texts, a line each.

#include <delve/detail/plot/picture_file.hpp>
#include <delve/detail/reading/csv_records.hpp>
#include <delve/detail/support/file_names.hpp>
#include <delve/detail/support/text.hpp>

#include "fuzz.hpp"

namespace fuzz_file_names {

using delve_fuzz::require;

namespace {

void read_name(const std::string& name) {
  using namespace delve::detail;
  for (const FileNaming naming : {FileNaming::Posix, FileNaming::Windows}) {
    const std::string file = file_name_of(name, naming);
    require(file.find_first_of(std::string_view("/\0\n", 3)) == std::string::npos &&
                !file.empty() && file.front() != '.',
            "any name can be a file's");
    require(naming == FileNaming::Posix || is_name_on_windows(file), "Windows takes it, too");
    require(name_of_file(file) == name, "a name is read from a file's as it was written");
  }
  if (const auto read = name_of_file(name)) {
    require(file_name_of(*read, FileNaming::Posix) == name ||
                file_name_of(*read, FileNaming::Windows) == name,
            "only what is written is read");
  }
  if (const auto column = stat_column(name)) {
    const std::string written = value_name(column->mode, column->quantity, column->layer);
    require(name == written || name == "_" + written, "a column's name is read as it was written");
  }
}

}  // namespace

DELVE_FUZZ_TARGET(file_names) {
  using namespace delve::detail;
  const std::string text = delve_fuzz::text_of(data, size);
  std::string_view rest = text;
  const std::string a = delve_fuzz::take_line(rest);
  const std::string b = delve_fuzz::take_line(rest);
  const std::string c(rest);
  for (const std::string& name : {a, b, c}) read_name(name);

  require(!is_before(a, a), "nothing is before itself");
  require(is_before(a, b) + is_before(b, a) == (a != b), "different names have an order");
  require(!(is_before(a, b) && is_before(b, c)) || is_before(a, c), "the order goes on");

  if (const auto epoch = epoch_of_array_file(a, b)) {
    require(array_file_name(b, *epoch) == a, "only what is written is an array's file");
  }
  if (is_picture_of(a, b, {{"lsat"}, {"embed", true}}, {delve::Mode::Train, delve::Mode::Eval},
                    3)) {
    require(a.compare(0, b.size(), b) == 0, "a picture's name begins with the savefile's");
  }
  return 0;
}

}  // namespace fuzz_file_names
