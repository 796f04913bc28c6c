// SPDX-License-Identifier: MIT
// Probes alone: sums of rows with targets, and what is fitted to them.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <delve/covariance.hpp>
#include <delve/detail/sums/tuning.hpp>
#include <delve/probe.hpp>
#include <delve/record.hpp>

#include "catch.hpp"
#include "reference_covariance.hpp"
#include "reference_probe.hpp"
#include "tracker.hpp"

namespace test_probe {

using delve::Covariance;
using delve::is_missing;
using delve::Probe;
using delve::ProbeOptions;
using delve::Products;
using delve_test::random_rows;
using delve_test::reference_lda;
using delve_test::reference_ridge;
using delve_test::relative_error;
using delve_test::two_pass;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Rows of classes whose means lie apart by about as much as they spread.
struct Sample {
  torch::Tensor rows;
  torch::Tensor labels;
};
Sample planted(std::int64_t count, std::int64_t width, std::int64_t classes, double distance,
               torch::Dtype type = torch::kDouble) {
  const torch::Tensor labels = torch::randint(0, classes, {count}, torch::kLong);
  const torch::Tensor means = torch::randn({classes, width}, torch::kDouble) * distance + 3;
  const torch::Tensor rows =
      random_rows(count, width).to(torch::kDouble) + means.index_select(0, labels);
  return {rows.to(type), labels};
}

/// Two maps give the same scores up to what all classes have in common.
double score_error(const torch::Tensor& found, const torch::Tensor& expected) {
  const auto centred = [](const torch::Tensor& scores) { return scores - scores.mean(1, true); };
  return relative_error(centred(found), centred(expected));
}

}  // namespace

TEST_CASE("Targets and masked rows are summed as the definition says", "[probe][covariance]") {
  torch::manual_seed(1);
  for (const auto& tuning : {delve::detail::kHostTuning, delve::detail::kDeviceTuning}) {
    for (const std::int64_t batch : {7, 64, 1000}) {
      for (const bool is_masked : {false, true}) {
        const torch::Tensor rows = random_rows(2000, 12, 5).to(torch::kDouble);
        const torch::Tensor mask = torch::rand({2000}).gt(is_masked ? 0.3 : -1.0);
        const torch::Tensor targets =
            torch::randn({2000, 3}, torch::kDouble) * mask.unsqueeze(1) + 0.0;
        Covariance<double> sums(Products::Float64, tuning, 3);
        Covariance<double> second(Products::Float64, tuning, 3);
        for (std::int64_t begin = 0; begin < 2000; begin += batch) {
          const std::int64_t end = std::min<std::int64_t>(begin + batch, 2000);
          // What is masked may be anything.
          torch::Tensor some = rows.slice(0, begin, end).clone();
          some.masked_fill_(mask.slice(0, begin, end).logical_not().unsqueeze(1), kNaN);
          delve::RowTargets with{targets.slice(0, begin, end), {}};
          if (is_masked) with.mask = mask.slice(0, begin, end);
          (begin < 1200 ? sums : second).update(some, with);
        }
        sums.merge(second);
        const torch::Tensor kept = rows.index({mask});
        const torch::Tensor kept_targets = targets.index({mask});
        const torch::Tensor cross = (kept - kept.mean(0)).t().mm(kept_targets) / kept.size(0);
        CHECK(sums.samples() == kept.size(0));
        CHECK(sums.skipped_batches() == 0);
        CHECK(relative_error(sums.matrix(), two_pass(kept)) < 1e-12);
        CHECK(relative_error(sums.mean(), kept.mean(0)) < 1e-12);
        CHECK(relative_error(sums.target_means(), kept_targets.mean(0)) < 1e-12);
        CHECK(relative_error(sums.cross_covariance(), cross) < 1e-11);
      }
    }
  }
}

TEST_CASE("A batch that is not finite leaves its targets out, too", "[probe][covariance]") {
  torch::manual_seed(2);
  for (const auto& tuning : {delve::detail::kHostTuning, delve::detail::kDeviceTuning}) {
    for (const std::int64_t count : {20, 5000}) {
      Covariance<double> sums(Products::Float64, tuning, 2);
      const torch::Tensor rows = torch::randn({count, 6}, torch::kDouble);
      const torch::Tensor targets = torch::rand({count, 2}, torch::kDouble);
      torch::Tensor bad = rows.clone();
      bad[3][1] = kNaN;
      sums.update(bad, {targets});
      sums.update(rows, {targets});
      sums.update(bad, {targets});
      CHECK(sums.skipped_batches() == 2);
      CHECK(sums.samples() == count);
      CHECK(relative_error(sums.target_means(), targets.mean(0)) < 1e-12);
      CHECK(relative_error(sums.matrix(), two_pass(rows)) < 1e-12);
    }
  }
}

