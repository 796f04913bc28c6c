// SPDX-License-Identifier: MIT
// What is asked of the operating system, the same of each.
#include <delve/detail/os/files.hpp>
#include <delve/detail/os/growing_file.hpp>
#include <delve/detail/os/os.hpp>
#include <delve/detail/os/process.hpp>

#ifdef _WIN32
#include <shellapi.h>  // CommandLineToArgvW
#endif

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <delve/writers/csv.hpp>
#include <delve/writers/npy.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "system.hpp"

namespace test_os {

namespace os = delve::detail;
namespace fs = std::filesystem;
using delve_test::record;

namespace {

constexpr std::chrono::seconds kPatience(60);

/// What a shell does with a command: "sh -c" or "cmd /c".
os::ProcessEnd shell(const std::string& command, const os::OpenFile& output,
                     const std::string& input = "", const std::vector<std::string_view>& unset = {},
                     std::chrono::milliseconds limit = kPatience) {
  const auto program = os::find_program(os::on_windows ? "cmd" : "sh");
  REQUIRE(program);
  return os::run_program(*program, {os::on_windows ? "/c" : "-c", command}, input, output, limit,
                         unset);
}

std::string all_of(const os::OpenFile& file) {
  std::string bytes;
  CHECK_FALSE(file.rewind());
  CHECK_FALSE(file.read(bytes));
  return bytes;
}

}  // namespace

TEST_CASE("A file is opened as asked, and an error says why not", "[os]") {
  const fs::path folder = delve_test::fresh_folder("os_open");
  fs::create_directories(folder);
  const std::string path = (folder / "file").string();
  std::error_code error;
  CHECK_FALSE(os::OpenFile::open(path, os::FileAccess::Read, error).is_open());
  CHECK(error == std::errc::no_such_file_or_directory);
  CHECK(os::read_file(path) == std::nullopt);
  {
    const auto made = os::OpenFile::open(path, os::FileAccess::New, error);
    REQUIRE(made.is_open());
    CHECK_FALSE(error);
    CHECK_FALSE(made.write("new"));
    CHECK(all_of(made) == "new");
    CHECK_FALSE(os::OpenFile::open(path, os::FileAccess::New, error).is_open());
    CHECK(error == std::errc::file_exists);
  }
  {
    auto appended = os::OpenFile::open(path, os::FileAccess::Append, error);
    REQUIRE(appended.is_open());
    CHECK_FALSE(appended.write(" and more"));
    CHECK(appended.go_to_end() == 12);
    CHECK_FALSE(appended.cut(5));
    CHECK_FALSE(appended.flush());
    CHECK_FALSE(appended.close());
    CHECK_FALSE(appended.is_open());
  }
  CHECK(os::read_file(path) == "new a");
  os::append_to_file(path, std::string(100000, 'x'));
  CHECK(os::read_file(path) == "new a" + std::string(100000, 'x'));
  CHECK_THROWS_AS(os::read_file(folder.string()), os::FileError);
}

TEST_CASE("A path may be of any letters", "[os][names]") {
  const std::string folder = "os_größe_日本_😀";
  fs::remove_all(os::path_of(folder));
  const std::string savefile = folder + "/läuft";
  delve::CsvWriter table(savefile);
  delve::NpyWriter arrays(savefile, delve::NpyOptions{0, true});
  for (delve::Writer* const writer :
       {static_cast<delve::Writer*>(&table), static_cast<delve::Writer*>(&arrays)}) {
    writer->on_problem([](std::string_view message) { FAIL_CHECK(message); });
    writer->write(record(0, {{"größe", 0.5}}, {}));
    writer->close();
  }
  CHECK(table.path().find("läuft.csv") != std::string::npos);
  CHECK(os::read_file(savefile + ".csv") == ";größe\n0;0.5\n");
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(os::path_of(folder))) {
    found.push_back(os::text_of(entry.path().filename()));
  }
  std::sort(found.begin(), found.end());
  CHECK(found == std::vector<std::string>{"läuft", "läuft.csv", "läuft.npz"});
  CHECK(os::read_file(savefile + "/größe/größe_epoch0.npy")->size() == 136);
  // The system itself has these letters, not what a code page makes of them.
  CHECK(fs::exists(fs::path(u"os_gr\u00F6\u00DFe_\u65E5\u672C_\U0001F600") / u"l\u00E4uft.csv"));
  CHECK(os::text_of(os::path_of(savefile)) == savefile);
}

TEST_CASE("A table that somebody holds open is written at once or with a later epoch",
          "[os][faults]") {
  const fs::path folder = delve_test::fresh_folder("os_held");
  const std::string savefile = (folder / "run").string();
  std::vector<std::string> messages;
  delve::CsvWriter writer(savefile);
  writer.on_problem([&](std::string_view message) { messages.emplace_back(message); });
  writer.write(record(0, {{"a", 1}}, {}));
  {
    std::ifstream holder(savefile + ".csv");
    std::string line;
    REQUIRE(std::getline(holder, line));
    writer.write(record(1, {{"a", 2}, {"b", 3}}, {}));  // a column more: the table is replaced
    const std::string now = delve_test::read(savefile + ".csv");
    if (now == ";a\n0;1\n") {
      REQUIRE(messages.size() == 1);
      CHECK(messages[0].find("cannot write") == 0);
      CHECK(messages[0].find("it is tried again with every epoch") != std::string::npos);
    } else {
      CHECK(now == ";a;b\n0;1;\n1;2;3\n");
      CHECK(messages.empty());
    }
    // On Windows a reader that does not let others remove the file keeps it in its place.
    CHECK((now == ";a\n0;1\n") == os::on_windows);
  }
  writer.write(record(2, {{"a", 4}, {"b", 5}}, {}));
  CHECK(delve_test::read(savefile + ".csv") == ";a;b\n0;1;\n1;2;3\n2;4;5\n");
  writer.close();
  CHECK(messages.size() == (os::on_windows ? 1 : 0));
  CHECK(std::distance(fs::directory_iterator(folder), {}) == 1);  // nothing left over
}

