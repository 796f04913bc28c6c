// SPDX-License-Identifier: MIT

// The records of a run from any tree of files. tree.hpp tells what an input looks like.

#include <set>  // std::set

#include <delve/reconstruct.hpp>
#include <delve/writers/npy.hpp>

#include "fuzz.hpp"
#include "tree.hpp"

namespace fuzz_reconstruct {

using delve::EpochRecord;
using delve_fuzz::require;

namespace {

/// Whether no value is there twice, as where two folders stand for the same name.
bool is_unique(const std::vector<EpochRecord>& records) {
  std::set<std::string> names;
  const auto is_new = [&](std::int64_t epoch, const std::string& name) {
    return names.insert(fmt::format("{} {}", epoch, name)).second;
  };
  for (const EpochRecord& record : records) {
    for (const auto& [name, value] : record.scalars) {
      if (!is_new(record.epoch, name)) return false;
    }
    for (const delve::LayerRecord& layer : record.layers) {
      for (const delve::Value& value : layer.values) {
        if (!is_new(record.epoch, value_name(layer.mode, value.quantity, layer.layer))) {
          return false;
        }
      }
    }
  }
  return true;
}

void check_as_stored(const std::vector<EpochRecord>& records) {
  for (std::size_t i = 0; i < records.size(); ++i) {
    require(i == 0 || records[i - 1].epoch < records[i].epoch, "epochs rise");
    std::set<std::pair<delve::Mode, std::string>> layers;
    for (const delve::LayerRecord& layer : records[i].layers) {
      require(layers.emplace(layer.mode, layer.layer).second, "a layer is in one place");
    }
  }
  if (delve_fuzz::numbers_of(records).empty() || !is_unique(records)) return;

  static const delve_fuzz::Folder folder;
  const std::string savefile = (folder.emptied() / "run").string();
  delve_test::Watched<delve::NpyWriter, delve::NpyOptions> run(savefile);
  for (const EpochRecord& record : records) run.writer.write(record);
  run.writer.close();
  // A name of 250 bytes may be too long once it is encoded.
  if (!run.messages.empty()) return;
  require(delve_fuzz::numbers_of(delve::reconstruct(savefile)) == delve_fuzz::numbers_of(records),
          "a tree is read as it was written");
}

void check_recomputed(const std::vector<EpochRecord>& records) {
  for (const EpochRecord& record : records) {
    for (const delve::LayerRecord& layer : record.layers) {
      for (const delve::Value& value : layer.values) {
        if (std::isnan(value.value)) continue;
        const bool is_share = value.stat == "lsat" || value.stat == "entropy";
        require(!is_share || (value.value >= 0 && value.value <= 1 + 1e-9),
                "a share is between 0 and 1");
        const bool is_count = value.stat == "idim" || value.stat == "dead";
        require(!is_count || (value.value >= 0 && value.value <= static_cast<double>(layer.width)),
                "there are no more dimensions than units");
      }
    }
  }
}

}  // namespace

DELVE_FUZZ_TARGET(reconstruct) {
  static const delve_fuzz::Folder folder;
  const auto& tree = folder.emptied();
  delve_fuzz::make_tree(tree, delve_fuzz::text_of(data, size));
  delve::ReconstructOptions options;
  std::vector<EpochRecord> records;
  const auto read = [&] { records = delve::reconstruct(tree.string(), options); };
  if (delve_fuzz::accepts("", read)) check_as_stored(records);
  options.stats = {"lsat",
                   "idim",
                   "idim@0.6",
                   "trc",
                   "dtrc",
                   "det",
                   "logdet",
                   "effective_rank",
                   "participation_ratio",
                   "entropy",
                   "stable_rank",
                   "explained@2",
                   "curve",
                   "eigenvalues@3",
                   "dead",
                   "samples",
                   "cov"};
  if (delve_fuzz::accepts("", read)) check_recomputed(records);
  return 0;
}

}  // namespace fuzz_reconstruct