TEST_CASE("Targets must fit the rows, and one without them can take over the rows alone",
          "[probe][covariance]") {
  torch::manual_seed(3);
  const torch::Tensor rows = torch::randn({30, 4}, torch::kDouble);
  const torch::Tensor targets = torch::rand({30, 2}, torch::kDouble);
  Covariance<double> sums(Products::Float64, 2);
  CHECK_THROWS_AS(sums.update(rows), std::invalid_argument);
  CHECK_THROWS_AS(sums.update(rows, {targets.narrow(0, 0, 29)}), std::invalid_argument);
  CHECK_THROWS_AS(sums.update(rows, {targets.narrow(1, 0, 1)}), std::invalid_argument);
  CHECK_THROWS_AS(sums.update(rows, {targets, torch::ones({29}, torch::kBool)}),
                  std::invalid_argument);
  CHECK_THROWS_AS(Covariance<double>().update(rows, {targets}), std::invalid_argument);
  sums.update(rows, {targets});
  Covariance<double> plain(Products::Float64);
  plain.update(rows + 1);
  plain.merge(sums);
  CHECK(relative_error(plain.matrix(), two_pass(torch::cat({rows, rows + 1}))) < 1e-12);
  CHECK_THROWS_AS(sums.merge(plain), std::invalid_argument);

  Covariance<double> copy = sums.copy();
  copy.reset();
  copy.update(rows, {targets});
  CHECK(torch::equal(copy.cross_covariance(), sums.cross_covariance()));
}

TEST_CASE("A probe of classes is linear discriminant analysis", "[probe]") {
  torch::manual_seed(4);
  for (const double shrinkage : {0.0, 0.1, 1.0}) {
    for (const std::int64_t width : {3, 40}) {
      const Sample train = planted(1500, width, 5, 0.5);
      const Sample test = planted(700, width, 5, 0.5);
      Probe<double> probe(
          ProbeOptions().classes(6).shrinkage(shrinkage).products(Products::Float64));
      for (std::int64_t i = 0; i < 1500; i += 50) {
        probe.update(train.rows.narrow(0, i, 50), train.labels.narrow(0, i, 50));
      }
      const auto expected = reference_lda(train.rows, train.labels, 6, shrinkage);
      const auto fit = probe.fit();
      // The class that never came is never found.
      CHECK(std::isinf(fit.bias[5].item<double>()));
      // Without shrinkage the spreads' condition is 1e8, and the reference itself that rough.
      CHECK(score_error(fit.scores(test.rows).narrow(1, 0, 5),
                        expected.scores(test.rows).narrow(1, 0, 5)) <
            (shrinkage == 0 ? 1e-7 : 1e-8));
      CHECK(torch::equal(fit.predict(test.rows), expected.scores(test.rows).argmax(1)));
      CHECK(probe.samples() == 1500);
      CHECK(fit.is_solved());

      if (shrinkage == 0) continue;  // float32 does not do for spreads of 1 beside 1e-4
      Probe<double> narrow(ProbeOptions().classes(6).shrinkage(shrinkage));
      narrow.update(train.rows.to(torch::kFloat), train.labels);
      CHECK(score_error(narrow.fit().scores(test.rows).narrow(1, 0, 5),
                        expected.scores(test.rows).narrow(1, 0, 5)) < 1e-4);
    }
  }
}

