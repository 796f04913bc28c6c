// SPDX-License-Identifier: MIT
#include <delve/writers/npy.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <delve/detail/os/os.hpp>

#include "catch.hpp"
#include "records.hpp"
#include "system.hpp"

namespace test_npy_writer {

using delve::Mode;
using delve::NpyOptions;
using delve::NpyWriter;
using delve::detail::file_name_of;
using delve::detail::FileNaming;
using delve::detail::name_of_file;
using delve::detail::npy_bytes;
using delve::detail::NpyArray;
using delve::detail::parse_npy;
using delve_test::layer;
using delve_test::put;
using delve_test::read;
using delve_test::record;
namespace fs = std::filesystem;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A path in an empty folder of the test's own.
fs::path fresh(const std::string& name) {
  const fs::path folder = fs::path("npy") / name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder / "run";
}

/// All files below a folder, links too, as paths from there.
std::set<std::string> files_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_directory() || entry.is_symlink()) {
      names.insert(entry.path().lexically_relative(folder).generic_string());
    }
  }
  return names;
}

Eigen::MatrixXd matrix(Eigen::Index rows, Eigen::Index columns) {
  std::mt19937_64 random(1);
  Eigen::MatrixXd values(rows, columns);
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    values.data()[i] = std::normal_distribution<double>()(random);
  }
  return values;
}

delve::ArrayValue array_value(const std::string& quantity, const Eigen::MatrixXd& values) {
  return {quantity, quantity, std::make_shared<const Eigen::MatrixXd>(values)};
}

/// A file as NumPy lays it out, of any version, header and numbers (this machine's, little-endian).
template <typename Number>
std::string file_of(int version, const std::string& header, const std::vector<Number>& numbers) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  bytes += static_cast<char>(header.size());
  bytes.append(version == 1 ? 1 : 3, '\0');
  bytes += header;
  std::string raw(numbers.size() * sizeof(Number), '\0');
  if (!raw.empty()) std::memcpy(raw.data(), numbers.data(), raw.size());
  return bytes + raw;
}

std::string refusal(const std::string& bytes) {
  try {
    static_cast<void>(parse_npy(bytes, "a.npy"));
  } catch (const std::runtime_error& error) {
    const std::string what = error.what();
    const std::string beginning = "\"a.npy\": not a .npy file that can be read: expected ";
    return what.compare(0, beginning.size(), beginning) == 0 ? what.substr(beginning.size()) : what;
  }
  return "accepted";
}

using Watched = delve_test::Watched<NpyWriter, NpyOptions>;

}  // namespace

TEST_CASE("Arrays are encoded as NumPy's own save() does, to the byte", "[npy]") {
  const auto padded = [](const std::string& shape) {
    std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + ", }";
    header.resize(117, ' ');
    return std::string("\x93NUMPY\x01\x00v\x00", 10) + header + "\n";
  };
  using namespace std::string_literals;
  const std::string one = "\0\0\0\0\0\0\xf0\x3f"s;
  const std::string two_and_a_half = "\0\0\0\0\0\0\x04\x40"s;
  CHECK(npy_bytes(2.5) == padded("()") + two_and_a_half);
  CHECK(npy_bytes(Eigen::MatrixXd(Eigen::Vector3d(1, 2.5, 1))) ==
        padded("(3,)") + one + two_and_a_half + one);
  CHECK(npy_bytes((Eigen::MatrixXd(1, 2) << 1, 2.5).finished()) ==
        padded("(1, 2)") + one + two_and_a_half);
  CHECK(npy_bytes((Eigen::MatrixXd(2, 2) << 1, 2.5, 2.5, 2.5).finished()) ==
        padded("(2, 2)") + one + two_and_a_half + two_and_a_half + two_and_a_half);
  CHECK(npy_bytes(Eigen::MatrixXd(0, 1)) == padded("(0,)"));
  CHECK(npy_bytes(Eigen::MatrixXd(0, 3)) == padded("(0, 3)"));
}

