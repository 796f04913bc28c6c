// SPDX-License-Identifier: MIT

// A checkpoint: its frame, and a record as its content has them. What it holds of tensors needs
// LibTorch: test_state changes that.

#include <delve/detail/state/record_state.hpp>
#include <delve/detail/state/state_archive.hpp>
#include <delve/detail/state/state_file.hpp>
#include <delve/saved_epoch.hpp>

#include "fuzz.hpp"

namespace fuzz_state {

using delve_fuzz::require;

DELVE_FUZZ_TARGET(state) {
  using namespace delve::detail;
  static const delve_fuzz::Folder folder;
  const std::string text = delve_fuzz::text_of(data, size);

  const std::string path = (folder.path() / "run.state").string();
  delve_test::put(path, text);
  const bool is_whole =
      delve_fuzz::accepts(path, [&] { static_cast<void>(delve::saved_epoch(path)); });
  require(!is_whole || framed_state(content_of_state(text, path)) == text,
          "a frame that is read is the one that is written");
  require(content_of_state(framed_state(text), path) == text, "any content can be framed");

  try {
    StateReader archive(text);
    delve::EpochRecord record{};
    archive(record);
    StateWriter again;
    again(record);
    const std::string written = again.take();
    require(text.substr(0, written.size()) == written, "a record is written as it was read");
  } catch (const StateFault&) {
  }
  return 0;
}

}  // namespace fuzz_state