TEST_CASE("Neither the split nor the order of the batches changes a probe", "[probe]") {
  torch::manual_seed(5);
  const Sample data = planted(1000, 16, 4, 0.5);
  const auto fitted = [&](const torch::Tensor& order, std::int64_t batch, bool merges) {
    Probe<double> one(ProbeOptions().classes(4).products(Products::Float64));
    Probe<double> two(one.options());
    for (std::int64_t begin = 0; begin < 1000; begin += batch) {
      const torch::Tensor some = order.slice(0, begin, begin + batch);
      Probe<double>& probe = merges && begin >= 500 ? two : one;
      probe.update(data.rows.index_select(0, some), data.labels.index_select(0, some));
    }
    if (merges) one.merge(two);
    return one.fit();
  };
  const auto whole = fitted(torch::arange(1000), 1000, false);
  for (const std::int64_t batch : {1, 13, 300}) {
    for (const bool merges : {false, true}) {
      const auto other = fitted(torch::randperm(1000), batch, merges);
      CHECK(relative_error(other.weight, whole.weight) < 1e-10);
      CHECK(relative_error(other.bias, whole.bias) < 1e-10);
    }
  }
}

TEST_CASE("Shares of classes are labels, too", "[probe]") {
  torch::manual_seed(6);
  const Sample data = planted(800, 10, 3, 0.5);
  const torch::Tensor one_hot = torch::one_hot(data.labels, 3).to(torch::kFloat);
  Probe<double> hard(ProbeOptions().classes(3).products(Products::Float64));
  Probe<double> soft(hard.options());
  hard.update(data.rows, data.labels);
  soft.update(data.rows, one_hot);
  CHECK(relative_error(soft.fit().weight, hard.fit().weight) < 1e-12);

  // A row of which half is one class and half another counts as half a row of each.
  Probe<double> mixed(hard.options());
  Probe<double> doubled(hard.options());
  const torch::Tensor others = torch::one_hot((data.labels + 1) % 3, 3).to(torch::kFloat);
  mixed.update(data.rows, (one_hot + others) / 2);
  doubled.update(torch::cat({data.rows, data.rows}),
                 torch::cat({data.labels, (data.labels + 1) % 3}));
  CHECK(relative_error(mixed.fit().weight, doubled.fit().weight) < 1e-10);

  soft.update(data.rows, one_hot * 0.9);  // 0.9 is no whole
  soft.update(data.rows, torch::full_like(one_hot, kNaN));
  CHECK(soft.samples() == 800);
  CHECK(soft.bad_batches() == 2);
}

TEST_CASE("A label that there is not leaves its batch out, and one to ignore its row", "[probe]") {
  torch::manual_seed(7);
  const Sample data = planted(300, 8, 3, 0.5);
  Probe<double> probe(ProbeOptions().classes(3).products(Products::Float64));
  for (const std::int64_t wrong : {-1, 3, 1000}) {
    torch::Tensor labels = data.labels.clone();
    labels[17] = wrong;
    probe.update(data.rows, labels);
  }
  CHECK(probe.bad_batches() == 3);
  CHECK(probe.width() == 0);
  torch::Tensor labels = data.labels.clone();
  labels.slice(0, 100, 200).fill_(-100);
  probe.update(data.rows, labels.to(torch::kInt));
  CHECK(probe.samples() == 200);
  const torch::Tensor kept = torch::cat({torch::arange(100), torch::arange(200, 300)});
  const auto expected =
      reference_lda(data.rows.index_select(0, kept), data.labels.index_select(0, kept), 3, 0.1);
  CHECK(relative_error(probe.fit().weight, expected.weight) < 1e-9);
  CHECK_THROWS_AS(probe.update(data.rows, data.labels.narrow(0, 0, 299)), std::invalid_argument);
  CHECK_THROWS_AS(probe.update(data.rows, data.labels.to(torch::kFloat)), std::invalid_argument);
}

TEST_CASE("A class may be the one to ignore", "[probe]") {
  torch::manual_seed(13);
  const Sample data = planted(300, 8, 3, 0.5);
  Probe<double> probe(ProbeOptions().classes(3).ignore_index(0).products(Products::Float64));
  probe.update(data.rows, data.labels);
  const torch::Tensor kept = data.labels.ne(0);
  CHECK(probe.samples() == kept.sum().item<std::int64_t>());
  const auto expected = reference_lda(data.rows.index({kept}), data.labels.index({kept}), 3, 0.1);
  CHECK(relative_error(probe.fit().weight, expected.weight) < 1e-9);
}

