// SPDX-License-Identifier: MIT

#include <limits>   // std::numeric_limits
#include <memory>   // std::make_shared
#include <sstream>  // std::ostringstream
#include <string>   // std::string

#include <fmt/format.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/utils.h>
#include <delve/delve.hpp>

#include "catch.hpp"
#include "custom_writer.hpp"
#include "tracker.hpp"

namespace test_custom_writer {

namespace {

using delve::Mode;
using delve::Status;
using examples::MarkdownWriter;

const std::string kHead = "| epoch | mode | layer | quantity | value |\n|--:|---|---|---|--:|\n";

TEST_CASE("The custom writer makes a row of each value", "[custom_writer]") {
  std::ostringstream out;
  MarkdownWriter writer(out);
  writer.write({4,
                {{"accuracy", 0.5}},
                {{"features-0",
                  Mode::Train,
                  8,
                  100,
                  Status::Ok,
                  {{"lsat", "saturation", 0.125}, {"idim", "intrinsic-dimensionality", 1}}},
                 {"head",
                  Mode::Eval,
                  8,
                  0,
                  Status::NoData,
                  {{"lsat", "saturation", std::numeric_limits<double>::quiet_NaN()}}}}});
  CHECK(out.str() == kHead +
                         "| 4 | train | features-0 | saturation | 0.125 |\n"
                         "| 4 | train | features-0 | intrinsic-dimensionality | 1.000 |\n"
                         "| 4 | eval | head | saturation | missing |\n");
}

TEST_CASE("The custom writer gets what the tracker reports", "[custom_writer]") {
  torch::manual_seed(3);
  torch::nn::Sequential model(torch::nn::Linear(4, 8), torch::nn::Linear(8, 2));
  std::ostringstream out;
  delve::CheckLayerSat tracker("unused", std::make_shared<MarkdownWriter>(out), model);
  model->forward(torch::randn({200, 4}));
  tracker.add_saturations();

  // Eight outputs of a layer with four inputs fill four dimensions at most.
  const double first = tracker.last("0", "lsat", Mode::Train).value();
  CHECK(first <= 0.5);
  CHECK(first > 0);
  CHECK(out.str() == kHead + fmt::format("| 0 | train | 0 | saturation | {:.3f} |\n"
                                         "| 0 | train | 1 | saturation | {:.3f} |\n",
                                         first, tracker.last("1", "lsat", Mode::Train).value()));
  CHECK(tracker.problems().empty());
}

}  // namespace

}  // namespace test_custom_writer