TEST_CASE("A savefile that the system has no name for is refused", "[os][misuse]") {
  for (const std::string name : {"os_name/a:b", "os_name/what?", "os_name/nul", "os_name/end."}) {
    CAPTURE(name);
    if (os::on_windows) {
      CHECK_THROWS_WITH(delve::CsvWriter(name),
                        ContainsSubstring("on Windows its name must hold none of <>:\"|?*\\"));
    } else {
      CHECK_NOTHROW(delve::CsvWriter(name));
    }
  }
}

TEST_CASE("A program is found, run and listened to", "[os][process]") {
  const os::OpenFile output = os::nameless_file();
  const os::ProcessEnd end = shell(
      os::on_windows ? "echo words& echo faults>&2& exit 3" : "echo words; echo faults >&2; exit 3",
      output);
  CHECK(end.exit_code == 3);
  CHECK(end.signal == 0);
  CHECK_FALSE(end.timed_out);
  CHECK_THAT(all_of(output), ContainsSubstring("words"));
  CHECK_THAT(end.errors, ContainsSubstring("faults"));
  CHECK(os::fault_of(end, "it", "1 s") == "it ended with code 3");

  const os::OpenFile heard = os::nameless_file();
  // A shell that reads what it is to do.
  CHECK(shell(os::on_windows ? "cmd" : "sh", heard, "echo a pear\nexit 5\n").exit_code == 5);
  CHECK_THAT(all_of(heard), ContainsSubstring("a pear"));

  CHECK(os::find_program("no-such-program-here") == std::nullopt);
  CHECK(os::find_program("") == std::nullopt);
  CHECK(os::was_not_found("it") == "it was not found in PATH");
  CHECK(os::was_not_found("bin/it") == "bin/it was not found");
  CHECK_THROWS_AS(os::run_program("no/such/program", {}, "", output, kPatience), os::FileError);
}

TEST_CASE("A program does not get the variables that are unset", "[os][process]") {
  // Not PATH, which a shell sets where it is missing.
#if defined(_WIN32)
  ::_putenv_s("DELVE_TEST_OS", "its value");
#else
  ::setenv("DELVE_TEST_OS", "its value", 1);  // NOLINT(concurrency-mt-unsafe)
#endif
  const std::string ask = os::on_windows ? "echo [%DELVE_TEST_OS%]" : "echo [$DELVE_TEST_OS]";
  const os::OpenFile with = os::nameless_file();
  const os::OpenFile without = os::nameless_file();
  shell(ask, with);
  shell(ask, without, "", {"DELVE_TEST_OS"});
  CHECK_THAT(all_of(with), ContainsSubstring("[its value]"));
  CHECK(all_of(without).find("its value") == std::string::npos);
}

TEST_CASE("A program that takes too long is killed, with what it started", "[os][process]") {
  const os::OpenFile output = os::nameless_file();
  const auto begin = std::chrono::steady_clock::now();
  const os::ProcessEnd end =
      shell(os::on_windows ? "cmd /c for /L %i in (1,0,2) do @rem" : "sleep 100 & sleep 100",
            output, "", {}, std::chrono::milliseconds(300));
  CHECK(end.timed_out);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(50));
  CHECK(os::fault_of(end, "it", "0.3 s") == "it did not end within 0.3 s");
}

TEST_CASE("The system reports process, host and memory", "[os]") {
  CHECK(os::process_id() > 0);
  CHECK_FALSE(os::host_name().empty());
  REQUIRE(os::available_memory());
  CHECK(*os::available_memory() > 10'000'000);
}

#ifdef _WIN32
TEST_CASE("Arguments come to a program as they were", "[os][process]") {
  std::mt19937 random(11);
  const std::wstring likely = L"a \"\\\t'^%&|é";
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::wstring> arguments;
    std::wstring command_line = L"program";
    for (auto count = random() % 4; count > 0; --count) {
      std::wstring argument;
      for (auto length = random() % 8; length > 0; --length) {
        argument += likely[random() % likely.size()];
      }
      command_line.append(L" ").append(os::quoted_argument(argument));
      arguments.push_back(argument);
    }
    // As Windows itself takes a command line apart.
    int count = 0;
    wchar_t** const parts = ::CommandLineToArgvW(command_line.c_str(), &count);
    REQUIRE(static_cast<std::size_t>(count) == arguments.size() + 1);
    for (std::size_t i = 0; i < arguments.size(); ++i) REQUIRE(parts[i + 1] == arguments[i]);
    ::LocalFree(parts);
  }
}
#endif

}  // namespace test_os