TEST_CASE("What is encoded decodes to the same bits and shape", "[npy]") {
  Eigen::MatrixXd odd = matrix(5, 7);
  odd(0, 0) = -0.0;
  odd(1, 0) = kNaN;
  odd(2, 0) = -kInfinity;
  odd(3, 0) = 5e-324;
  for (const Eigen::MatrixXd& values :
       {odd, matrix(1, 9), matrix(9, 1), matrix(1, 1), matrix(0, 4), matrix(0, 1), matrix(4, 0)}) {
    const NpyArray array = parse_npy(npy_bytes(values), "");
    REQUIRE(array.values.rows() == values.rows());
    REQUIRE(array.values.cols() == values.cols());
    CHECK(array.shape == (values.cols() == 1
                              ? std::vector<std::int64_t>{values.rows()}
                              : std::vector<std::int64_t>{values.rows(), values.cols()}));
    CHECK(std::equal(values.data(), values.data() + values.size(), array.values.data(),
                     [](double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }));
  }
  const NpyArray number = parse_npy(npy_bytes(-2.5), "");
  CHECK(number.shape.empty());
  CHECK(number.values == Eigen::MatrixXd::Constant(1, 1, -2.5));
}

TEST_CASE("Both versions, orders and four types of numbers are read", "[npy]") {
  const Eigen::MatrixXd expected = (Eigen::MatrixXd(2, 3) << 1, 2, 3, 4, 5, -6).finished();
  const std::string c_order = "'fortran_order': False, 'shape': (2, 3)";
  const std::string fortran_order = "'fortran_order': True, 'shape': (2, 3)";
  for (const int version : {1, 2}) {
    CHECK(
        parse_npy(
            file_of<double>(version, "{'descr': '<f8', " + c_order + "}", {1, 2, 3, 4, 5, -6}), "")
            .values == expected);
    CHECK(parse_npy(file_of<float>(version, "{'descr': '<f4', " + fortran_order + ", }   \n",
                                   {1, 4, 2, 5, 3, -6}),
                    "")
              .values == expected);
    CHECK(parse_npy(file_of<std::int64_t>(version, "{\"descr\" : \"<i8\" ," + c_order + " , } ",
                                          {1, 2, 3, 4, 5, -6}),
                    "")
              .values == expected);
    CHECK(parse_npy(file_of<std::int32_t>(version, "{" + fortran_order + ", 'descr': '<i4', }\n",
                                          {1, 4, 2, 5, 3, -6}),
                    "")
              .values == expected);
  }
  CHECK(parse_npy(file_of<float>(1, "{'descr':'<f4','fortran_order':False,'shape':()}", {0.5F}), "")
            .values(0, 0) == 0.5);
}

