// SPDX-License-Identifier: MIT

#include <sys/resource.h>  // getrusage
#include <unistd.h>        // getpid

#include <array>       // std::array
#include <cmath>       // std::sqrt
#include <cstddef>     // std::size_t
#include <cstdint>     // std::uint8_t, std::uint32_t
#include <filesystem>  // std::filesystem
#include <fstream>     // std::ofstream
#include <string>      // std::string
#include <vector>      // std::vector

#include <fmt/format.h>
#include <zlib.h>

#include "catch.hpp"
#include "data_sets.hpp"

namespace test_pictures {

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;
using examples::BadFile;
using examples::Pictures;
using examples::read_cifar10;
using examples::read_fashion_mnist;
using examples::Split;

/// An empty folder that is gone with the object.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / fmt::format("delve_pictures_{}", getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

  void write(const std::string& name, const Bytes& bytes) const {
    std::ofstream file(path_ / name, std::ios::binary);
    for (const std::uint8_t byte : bytes) file.put(static_cast<char>(byte));
  }
  void write_packed(const std::string& name, const Bytes& bytes) const {
    gzFile packed = gzopen(file(name).c_str(), "wb");
    gzwrite(packed, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(packed);
  }

 private:
  fs::path path_;
};

/// The text of the BadFile that an action throws, or a text that no test expects.
template <typename Action>
std::string fault_of(const Action& action) {
  try {
    action();
  } catch (const BadFile& fault) {
    return fault.what();
  }
  return "nothing was thrown";
}

/// Records of CIFAR-10 with these labels; byte k of record i is (i + k / 1024) % 256.
Bytes cifar_records(const Bytes& labels) {
  Bytes bytes;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    bytes.push_back(labels[i]);
    for (std::size_t k = 0; k < 3072; ++k) {
      bytes.push_back(static_cast<std::uint8_t>(i + k / 1024));
    }
  }
  return bytes;
}

void append_number(Bytes& bytes, std::uint32_t number) {
  for (const int shift : {24, 16, 8, 0})
    bytes.push_back(static_cast<std::uint8_t>(number >> shift));
}

/// An IDX file: its magic number, sizes, and bytes.
Bytes idx(std::uint32_t magic, const std::vector<std::uint32_t>& sizes, const Bytes& content) {
  Bytes bytes;
  append_number(bytes, magic);
  for (const std::uint32_t size : sizes) append_number(bytes, size);
  bytes.insert(bytes.end(), content.begin(), content.end());
  return bytes;
}

const std::string kTrainPictures = "train-images-idx3-ubyte";
const std::string kTrainLabels = "train-labels-idx1-ubyte";

/// Two pictures, all 1 and all 2, with labels 4 and 9.
Bytes two_pictures() {
  Bytes content(784, 1);
  content.resize(2 * 784, 2);
  return idx(0x803, {2, 28, 28}, content);
}
Bytes two_labels() {
  return idx(0x801, {2}, {4, 9});
}

TEST_CASE("CIFAR-10's training files are read in the order of their names", "[cifar10]") {
  const Folder folder;
  folder.write("data_batch_2.bin", cifar_records({7}));
  folder.write("data_batch_1.bin", cifar_records({3, 9}));
  folder.write("test_batch.bin", cifar_records({1}));
  folder.write("batches.meta.txt", {65});

  const Pictures train = read_cifar10(folder.path(), Split::Train);
  CHECK(train.labels == Bytes{3, 9, 7});
  REQUIRE(train.pixels.size() == 3 * 3072);
  CHECK(train.pixels[0] == 0);            // red of the first
  CHECK(train.pixels[2048] == 2);         // its blue
  CHECK(train.pixels[3072 + 1024] == 2);  // green of the second
  CHECK(train.pixels[2 * 3072] == 0);     // red of the third
  CHECK(read_cifar10(folder.path(), Split::Test).labels == Bytes{1});
}

TEST_CASE("A limit takes the first pictures of CIFAR-10 and leaves the rest unread", "[cifar10]") {
  const Folder folder;
  folder.write("data_batch_1.bin", cifar_records({3, 9, 99}));  // 99 is no label
  folder.write("data_batch_2.bin", {1, 2, 3});                  // not a record
  CHECK(read_cifar10(folder.path(), Split::Train, 2).labels == Bytes{3, 9});
}

