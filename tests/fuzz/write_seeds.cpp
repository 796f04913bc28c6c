// SPDX-License-Identifier: MIT

// Writes the inputs that fuzzing begins with, corpus/TARGET/seed_*: what the library's own writers
// write, tables and arrays of Delve's, and files as the makers of the data sets describe them.
//
//   write_seeds TESTS/FUZZ/CORPUS TESTS/DATA

#include <cmath>     // NAN, INFINITY
#include <cstdlib>   // EXIT_SUCCESS
#include <iterator>  // std::size
#include <memory>    // std::make_shared
#include <set>       // std::set

#include <zlib.h>

#include <delve/detail/formats/npy.hpp>
#include <delve/detail/state/record_state.hpp>
#include <delve/detail/state/state_archive.hpp>
#include <delve/detail/state/state_file.hpp>
#include <delve/writers/csv.hpp>
#include <delve/writers/json.hpp>
#include <delve/writers/npy.hpp>

#include "fuzz.hpp"
#include "records.hpp"
#include "tree.hpp"

namespace fs = std::filesystem;

namespace {

delve::EpochRecord sample(std::int64_t epoch) {
  using delve::Mode;
  delve::EpochRecord record = delve_test::record(
      epoch, {{"accuracy", 0.25 + 0.01 * static_cast<double>(epoch)}, {"a/b", -1e300}},
      {delve_test::layer("features-2", Mode::Train, {1.0 / 3, 2}),
       delve_test::layer("features-10", Mode::Train, {NAN, 1}),
       delve_test::layer("a_b;\"c\"", Mode::Eval, {INFINITY, 3})});
  const Eigen::MatrixXd covariance = (Eigen::MatrixXd(2, 2) << 3, 1, 1, 2).finished();
  for (delve::LayerRecord& layer : record.layers) {
    layer.values.push_back({"samples", "samples", 100});
    layer.arrays.push_back(
        {"cov", "covariance-matrix", std::make_shared<const Eigen::MatrixXd>(covariance)});
  }
  return record;
}

/// What a writer leaves of these epochs.
template <typename Writer>
fs::path written(const fs::path& folder, const std::vector<std::int64_t>& epochs = {3, 6}) {
  const fs::path savefile = folder / "run";
  Writer writer(savefile.string());
  for (const std::int64_t epoch : epochs) writer.write(sample(epoch));
  writer.close();
  return savefile;
}

/// A tree of files as one input.
std::string tree_of(const fs::path& folder) {
  std::set<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.insert(entry.path());
  }
  std::string input;
  for (const fs::path& file : files) {
    input += delve_fuzz::tree_entry(file.lexically_relative(folder).string(),
                                    delve_test::read(file.string()));
  }
  return input;
}

std::string big_endian(std::uint32_t number) {
  std::string bytes;
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    bytes.push_back(static_cast<char>(static_cast<unsigned char>(number >> shift)));
  }
  return bytes;
}

std::string packed(const std::string& bytes, const fs::path& folder) {
  const std::string path = (folder / "packed.gz").string();
  const gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  return delve_test::read(path);
}

/// An input of the target fashion_mnist.
std::string idx_input(bool is_packed, const std::string& labels, const std::string& images) {
  std::string input(1, is_packed ? '\3' : '\0');
  delve::detail::append_little_endian(input, static_cast<std::uint16_t>(labels.size()));
  return input + labels + images;
}

/// A file of NumPy's with this dictionary and these bytes of numbers.
std::string npy_file(const std::string& version, const std::string& dictionary,
                     const std::string& numbers) {
  std::string file = "\x93NUMPY" + version;
  const auto size = static_cast<std::uint16_t>(dictionary.size());
  delve::detail::append_little_endian(file, size);
  if (version[0] == '\2') file.append(2, '\0');
  return file + dictionary + numbers;
}

}  // namespace

