// SPDX-License-Identifier: MIT

// Built with the single header for <delve/delve.hpp>, asking here for all that it may leave out,
// and in test_link_2.cpp for nothing of that.

#define DELVE_WITH_JSON
#define DELVE_WITH_LOW_RANK
#define DELVE_WITH_PCA
#define DELVE_WITH_RECONSTRUCT
#define DELVE_WITH_TENSORBOARD
#include "test_link_1.cpp"

namespace {

TEST_CASE("A single header brings the writers that are requested", "[link]") {
  const std::vector<std::string> keys = elsewhere::writer_keys();
  CHECK(std::count(keys.begin(), keys.end(), "json") == 1);
  CHECK(std::count(keys.begin(), keys.end(), "tensorboard") == 1);
}

TEST_CASE("A single header brings the other parts that are requested", "[link]") {
  CHECK(delve::pca_summaries(*delve::LinearPCA(3)).size() == 1);
  delve::Covariance<> outputs;
  outputs.update(torch::eye(3));
  CHECK(delve::low_rank(torch::nn::Linear(3, 3), outputs, 1)->size() == 1);
  CHECK_THROWS_AS(delve::reconstruct("no-such-run"), std::runtime_error);
}

}  // namespace