TEST_CASE("A bad file of CIFAR-10 is reported by name, byte and what was expected", "[cifar10]") {
  const Folder folder;
  const std::string name = folder.file("data_batch_1.bin");
  const auto fault = [&] { return fault_of([&] { read_cifar10(folder.path(), Split::Train); }); };
  SECTION("label above 9") {
    folder.write("data_batch_1.bin", cifar_records({3, 11}));
    CHECK(fault() == name + ", byte 3073: record 1 has label 11, expected 0 to 9");
  }
  SECTION("broken off") {
    Bytes bytes = cifar_records({3, 4, 5});
    bytes.resize(2 * 3073 + 100);
    folder.write("data_batch_1.bin", bytes);
    CHECK(fault() == name + ", byte 6146: record 2 has only 100 bytes, expected 3073");
  }
  SECTION("empty") {
    folder.write("data_batch_1.bin", {});
    CHECK(fault() == name + ", byte 0: the file is empty, expected records of 3073 bytes");
  }
  SECTION("missing") {
    CHECK(fault() == folder.path().string() +
                         ": expected CIFAR-10's data_batch_*.bin in this folder, found none");
  }
  SECTION("not a file") {
    fs::create_directory(name);
    CHECK_THAT(fault(), Catch::Matchers::StartsWith(name));
  }
}

TEST_CASE("Fashion-MNIST is padded to 32 x 32 and three channels, packed or not", "[fashion]") {
  const Folder folder;
  SECTION("packed") {
    folder.write_packed(kTrainPictures + ".gz", two_pictures());
    folder.write_packed(kTrainLabels + ".gz", two_labels());
  }
  SECTION("plain") {
    folder.write(kTrainPictures, two_pictures());
    folder.write(kTrainLabels, two_labels());
  }
  const Pictures pictures = read_fashion_mnist(folder.path(), Split::Train);
  CHECK(pictures.labels == Bytes{4, 9});
  REQUIRE(pictures.pixels.size() == 2 * 3 * 32 * 32);
  for (std::size_t i = 0; i < pictures.pixels.size(); ++i) {
    const std::size_t row = i / 32 % 32;
    const std::size_t column = i % 32;
    const bool inside = row >= 2 && row < 30 && column >= 2 && column < 30;
    const std::size_t grey = i < 3 * 32 * 32 ? 1 : 2;
    REQUIRE(pictures.pixels[i] == (inside ? grey : 0));
  }
}

TEST_CASE("A limit takes the first pictures of Fashion-MNIST", "[fashion]") {
  const Folder folder;
  Bytes cut = two_pictures();
  cut.resize(16 + 784);
  folder.write(kTrainPictures, cut);
  folder.write(kTrainLabels, two_labels());
  const Pictures pictures = read_fashion_mnist(folder.path(), Split::Train, 1);
  CHECK(pictures.labels == Bytes{4});
  CHECK(pictures.pixels.size() == 3 * 32 * 32);
}

TEST_CASE("A bad file of Fashion-MNIST is reported by name, byte and what was expected",
          "[fashion]") {
  const Folder folder;
  const std::string pictures = folder.file(kTrainPictures);
  const std::string labels = folder.file(kTrainLabels);
  const auto fault = [&] {
    return fault_of([&] { read_fashion_mnist(folder.path(), Split::Train); });
  };
  folder.write(kTrainPictures, two_pictures());
  folder.write(kTrainLabels, two_labels());
  SECTION("another kind of file") {
    folder.write(kTrainPictures, two_labels());
    CHECK(fault() == pictures + ", byte 0: magic number 2049, expected 2051");
  }
  SECTION("another size of pictures") {
    folder.write(kTrainPictures, idx(0x803, {2, 28, 29}, Bytes(2 * 28 * 29)));
    CHECK(fault() == pictures + ", byte 12: width 29, expected 28");
  }
  SECTION("broken off in the header") {
    folder.write(kTrainPictures, {0, 0, 8, 3, 0, 0});
    CHECK(fault() == pictures + ", byte 6: the file ends, expected 2 more bytes");
  }
  SECTION("broken off in a picture") {
    Bytes cut = two_pictures();
    cut.resize(16 + 784 + 700);
    folder.write(kTrainPictures, cut);
    CHECK(fault() == pictures + ", byte 1500: the file ends, expected 84 more bytes");
  }
  SECTION("too long") {
    Bytes longer = two_pictures();
    longer.push_back(0);
    folder.write(kTrainPictures, longer);
    CHECK(fault() == pictures + ", byte 1584: more bytes follow, expected the end of the file");
  }
  SECTION("empty") {
    folder.write(kTrainPictures, {});
    CHECK(fault() == pictures + ", byte 0: the file ends, expected 4 more bytes");
  }
  SECTION("labels of another number of pictures") {
    folder.write(kTrainLabels, idx(0x801, {3}, {4, 9, 1}));
    CHECK(fault() == labels + ", byte 4: number of labels 3, expected 2");
  }
  SECTION("label above 9") {
    folder.write(kTrainLabels, idx(0x801, {2}, {4, 10}));
    CHECK(fault() == labels + ", byte 9: label 10, expected 0 to 9");
  }
  SECTION("missing") {
    fs::remove(labels);
    CHECK(fault() == folder.path().string() +
                         ": expected Fashion-MNIST's train-labels-idx1-ubyte[.gz] in this folder");
  }
  SECTION("broken packing") {
    folder.write(kTrainLabels + ".gz", {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff});
    CHECK_THAT(fault(), Catch::Matchers::StartsWith(labels + ".gz, byte 0: cannot be unpacked: "));
  }
}