int main(int argc, char** argv) {
  delve_fuzz::require(argc == 3, "write_seeds is given the folders of the corpus and of the data");
  const fs::path corpus = argv[1];
  const fs::path data = fs::path(argv[2]) / "reference";
  const delve_fuzz::Folder folder;
  const auto put = [&](const std::string& target, const std::string& name,
                       const std::string& input) {
    delve_test::put(corpus / target / ("seed_" + name), input);
  };

  const std::string table =
      delve_test::read(written<delve::CsvWriter>(folder.path()).string() + ".csv");
  const std::string of_delve = delve_test::read((data / "mlp_all_stats" / "expected.csv").string());
  for (const std::string target : {"csv", "csv_resume", "plot_resume"}) {
    put(target, "table", table);
    put(target, "of_delve", of_delve.substr(0, of_delve.find('\n') + 200));
    put(target, "matrices",
        ";_eval-saturation_4;_train-covariance-matrix_2;accuracy\r\n3;0.5;\"[[ 1 ; 2]\n [ 3 ; "
        "4]]\";True\r\n1;x;\"[[ 1 ]]\";nan\r\n");
  }

  put("json_resume", "lines",
      delve_test::read(written<delve::JsonWriter>(folder.path()).string() + ".jsonl"));

  const Eigen::MatrixXd matrix = (Eigen::MatrixXd(2, 3) << 1, -2, 3, NAN, INFINITY, 6).finished();
  put("npy", "number", delve::detail::npy_bytes(0.1));
  put("npy", "vector", delve::detail::npy_bytes(Eigen::MatrixXd(matrix.col(0))));
  put("npy", "matrix", delve::detail::npy_bytes(matrix));
  const std::string first("\1\0", 2);
  const std::string second("\2\0", 2);
  put("npy", "fortran_float32",
      npy_file(second, "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }\n", "abcdefgh"));
  put("npy", "int64",
      npy_file(first, "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }\n", "abcdefgh"));
  put("npy", "int32",
      npy_file(first, "{'descr': '<i4', 'fortran_order': False, 'shape': (), }\n", "abcd"));

  const fs::path run = written<delve::NpyWriter>(folder.emptied(), {3});
  put("reconstruct", "run", tree_of(run));
  const fs::path delves = data / "npy_writer" / "run";
  std::string tree;
  for (const std::string name : {"accuracy", "_train-saturation_4", "_train-covariance-matrix_4"}) {
    const std::string path = name + "/" + name + "_epoch0.npy";
    const std::string content = delve_test::read((delves / path).string());
    delve_fuzz::require(!content.empty(), path + " is there");
    tree += delve_fuzz::tree_entry(path, content);
  }
  put("reconstruct", "of_delve", tree);

  for (const std::size_t pictures : {std::size_t{1}, std::size_t{2}}) {
    std::string records;
    for (std::size_t i = 0; i < pictures; ++i) {
      records += std::string(1, static_cast<char>(9 - i)) + std::string(3 * 32 * 32, '\x40');
    }
    put("cifar10", fmt::format("{}_pictures", pictures), records);
    put("cifar10", fmt::format("{}_pictures_broken_off", pictures), records.substr(1));
  }

  delve::EpochRecord record = delve_test::record(3, {{"loss", 0.5}}, {});
  record.layers.push_back(delve_test::layer("fc", delve::Mode::Eval, {0.25, 3}));
  record.layers[0].arrays.push_back(
      {"cov", "covariance-matrix", std::make_shared<const Eigen::MatrixXd>(matrix)});
  delve::LayerField& field = record.fields.emplace_back();
  field.layer = "conv";
  field.axes.emplace_back();
  delve::detail::StateWriter state;
  state(record);
  const std::string content = state.take();
  put("state", "record", content);
  put("state", "file", delve::detail::framed_state(content));

  const std::string labels = big_endian(0x801) + big_endian(1) + '\7';
  const std::string images = big_endian(0x803) + big_endian(1) + big_endian(28) + big_endian(28) +
                             std::string(784, '\x40');
  put("fashion_mnist", "plain", idx_input(false, labels, images));
  put("fashion_mnist", "packed",
      idx_input(true, packed(labels, folder.path()), packed(images, folder.path())));

  put("tensorboard", "event",
      "1700000000.host.7.0\naccuracy\nfeatures-0\n" + delve::detail::npy_bytes(matrix).substr(80));

  const std::string texts[] = {"0.1",
                               "-1e-300",
                               "inf",
                               "nan",
                               "18446744073709551615",
                               "lsat@0.9",
                               "curve",
                               "explained@3",
                               "width=800",
                               "stats=lsat,idim",
                               "format=svg",
                               "heat_map=false",
                               "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
                               "<?xml?></svg>\n"};
  for (std::size_t i = 0; i < std::size(texts); ++i) put("text", fmt::format("{:02}", i), texts[i]);

  put("file_names", "array", "train-saturation_fc_epoch3.npy\ntrain-saturation_fc\n%2E..%2F%");
  put("file_names", "numbers", "features-2\nfeatures-10\nfeatures-010-a");
  put("file_names", "picture", "run_lsat@0.9_train_epoch_7.png\nrun\n_eval-saturation_4");
  return EXIT_SUCCESS;
}
