// SPDX-License-Identifier: MIT

// A run that goes on from epoch 5 of any file that is in the place of its JSON lines.

#include <nlohmann/json.hpp>

#include <delve/writers/json.hpp>

#include "fuzz.hpp"
#include "records.hpp"

namespace fuzz_json_resume {

using delve_fuzz::require;

namespace {

constexpr std::int64_t kEpoch = 5;

/// Writes one epoch, with a scalar of this name, after those that are there.
void go_on(const std::string& savefile, const std::string& name) {
  delve_test::Watched<delve::JsonWriter, delve::JsonOptions> run(savefile, {kEpoch});
  run.writer.write(delve_test::record(kEpoch, {{name, 0.5}}, {}));
  run.writer.close();
  require(run.messages.size() <= 1, "nothing but a broken last line is reported");
}

}  // namespace

DELVE_FUZZ_TARGET(json_resume) {
  static const delve_fuzz::Folder folder;
  const std::string text = delve_fuzz::text_of(data, size);
  const std::string savefile = (folder.emptied() / "run").string();
  const std::string path = savefile + ".jsonl";
  const auto written =
      delve_fuzz::gone_on(path, text, [&] { go_on(savefile, text.substr(0, 32)); });
  if (!written) return 0;

  std::string_view rest = *written;
  std::size_t place = 0;
  while (!rest.empty()) {
    const std::string line = delve_fuzz::take_line(rest);
    const nlohmann::json epoch = nlohmann::json::parse(line).at("epoch");
    // Unsigned numbers beyond those of std::int64_t are compared as what they are.
    require(rest.empty() ? epoch == kEpoch : epoch < kEpoch, "lines of epochs to come are dropped");
    if (rest.empty()) continue;
    place = text.find(line, place);
    require(place != std::string::npos, "lines are kept to the letter, in their order");
    place += line.size();
  }
  return 0;
}

}  // namespace fuzz_json_resume