TEST_CASE("What is masked does not choose the shift", "[probe][covariance]") {
  torch::manual_seed(14);
  for (const double odd : {1e25, kNaN}) {
    torch::Tensor rows = torch::randn({4096, 8}) + 1e4;
    torch::Tensor mask = torch::ones({4096}, torch::kBool);
    mask[0] = false;
    const torch::Tensor expected = two_pass(rows.slice(0, 1));
    rows[0].fill_(odd);
    Covariance<double> sums(Products::Float32, 1);
    sums.update(rows, {torch::zeros({4096, 1}), mask});
    CHECK(relative_error(sums.matrix(), expected) < 1e-4);
  }
}

TEST_CASE("A layer without spread within its classes gives all", "[probe]") {
  torch::manual_seed(15);
  for (const bool is_wide : {true, false}) {
    const torch::Tensor labels = torch::randint(0, 10, {2000}, torch::kLong);
    const torch::Tensor rows = torch::randn({10, 64}).index_select(0, labels);
    Probe<double> probe(
        ProbeOptions().classes(10).products(is_wide ? Products::Float64 : Products::Float32));
    probe.update(rows, labels);
    CHECK(probe.fit().is_solved());
    CHECK(torch::equal(probe.fit().predict(rows), labels));
  }
}

TEST_CASE("A rare class is found as often as a balanced measure says", "[probe]") {
  torch::manual_seed(8);
  // One of a hundred, two spreads away.
  const auto drawn = [](std::int64_t many, std::int64_t few) {
    torch::Tensor rows = torch::randn({many + few, 6}, torch::kDouble);
    rows.narrow(0, many, few).select(1, 0) += 4;
    return Sample{
        rows, torch::cat({torch::zeros({many}, torch::kLong), torch::ones({few}, torch::kLong)})};
  };
  const Sample train = drawn(9900, 100);
  const Sample test = drawn(5000, 5000);
  Probe<double> probe(ProbeOptions().classes(2).products(Products::Float64));
  probe.update(train.rows, train.labels);
  const auto expected = reference_lda(train.rows, train.labels, 2, 0.1);
  CHECK(
      std::abs(
          probe.fit().predict(test.rows).eq(test.labels).to(torch::kDouble).mean().item<double>() -
          expected.accuracy(test.rows, test.labels)) < 1e-9);
}

TEST_CASE("Shuffled labels give chance, and a planted layer gives all", "[probe]") {
  torch::manual_seed(9);
  constexpr std::int64_t count = 4000;
  const Sample data = planted(2 * count, 20, 4, 4);
  const auto accuracy = [&](const torch::Tensor& labels) {
    Probe<double> probe(ProbeOptions().classes(4));
    probe.update(data.rows.narrow(0, 0, count), labels.narrow(0, 0, count));
    return probe.fit()
        .predict(data.rows.narrow(0, count, count))
        .eq(labels.narrow(0, count, count))
        .to(torch::kDouble)
        .mean()
        .item<double>();
  };
  CHECK(accuracy(data.labels) == 1);
  const double error = std::sqrt(0.25 * 0.75 / count);
  CHECK(std::abs(accuracy(torch::arange(2 * count) % 4) - 0.25) < 3 * error);
}

TEST_CASE("A probe of numbers is ridge regression, however far they lie from 0", "[probe]") {
  torch::manual_seed(10);
  for (const double offset : {0.0, 1e6}) {
    for (const std::int64_t targets : {1, 4}) {
      const torch::Tensor rows = random_rows(1200, 15, 2).to(torch::kDouble);
      const torch::Tensor y = rows.mm(torch::randn({15, targets}, torch::kDouble)) + offset +
                              0.1 * torch::randn({1200, targets}, torch::kDouble);
      Probe<double> probe(
          ProbeOptions().targets(targets).shrinkage(1e-2).products(Products::Float64));
      Probe<double> second(probe.options());
      probe.update(rows.narrow(0, 0, 500), y.narrow(0, 0, 500));
      second.update(rows.narrow(0, 500, 700), y.narrow(0, 500, 700));
      probe.merge(second);
      const auto expected = reference_ridge(rows, y, 1e-2);
      const auto fit = probe.fit();
      CHECK(relative_error(fit.weight, expected.weight) < 1e-8);
      CHECK(relative_error(fit.bias, expected.bias) < 1e-12);
      CHECK(relative_error(fit.scores(rows), expected.scores(rows)) < 1e-8);

      Probe<double> narrow(ProbeOptions().targets(targets).shrinkage(1e-2));
      narrow.update(rows.to(torch::kFloat), y);
      CHECK(relative_error(narrow.fit().weight, expected.weight) < 1e-3);
      torch::Tensor bad = y.clone();
      bad[5][0] = kNaN;
      probe.update(rows, bad);
      CHECK(probe.samples() == 1200);
      CHECK(probe.bad_batches() == 1);
    }
  }
}

