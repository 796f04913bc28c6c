// SPDX-License-Identifier: MIT

// Plots of a run that goes on: what any file in the place of its table leaves in the heat map.
// Nothing is drawn.

#include <delve/writers/plot.hpp>

#include "fuzz.hpp"
#include "records.hpp"

namespace fuzz_plot_resume {

DELVE_FUZZ_TARGET(plot_resume) {
  static const delve_fuzz::Folder folder;
  const std::string savefile = (folder.emptied() / "run").string();
  delve_test::put(savefile + ".csv", delve_fuzz::text_of(data, size));
  delve::PlotOptions options;
  options.gnuplot = "/bin/true";
  options.animation = true;
  options.primary_metric = "accuracy";
  options.initial_epoch = 5;
  const delve_test::Watched<delve::PlotWriter, delve::PlotOptions> run(savefile, options);
  delve_fuzz::require(run.messages.size() <= 1, "a table that cannot be read is told once");
  return 0;
}

}  // namespace fuzz_plot_resume