TEST_CASE("Memory is taken for the labels that are there, not for those that are claimed",
          "[fashion]") {
  const auto kilobytes_at_most = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const Folder folder;
  for (const std::uint32_t claimed : {0x7FFFFFFFU, 0xFFFFFFFFU}) {
    folder.write(kTrainPictures, idx(0x803, {claimed, 28, 28}, {}));
    folder.write(kTrainLabels, idx(0x801, {claimed}, {4, 9}));
    const long before = kilobytes_at_most();
    CHECK(fault_of([&] { read_fashion_mnist(folder.path(), Split::Train); }) ==
          fmt::format("{}, byte 10: the file ends, expected {} more bytes",
                      folder.file(kTrainLabels), claimed - 2));
    CHECK(kilobytes_at_most() - before < 100 * 1024);
  }
}

TEST_CASE("A folder's data set is found by its files", "[data]") {
  const Folder folder;
  const std::string path = folder.path().string();
  CHECK_THROWS_WITH(
      examples::find_data(path, "auto"),
      fmt::format("no pictures found; looked for CIFAR-10 in {0}, Fashion-MNIST in {0}", path));

  folder.write(kTrainPictures, two_pictures());
  CHECK(examples::find_data(path, "auto").set.key == "fashion-mnist");
  CHECK(examples::find_data(path, "auto").folder == folder.path());
  CHECK_THROWS_WITH(examples::find_data(path, "cifar10"),
                    fmt::format("no pictures found; looked for CIFAR-10 in {}", path));

  folder.write("data_batch_1.bin", cifar_records({1}));
  CHECK(examples::find_data(path, "auto").set.key == "cifar10");
  CHECK(examples::find_data(path, "fashion-mnist").set.key == "fashion-mnist");
}

TEST_CASE("The pictures of each installed data set have the documented mean and deviation",
          "[data]") {
  for (const examples::DataSet& set : examples::data_sets()) {
    if (!set.is_in(set.default_folder)) {
      WARN(set.title << " is not checked: it is not in " << set.default_folder.string());
      continue;
    }
    const Pictures pictures = set.read(set.default_folder, Split::Train, examples::kAllPictures);
    const std::size_t area = pictures.height * pictures.width;
    std::array<double, 3> sums{};
    std::array<double, 3> squares{};
    for (std::size_t i = 0; i < pictures.pixels.size(); ++i) {
      const double share = pictures.pixels[i] / 255.0;
      sums.at(i / area % 3) += share;
      squares.at(i / area % 3) += share * share;
    }
    const auto count = static_cast<double>(pictures.size() * area);
    for (std::size_t channel = 0; channel < 3; ++channel) {
      INFO(set.title << ", channel " << channel);
      const double mean = sums.at(channel) / count;
      // A folder may hold only the first of CIFAR-10's files, which differs by as much.
      CHECK(mean == Approx(set.mean.at(channel)).margin(3e-3));
      CHECK(std::sqrt(squares.at(channel) / count - mean * mean) ==
            Approx(set.deviation.at(channel)).margin(3e-3));
    }
  }
}

}  // namespace

}  // namespace test_pictures