TEST_CASE("A malformed file is refused with its name and what was expected", "[npy]") {
  const auto with = [](const std::string& header, std::size_t numbers = 3) {
    return refusal(file_of(1, header, std::vector<double>(numbers)));
  };
  const std::string type = "{'descr': '<f8', 'fortran_order': False, 'shape': ";
  CHECK(refusal("") == "\"\\x93NUMPY\" at its beginning");
  CHECK(refusal("\x93NUMPX") == "\"\\x93NUMPY\" at its beginning");
  CHECK(refusal("\x93NUMPY\x03") == "format version 1.0 or 2.0");
  CHECK(refusal(std::string("\x93NUMPY\x01\x00v", 9)) == "the size of the header");
  CHECK(refusal(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{", 13)) ==
        "a header of 4294967295 bytes, found 1 bytes");
  CHECK(with("") == "'{' in the header");
  CHECK(with("{'descr': '<f8") == "a closing quote in the header");
  CHECK(with("{descr: '<f8'}") == "a text in quotes in the header");
  CHECK(with("{'descr': '>f8'}") == "numbers of type '<f8', '<f4', '<i8' or '<i4'");
  CHECK(with("{'descr': '|O'}") == "numbers of type '<f8', '<f4', '<i8' or '<i4'");
  CHECK(with("{'fortran_order': 1}") == "True or False for \"fortran_order\"");
  CHECK(with("{'descr': '<f8', 'descr': '<f8'}").find("each once") != std::string::npos);
  CHECK(with("{'color': 'red'}").find("each once") != std::string::npos);
  CHECK(with("{}") == "\"descr\", \"fortran_order\" and \"shape\" in the header");
  CHECK(with(type + "(3,)") == "'}' in the header");
  CHECK(with(type + "(3,)} x") == "nothing after the dictionary of the header");
  CHECK(with(type + "(3)}") == "',' after the only size in \"shape\"");
  CHECK(with(type + "(-3,)}") == "sizes of 0 or more in \"shape\"");
  CHECK(with(type + "(99999999999999999999,)}") == "sizes of 0 or more in \"shape\"");
  CHECK(with(type + "(1, 1, 3)}") == "an array of at most two axes");
  CHECK(with(type + "(4,)}") == "4 x 1 numbers of 8 bytes each, found 24 bytes");
  CHECK(with(type + "(2,)}") == "2 x 1 numbers of 8 bytes each, found 24 bytes");
  CHECK(with(type + "()}") == "1 x 1 numbers of 8 bytes each, found 24 bytes");
  // 2^62 · 4 and 2^32 · 2^32 are 0 in 64 bits.
  CHECK(with(type + "(4611686018427387904, 4)}", 0).find("numbers of 8 bytes") !=
        std::string::npos);
  CHECK(with(type + "(4294967296, 4294967296)}", 0).find("numbers of") != std::string::npos);
  CHECK(with(type + "(9223372036854775807, 3)}").find("numbers of") != std::string::npos);
  CHECK(with(type + "(3,)}") == "accepted");
  // No numbers, so no memory: but it must not take a loop over the other axis either.
  CHECK(with(type + "(0, 9223372036854775807)}", 0) == "accepted");
  CHECK(with(type + "(9223372036854775807, 0)}", 0) == "accepted");
}

TEST_CASE("Spoiled files are read or refused, never worse", "[npy][fuzz]") {
  std::mt19937 random(7);
  const std::vector<std::string> seeds = {
      npy_bytes(1.5), npy_bytes(matrix(3, 1)), npy_bytes(matrix(2, 3)),
      file_of<std::int32_t>(2, "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 1), }",
                            {1, 2})};
  const std::string likely = "0123456789(),{}':<fi \n\x93\xff";
  int read_count = 0;
  for (int round = 0; round < 40000; ++round) {
    std::string bytes = seeds[random() % seeds.size()];
    for (unsigned change = 0; change <= random() % 4 && !bytes.empty(); ++change) {
      // Most bytes of a header are blanks, which say nothing: aim at the others.
      const std::size_t place = random() % std::min<std::size_t>(bytes.size(), 80);
      switch (random() % 5) {
        case 0:
          bytes[place] = static_cast<char>(random());
          break;
        case 1:
          bytes[place] = likely[random() % likely.size()];
          break;
        case 2:
          bytes.erase(place, random() % 3);
          break;
        case 3:
          bytes.insert(place, 1, likely[random() % likely.size()]);
          break;
        default:
          bytes.resize(random() % bytes.size() + 1);
          break;
      }
    }
    try {
      const NpyArray array = parse_npy(bytes, "spoiled.npy");
      ++read_count;
      // A number has at least four bytes.
      REQUIRE(array.values.size() <= static_cast<Eigen::Index>(bytes.size() / 4));
    } catch (const std::runtime_error& error) {
      REQUIRE(std::string(error.what()).find("spoiled.npy") != std::string::npos);
    }
  }
  CHECK(read_count > 100);
}

TEST_CASE("Any name is the name of one file, and comes back", "[npy][names]") {
  CHECK(file_name_of("train-saturation_features-0") == "train-saturation_features-0");
  CHECK(file_name_of("a/b") == "a%2Fb");
  CHECK(file_name_of("100%") == "100%25");
  CHECK(file_name_of("..", FileNaming::Posix) == "%2E.");
  CHECK(file_name_of(".hidden.txt") == "%2Ehidden.txt");
  CHECK(file_name_of("") == "%");
  CHECK(file_name_of("two\nlines\x7F") == "two%0Alines%7F");
  CHECK(file_name_of("größe: \\ \"*\" | é", FileNaming::Posix) == "größe: \\ \"*\" | é");

  std::mt19937 random(3);
  const std::string likely = std::string("/%.2Fa\n\x7F\xC3", 9) + '\0' + "<>:\"|?*\\ .CONU1\xA9";
  for (const FileNaming naming : {FileNaming::Posix, FileNaming::Windows}) {
    std::set<std::string> names;
    std::set<std::string> file_names;
    for (int i = 0; i < 20000; ++i) {
      std::string name;
      for (auto length = random() % 6; length > 0; --length) {
        name += random() % 4 != 0 ? likely[random() % likely.size()] : static_cast<char>(random());
      }
      const std::string file_name = file_name_of(name, naming);
      REQUIRE(name_of_file(file_name) == name);
      REQUIRE_FALSE(file_name.empty());
      REQUIRE(file_name.front() != '.');
      REQUIRE(std::none_of(file_name.begin(), file_name.end(), [](char c) {
        return c == '/' || c == '\x7F' || static_cast<unsigned char>(c) < 0x20;
      }));
      if (naming == FileNaming::Windows) {
        REQUIRE(delve::detail::is_name_on_windows(file_name));
        REQUIRE(delve::detail::valid_utf8(file_name) == file_name);
      }
      names.insert(name);
      file_names.insert(file_name);
    }
    CHECK(names.size() == file_names.size());
  }
  for (const std::string alien :
       {"", ".", "..", ".a", "a/b", "%2f", "%41", "%2", "a%", "%G0", "a\n", "%3Aa:", "%4Eum"}) {
    CHECK(name_of_file(alien) == std::nullopt);
  }
}

TEST_CASE("What Windows forbids in a name is encoded there, and read everywhere", "[npy][names]") {
  const std::map<std::string, std::string> on_windows = {
      {"a<b>c:d\"e|f?g*h\\i", "a%3Cb%3Ec%3Ad%22e%7Cf%3Fg%2Ah%5Ci"},
      {"CON", "%43ON"},
      {"nul", "%6Eul"},
      {"aux.weights", "%61ux.weights"},
      {"Com1", "%43om1"},
      {"LPT\xC2\xB2.x", "%4CPT\xC2\xB2.x"},
      {"prn .a", "%70rn .a"},
      {"CONV", "CONV"},
      {"COM", "COM"},
      {"COM10", "COM10"},
      {"null", "null"},
      {"end.", "end%2E"},
      {"end..", "end.%2E"},
      {"end ", "end%20"},
      {".", "%2E"},
      {". ", "%2E%20"},
      {"größe 😀", "größe 😀"},
      {"no \xFF utf-8 \xC3", "no %FF utf-8 %C3"},
      {"train-saturation_features-0", "train-saturation_features-0"}};
  for (const auto& [name, file_name] : on_windows) {
    CHECK(file_name_of(name, FileNaming::Windows) == file_name);
    CHECK(name_of_file(file_name) == name);
    CHECK(delve::detail::is_name_on_windows(file_name));
    CHECK(name_of_file(file_name_of(name, FileNaming::Posix)) == name);
  }
  for (const std::string name : {"a:b", "what?", "NUL", "con.npy", "end.", "end ", "lpt9"}) {
    CHECK_FALSE(delve::detail::is_name_on_windows(name));
  }
}

TEST_CASE("Every number and array of an epoch has its file", "[npy]") {
  const fs::path savefile = fresh("files");
  delve::LayerRecord first = layer("features-0", Mode::Train, {0.875, 7});
  first.arrays = {array_value("covariance-matrix", matrix(4, 4)),
                  array_value("eigenvalues", matrix(4, 1))};
  const auto epoch =
      record(12, {{"accuracy", 0.25}, {"missing", kNaN}, {"../../escape", kInfinity}},
             {first, layer("block/a", Mode::Eval, {kNaN, 3})});
  Watched watched(savefile);
  watched.writer.write(epoch);
  watched.writer.close();
  CHECK(watched.messages.empty());
  CHECK(watched.writer.path() == fs::absolute(savefile).string());

  const auto array = [&](const std::string& path) {
    return parse_npy(read((savefile / path).string()), path);
  };
  CHECK(array("accuracy/accuracy_epoch12.npy").values(0, 0) == 0.25);
  CHECK(array("accuracy/accuracy_epoch12.npy").shape.empty());
  CHECK(array("%2E.%2F..%2Fescape/%2E.%2F..%2Fescape_epoch12.npy").values(0, 0) == kInfinity);
  CHECK(array("train-saturation_features-0/train-saturation_features-0_epoch12.npy").values(0, 0) ==
        0.875);
  const std::string covariance = "train-covariance-matrix_features-0";
  CHECK(array(covariance + "/" + covariance + "_epoch12.npy").values == matrix(4, 4));
  CHECK(array("train-eigenvalues_features-0/train-eigenvalues_features-0_epoch12.npy").shape ==
        std::vector<std::int64_t>{4});
  CHECK(files_in(savefile).size() == 7);
  CHECK(files_in(savefile).count("eval-intrinsic-dimensionality_block%2Fa/"
                                 "eval-intrinsic-dimensionality_block%2Fa_epoch12.npy") == 1);
  CHECK(files_in(savefile.parent_path()).size() == 7);  // nothing beside, nothing left over
}

TEST_CASE("A run begins where it says, and touches nothing but arrays of its own naming",
          "[npy][resume]") {
  const fs::path savefile = fresh("resume");
  {
    NpyWriter writer(savefile.string());
    for (int epoch = 0; epoch < 12; ++epoch) writer.write(record(epoch, {{"a/b", epoch}}, {}));
  }
  std::set<std::string> others = {
      "notes.txt",                // not in a folder of ours
      "a%2Fb_epoch11.npy",        // nor this
      "a%2Fb/other_epoch11.npy",  // another name
      "a%2Fb/a%2Fb_epoch011.npy",
      "a%2Fb/a%2Fb_epoch.npy",
      "a%2Fb/a%2Fb_epoch11.npy.bak",
      "a%2Fb/a%2Fb_epoch+11.npy",
      "a%2Fb/a%2Fb_epoch-1.npy",
      "a%2Fb/sub/sub_epoch11.npy",
      "a%2fb/a%2fb_epoch11.npy",  // a folder that we would call otherwise
      ".git/.git_epoch11.npy"};
  // The same folder for Windows, which does not tell case.
  if (delve::detail::on_windows) others.erase("a%2fb/a%2fb_epoch11.npy");
  for (const std::string& other : others) put(savefile / other, "precious");
  fs::create_directories(savefile / "a%2Fb/a%2Fb_epoch99.npy");  // a folder
  put(savefile.parent_path() / "away/away_epoch11.npy", "precious");
  if (delve_test::has_links()) {
    fs::create_directory_symlink("../away", savefile / "away");
    fs::create_symlink("../../away/away_epoch11.npy", savefile / "a%2Fb/a%2Fb_epoch50.npy");
  }

  const auto expect = [&](int last_epoch) {
    std::set<std::string> expected = others;
    if (delve_test::has_links()) expected.insert({"away", "a%2Fb/a%2Fb_epoch50.npy"});
    for (int epoch = 0; epoch <= last_epoch; ++epoch) {
      expected.insert("a%2Fb/a%2Fb_epoch" + std::to_string(epoch) + ".npy");
    }
    CHECK(files_in(savefile) == expected);
    CHECK(read((savefile.parent_path() / "away/away_epoch11.npy").string()) == "precious");
    CHECK(fs::is_directory(savefile / "a%2Fb/a%2Fb_epoch99.npy"));
  };
  expect(11);
  NpyWriter(savefile.string(), NpyOptions{20});
  expect(11);
  NpyWriter(savefile.string(), NpyOptions{10});
  expect(9);
  const std::string kept = read((savefile / "a%2Fb/a%2Fb_epoch9.npy").string());
  NpyWriter resumed(savefile.string(), NpyOptions{10});
  resumed.write(record(10, {{"a/b", 0.5}}, {}));
  expect(10);
  CHECK(read((savefile / "a%2Fb/a%2Fb_epoch9.npy").string()) == kept);
  NpyWriter(savefile.string());
  expect(-1);
}

TEST_CASE("Arrays that cannot be written are reported once, and counted at the end",
          "[npy][faults]") {
  const fs::path savefile = fresh("faults");
  Watched watched(savefile);
  watched.writer.write(record(0, {{"a", 1}, {"b", 1}}, {}));
  // Folders make way for files, which not even root can write into.
  const std::string before = read((savefile / "b/b_epoch0.npy").string());
  fs::remove_all(savefile / "a");
  put(savefile / "a", "in the way");
  for (int epoch = 1; epoch < 4; ++epoch) {
    watched.writer.write(record(epoch, {{"a", 1}, {"b", epoch}}, {}));
  }
  REQUIRE(watched.messages.size() == 1);
  CHECK(watched.messages[0].find((savefile / "a").string() + "\"") != std::string::npos);
  watched.writer.close();
  REQUIRE(watched.messages.size() == 2);
  CHECK(watched.messages[1].find("3 arrays in all were not written because of: ") == 0);
  CHECK(read((savefile / "b/b_epoch0.npy").string()) == before);
  CHECK(parse_npy(read((savefile / "b/b_epoch3.npy").string()), "").values(0, 0) == 3);
  CHECK(files_in(savefile).size() == 5);  // nothing left over
}

TEST_CASE("The archive holds the folder's arrays, whatever its name, and nothing else",
          "[npy][zip]") {
  const fs::path folder = fresh("zip").parent_path();
  const fs::path savefile = folder / "-r @ it's $(touch obeyed)";
  Watched watched(savefile, NpyOptions{0, true});
  const auto epoch_of = [](int epoch) {
    return record(epoch, {{"a/b", 0.5 * epoch}, {"größe", epoch}, {"\xff", epoch}}, {});
  };
  for (int epoch = 0; epoch < 12; ++epoch) watched.writer.write(epoch_of(epoch));
  put(folder / "beside.txt", "not to be packed");
  put(savefile / "notes.txt", "nor this");
  put(savefile / "größe/other_epoch1.npy", "nor this");
  CHECK_FALSE(fs::exists(savefile.string() + ".npz"));
  watched.writer.close();
  CHECK(watched.messages.empty());
  const std::string archive = read(savefile.string() + ".npz");
  const std::set<std::string> files = files_in(savefile);
  CHECK(files.size() == 3 * 12 + 2);
  CHECK(files_in(folder).size() == files.size() + 2);  // beside.txt and the archive

  const auto unzip = delve::detail::find_program("unzip");
  if (!unzip) {
    LEAVE_OUT("there is no unzip to look into the archive");
  }
  // Under a plain name, for unzip takes "[" and the like for patterns.
  const fs::path plain = folder / "plain.zip";
  put(plain, archive);
  const fs::path unpacked = folder / "unpacked";
  const auto output = delve::detail::nameless_file();
  const auto run = [&](std::vector<std::string> arguments) {
    return delve::detail::run_program(*unzip, std::move(arguments), "", output,
                                      std::chrono::seconds(60));
  };
  const auto tested = run({"-tq", plain.string()});
  CHECK(tested.exit_code == 0);
  CHECK(tested.errors.empty());
  CHECK(run({"-q", plain.string(), "-d", unpacked.string()}).exit_code == 0);
  std::set<std::string> expected = files;
  expected.erase("notes.txt");
  expected.erase("größe/other_epoch1.npy");
  std::size_t compared = 0;
  for (const std::string& file : expected) {
    if (file.front() == '\xff') continue;  // no name in any code page: unzip makes one of its own
    CHECK(read((unpacked / file).string()) == read((savefile / file).string()));
    ++compared;
  }
  CHECK(compared == 2 * 12);
  CHECK(files_in(unpacked).size() == expected.size());
}

TEST_CASE("The same arrays make the same archive, those of earlier runs among them", "[npy][zip]") {
  const fs::path whole = fresh("zip-whole");
  const fs::path resumed = fresh("zip-resumed");
  const auto run = [](const fs::path& savefile, int begin, int end) {
    Watched watched(savefile, NpyOptions{begin, true});
    for (int epoch = begin; epoch < end; ++epoch) {
      watched.writer.write(record(epoch, {{"b", epoch}, {"a", 1.0 / (epoch + 1)}}, {}));
    }
    watched.writer.close();
    CHECK(watched.messages.empty());
    return read(savefile.string() + ".npz");
  };
  const std::string archive = run(whole, 0, 11);
  run(resumed, 0, 5);
  CHECK(run(resumed, 3, 11) == archive);
  // By name, then by epoch.
  CHECK(archive.find("a/a_epoch2.npy") < archive.find("a/a_epoch10.npy"));
  CHECK(archive.find("a/a_epoch10.npy") < archive.find("b/b_epoch0.npy"));
}

TEST_CASE("The CRC-32 of known texts is what is published", "[npy][zip]") {
  // "Check" of the Catalogue of parametrised CRC algorithms, CRC-32/ISO-HDLC.
  CHECK(delve::detail::crc32("123456789") == 0xCBF43926U);
  CHECK(delve::detail::crc32("") == 0);
}

TEST_CASE("An archive that fails is reported, and the old one stays whole", "[npy][zip][faults]") {
  const fs::path savefile = fresh("bad-zip");
  const fs::path in_the_way = savefile.string() + ".npz";
  put(in_the_way / "precious", "a folder where the archive should be");
  {
    Watched watched(savefile, NpyOptions{0, true});
    watched.writer.write(record(0, {{"a", 1}}, {}));
    watched.writer.close();
    REQUIRE(watched.messages.size() == 1);
    CHECK(watched.messages[0].find("cannot write \"" + fs::absolute(in_the_way).string()) == 0);
  }
  CHECK(files_in(savefile.parent_path()) ==
        std::set<std::string>{"run.npz/precious", "run/a/a_epoch0.npy"});

  // The folder is gone when the run ends: there is nothing to pack.
  fs::remove_all(in_the_way);
  put(in_the_way, "the old one");
  Watched watched(savefile, NpyOptions{0, true});
  fs::remove_all(savefile);
  watched.writer.close();
  CHECK(watched.messages.empty());
  CHECK(read(in_the_way.string()) == "the old one");
  CHECK(files_in(savefile.parent_path()) == std::set<std::string>{"run.npz"});
}

TEST_CASE("A savefile without a name, or that is a file, is refused", "[npy][misuse]") {
  CHECK_THROWS_AS(NpyWriter("npy/"), std::invalid_argument);
  CHECK_THROWS_AS(NpyWriter("npy/x", NpyOptions{-1}), std::invalid_argument);
  const fs::path savefile = fresh("blocked");
  put(savefile, "a file");
  CHECK_THROWS_AS(NpyWriter(savefile.string()), std::runtime_error);
}

}  // namespace test_npy_writer