TEST_CASE("Neural collapse is the trace of its definition", "[probe]") {
  torch::manual_seed(11);
  for (const std::int64_t width : {2, 12}) {
    const Sample data = planted(2000, width, 5, 0.8);
    Probe<double> probe(ProbeOptions().classes(7).products(Products::Float64));
    probe.update(data.rows, data.labels);
    // By eigenvalues of the between-class covariance, of which the rank is at most 4.
    torch::Tensor within = torch::zeros({width, width}, torch::kDouble);
    torch::Tensor between = torch::zeros({width, width}, torch::kDouble);
    for (std::int64_t c = 0; c < 5; ++c) {
      const torch::Tensor own = data.rows.index({data.labels.eq(c)});
      const torch::Tensor about = own - own.mean(0);
      const torch::Tensor offset = own.mean(0) - data.rows.mean(0);
      within += about.t().mm(about) / 2000;
      between += torch::outer(offset, offset) * own.size(0) / 2000;
    }
    const double expected =
        torch::linalg_pinv(between, /*rcond=*/1e-10).mm(within).trace().item<double>() / 5;
    CHECK(std::abs(probe.neural_collapse() / expected - 1) < 1e-8);
  }
  // Nothing varies within the classes, or there is only one.
  Probe<double> collapsed(ProbeOptions().classes(3));
  const torch::Tensor labels = torch::arange(90) % 3;
  collapsed.update(torch::eye(3).index_select(0, labels), labels);
  CHECK(is_missing(collapsed.neural_collapse()));
  Probe<double> of_numbers(ProbeOptions().targets(3));
  CHECK_THROWS_AS(collapsed.merge(of_numbers), std::invalid_argument);
  CHECK_THROWS_AS(collapsed.update(torch::zeros({5, 0}), torch::zeros({4}, torch::kLong)),
                  std::invalid_argument);
  Probe<double> single(ProbeOptions().classes(3));
  single.update(torch::randn({50, 4}), torch::ones({50}, torch::kLong));
  CHECK(is_missing(single.neural_collapse()));
}

TEST_CASE("A constant layer has only the shares of the classes to go by", "[probe]") {
  Probe<double> probe(ProbeOptions().classes(3));
  const torch::Tensor labels = torch::arange(90) % 10 % 3;  // class 0 comes most often
  probe.update(torch::full({90, 5}, 2.5), labels);
  const auto fit = probe.fit();
  CHECK(fit.is_solved());
  CHECK(fit.predict(torch::full({4, 5}, 2.5)).eq(0).all().item<bool>());
}

TEST_CASE("Fewer rows than features have no solution without shrinkage", "[probe]") {
  torch::manual_seed(12);
  Probe<double> probe(ProbeOptions().classes(2).shrinkage(0).products(Products::Float64));
  CHECK_THROWS_AS(probe.fit(), std::logic_error);
  probe.update(torch::randn({10, 30}, torch::kDouble), torch::arange(10) % 2);
  CHECK_FALSE(probe.fit().is_solved());
}

TEST_CASE("What a probe cannot do is refused by name", "[probe]") {
  const auto fault = [](const ProbeOptions& options) -> std::string {
    try {
      const Probe<double> probe(options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(fault(ProbeOptions()) ==
        "delve::ProbeOptions: classes is 0; it must be above 0 where targets is 0, and 0 where it "
        "is not");
  CHECK(fault(ProbeOptions().classes(1)).find("classes is 1; it must be 2 to 4096") !=
        std::string::npos);
  CHECK(fault(ProbeOptions().classes(5000)).find("classes is 5000") != std::string::npos);
  CHECK(fault(ProbeOptions().targets(-1)).find("targets is -1") != std::string::npos);
  CHECK(fault(ProbeOptions().classes(3).targets(2)).find("classes is 3") != std::string::npos);
  CHECK(fault(ProbeOptions().classes(3).shrinkage(1.5)).find("shrinkage is 1.5") !=
        std::string::npos);
}

}  // namespace test_probe
