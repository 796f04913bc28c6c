// SPDX-License-Identifier: MIT
#include <delve/covariance.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include <torch/torch.h>

#include <delve/eigenvalues.hpp>

#include "catch.hpp"
#include "reference_covariance.hpp"

namespace test_covariance {

using delve::Covariance;
using delve::Products;
using delve_test::random_rows;
using delve_test::relative_error;
using delve_test::two_pass;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Sums in Scalar, tuned for the host or for a device, there with or without memory set apart for
/// rows that wait; here, all are on the host.
template <typename Scalar, const delve::detail::Tuning& kTuning, bool kSharesMemory = false>
struct Tuned : Covariance<Scalar> {
  using Plain = Covariance<Scalar>;
  static constexpr bool kIsNarrow = sizeof(Scalar) == sizeof(float);
  explicit Tuned(Products products = Products::Float32) : Plain(products, kTuning) {
    if (!kSharesMemory) return;
    this->share_memory(std::make_shared<delve::detail::WaitingMemory>(std::int64_t{64} << 20));
  }
};
using FloatOnHost = Tuned<float, delve::detail::kHostTuning>;
using FloatOnDevice = Tuned<float, delve::detail::kDeviceTuning>;
using DoubleOnHost = Tuned<double, delve::detail::kHostTuning>;
using DoubleOnDevice = Tuned<double, delve::detail::kDeviceTuning>;
using DoubleWaiting = Tuned<double, delve::detail::kDeviceTuning, true>;

template <typename Sums>
Sums covariance_of(const std::vector<torch::Tensor>& batches,
                   Products products = Products::Float32) {
  Sums covariance(products);
  for (const torch::Tensor& batch : batches) covariance.update(batch);
  return covariance;
}

/// Float32 sums n products with an error of about √n units of its last place.
template <typename Sums>
constexpr double kTolerance = Sums::kIsNarrow ? 5e-6 : 2e-6;

}  // namespace

TEMPLATE_TEST_CASE("Any split and any order give the covariance of all rows", "[covariance]",
                   FloatOnHost, DoubleOnHost, FloatOnDevice, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(1);
  for (const std::int64_t width : {1, 3, 32, 300}) {
    const torch::Tensor rows = random_rows(5000, width);
    const torch::Tensor expected = two_pass(rows);
    for (const std::int64_t size : {1, 7, 255, 256, 1000, 5000}) {
      if (size == 1 && width == 300) continue;  // 5,000 batches of it add nothing but time
      CAPTURE(width, size);
      std::vector<torch::Tensor> batches = rows.split(size);
      auto forwards = covariance_of<TestType>(batches);
      std::reverse(batches.begin(), batches.end());
      auto backwards = covariance_of<TestType>(batches);
      CHECK(forwards.samples() == 5000);
      CHECK(relative_error(forwards.matrix(), expected) < kTolerance<TestType>);
      CHECK(relative_error(backwards.matrix(), expected) < kTolerance<TestType>);
      CHECK(torch::allclose(forwards.mean(), rows.to(torch::kDouble).mean(0), 1e-6, 1e-6));
    }
  }
}

TEMPLATE_TEST_CASE("Float64 products leave nothing but float64's rounding", "[covariance]",
                   DoubleOnHost, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(2);
  for (const double mean : {0.0, 1e4}) {
    const torch::Tensor rows = random_rows(3000, 40, mean);
    auto covariance = covariance_of<TestType>(rows.split(100), Products::Float64);
    CHECK(relative_error(covariance.matrix(), two_pass(rows)) < 1e-13);
  }
}

TEMPLATE_TEST_CASE("Convolution outputs count every position, in either layout", "[covariance]",
                   FloatOnHost, DoubleOnHost, FloatOnDevice, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(3);
  // 150 features are more than are multiplied at a time, and no multiple of those.
  for (const std::int64_t channels : {24, 150}) {
    for (const std::int64_t side : {1, 5, 12, 40}) {
      const torch::Tensor pictures = torch::randn({9, channels, side, side}) + 3;
      const torch::Tensor rows = pictures.permute({0, 2, 3, 1}).flatten(1, 2);
      const torch::Tensor expected = two_pass(rows.reshape({-1, channels}));
      auto by_channel = covariance_of<TestType>({rows});
      auto channels_last = covariance_of<TestType>({rows.contiguous()});
      CAPTURE(channels, side);
      CHECK(by_channel.samples() == 9 * side * side);
      CHECK(relative_error(by_channel.matrix(), expected) < kTolerance<TestType>);
      CHECK(relative_error(channels_last.matrix(), expected) < kTolerance<TestType>);
    }
  }
}

TEMPLATE_TEST_CASE("A mean ten thousand times the spread costs no digits", "[covariance]",
                   FloatOnHost, DoubleOnHost, FloatOnDevice, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(4);
  for (const std::int64_t size : {10, 400}) {
    const torch::Tensor rows = torch::randn({4000, 50}) + 1e4;
    auto covariance = covariance_of<TestType>(rows.split(size));
    CAPTURE(size);
    CHECK(relative_error(covariance.matrix(), two_pass(rows)) < kTolerance<TestType>);
  }
}

TEMPLATE_TEST_CASE("Sums are kept in Scalar", "[covariance]", FloatOnHost, DoubleOnHost,
                   FloatOnDevice, DoubleOnDevice, DoubleWaiting) {
  // Of two far-apart values the sums need more digits than a float has; the mean shows it.
  TestType covariance(Products::Float64);
  covariance.update(torch::zeros({300, 2}, torch::kDouble));
  for (int i = 0; i < 300; ++i) covariance.update(torch::full({300, 2}, 1 + 1e-9, torch::kDouble));
  const double error =
      std::abs(covariance.mean()[0].template item<double>() * 301 / 300 - 1 - 1e-9);
  if (TestType::kIsNarrow) {
    CHECK(error > 1e-10);
  } else {
    CHECK(error < 1e-14);
  }
  CHECK(TestType::kSumType == (TestType::kIsNarrow ? torch::kFloat : torch::kDouble));
}

TEMPLATE_TEST_CASE("Two accumulators add up to the one that saw all", "[covariance]", FloatOnHost,
                   DoubleOnHost, FloatOnDevice, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(5);
  for (const std::int64_t count : {20, 3000}) {
    const torch::Tensor left = random_rows(count, 30);
    const torch::Tensor right = random_rows(2 * count, 30, 100) * 1e3;
    auto first = covariance_of<TestType>(left.split(11));
    auto second = covariance_of<TestType>(right.split(400));
    const torch::Tensor alone = second.matrix();
    first.merge(second);
    CAPTURE(count);
    CHECK(first.samples() == 3 * count);
    CHECK(relative_error(first.matrix(), two_pass(torch::cat({left, right}))) < 5e-6);
    CHECK(torch::equal(second.matrix(), alone));
  }
}

TEMPLATE_TEST_CASE("Merging with an empty accumulator changes nothing", "[covariance]",
                   DoubleOnHost, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(6);
  const torch::Tensor rows = random_rows(100, 5, 1e4);
  TestType empty;
  auto full = covariance_of<TestType>({rows});
  full.merge(empty);
  CHECK(full.samples() == 100);
  empty.merge(full);
  CHECK(empty.samples() == 100);
  CHECK(torch::allclose(empty.matrix(), two_pass(rows), 1e-5));
  auto narrow = covariance_of<TestType>({torch::randn({3, 4})});
  CHECK_THROWS_AS(full.merge(narrow), std::invalid_argument);
}

TEMPLATE_TEST_CASE("A batch that is not finite is left out whole, the first one too",
                   "[covariance]", FloatOnHost, DoubleOnHost, FloatOnDevice, DoubleOnDevice,
                   DoubleWaiting) {
  torch::manual_seed(7);
  for (const std::int64_t size : {20, 700, 5000}) {  // that wait, and that do not
    for (const double poison : {kNaN, kInfinity, -kInfinity}) {
      CAPTURE(size, poison);
      TestType covariance;
      std::vector<torch::Tensor> good;
      for (int i = 0; i < 9; ++i) {
        torch::Tensor batch = torch::randn({size, 12}) + 1e4;
        if (i % 4 == 0) {
          batch[size / 2][i] = poison;
        } else {
          good.push_back(batch);
        }
        covariance.update(batch);
      }
      const torch::Tensor expected = two_pass(torch::cat(good));
      CHECK(covariance.samples() == 6 * size);
      CHECK(covariance.skipped_batches() == 3);
      CHECK(relative_error(covariance.matrix(), expected) < kTolerance<TestType>);
      CHECK(covariance.samples() == 6 * size);
      CHECK(covariance.skipped_batches() == 3);
    }
  }
}

TEMPLATE_TEST_CASE("What varies by the smallest numbers around one is seen, in either layout",
                   "[covariance]", DoubleOnHost, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(21);
  const torch::Tensor maps = torch::randn({40, 2, 16, 16}) * 1e-38;
  maps.select(1, 0).fill_(4);
  const torch::Tensor rows = maps.permute({0, 2, 3, 1}).flatten(1, 2);
  const torch::Tensor expected = two_pass(rows.reshape({-1, 2}));
  for (const torch::Tensor& layout : {rows, rows.contiguous()}) {
    TestType covariance;
    for (int i = 0; i < 3; ++i) covariance.update(layout);
    CHECK(covariance.skipped_batches() == 0);
    CHECK(relative_error(covariance.matrix(), expected) < 1e-5);
  }
}

TEMPLATE_TEST_CASE("Whatever is asked or done between them, each batch counts once", "[covariance]",
                   FloatOnHost, DoubleOnHost, FloatOnDevice, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(20);
  // So few features that the sums of 16 batches, or of 4, are kept apart for a while.
  for (const std::int64_t width : {40, 120}) {
    TestType covariance;
    typename TestType::Plain copy;
    std::vector<torch::Tensor> good, good_of_copy;
    const auto check = [&](typename TestType::Plain& it,
                           const std::vector<torch::Tensor>& batches) {
      const torch::Tensor rows = torch::cat(batches);
      CHECK(it.samples() == rows.size(0));
      CHECK(relative_error(it.matrix(), two_pass(rows)) < kTolerance<TestType>);
      CHECK(relative_error(it.variances(), two_pass(rows).diagonal()) < kTolerance<TestType>);
    };
    std::int64_t bad = 0;
    for (int i = 0; i < 45; ++i) {
      CAPTURE(width, i);
      // Every fifth one waits as rows.
      torch::Tensor batch = random_rows(i % 5 == 4 ? 100 : 2000, width, 3);
      if (i == 25) batch = batch.to(torch::kDouble);
      if (i % 7 == 3) {
        batch[5][i % width] = i % 2 == 0 ? kNaN : kInfinity;
        ++bad;
      } else {
        good.push_back(batch.to(torch::kFloat));
      }
      covariance.update(batch);
      if (i == 0 || i == 6 || i == 22 || i == 26) {
        CHECK(covariance.samples() == torch::cat(good).size(0));
        CHECK(covariance.skipped_batches() == bad);
      }
      if (i == 10 || i == 31) check(covariance, good);
      if (i == 18) {
        copy = covariance.copy();
        good_of_copy = good;
      }
    }
    check(covariance, good);
    check(copy, good_of_copy);
    copy.merge(covariance);
    good.insert(good.end(), good_of_copy.begin(), good_of_copy.end());
    check(copy, good);
    CHECK(covariance.skipped_batches() == bad);
  }
}

TEMPLATE_TEST_CASE("Values of any size are summed without overflow", "[covariance]", FloatOnHost,
                   DoubleOnHost, FloatOnDevice, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(8);
  for (const double size : {1e-30, 1e-12, 1e12, 1e30}) {
    for (const std::int64_t count : {50, 2000}) {
      const torch::Tensor rows = torch::randn({count, 6}) * size;
      auto covariance = covariance_of<TestType>(rows.split(500));
      CAPTURE(size, count);
      CHECK(covariance.skipped_batches() == 0);
      CHECK(relative_error(covariance.matrix(), two_pass(rows)) < kTolerance<TestType>);
    }
  }
}

TEMPLATE_TEST_CASE("A constant has no variance, to the last bit", "[covariance]", FloatOnHost,
                   DoubleOnHost, FloatOnDevice, DoubleOnDevice, DoubleWaiting) {
  for (const double constant : {0.0, 0.1, -12345.678, 1e20}) {
    for (const std::int64_t count : {10, 5000}) {
      TestType covariance;
      for (int i = 0; i < 5; ++i) covariance.update(torch::full({count, 4}, constant));
      CHECK(covariance.spectral_matrix().abs().max().template item<double>() == 0);
      CHECK(covariance.matrix().abs().max().template item<double>() == 0);
      CHECK(covariance.samples() == 5 * count);
    }
  }
}

TEMPLATE_TEST_CASE("What follows a constant is taken in, however large", "[covariance]",
                   DoubleOnHost, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(13);
  for (const double constant : {0.0, 1.0, 1e20}) {
    for (const std::int64_t count : {100, 1000}) {
      const torch::Tensor still = torch::full({count, 4}, constant);
      const torch::Tensor moving = torch::randn({count, 4}) * std::max(constant, 1.0);
      auto covariance = covariance_of<TestType>({still, still, still, moving});
      CAPTURE(constant, count);
      CHECK(covariance.skipped_batches() == 0);
      CHECK(
          relative_error(covariance.matrix(), two_pass(torch::cat({still, still, still, moving}))) <
          kTolerance<TestType>);
    }
  }
}

TEMPLATE_TEST_CASE("Fewer rows than features give the same eigenvalues by way of their Gram matrix",
                   "[covariance]", DoubleOnHost, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(9);
  for (const std::int64_t count : {1, 2, 40, 299}) {
    const torch::Tensor rows = random_rows(count, 300, 10);
    auto covariance = covariance_of<TestType>(rows.split(16));
    torch::Tensor bad = torch::randn({5, 300});
    bad[0][0] = kNaN;
    if (count == 40) covariance.update(bad);
    const torch::Tensor gram = covariance.spectral_matrix();
    CAPTURE(count);
    REQUIRE(gram.size(0) == count);
    const auto expected = delve::symmetric_eigenvalues(two_pass(rows));
    const auto found = delve::symmetric_eigenvalues(gram);
    REQUIRE(expected);
    REQUIRE(found);
    CHECK((*found - expected->tail(count)).cwiseAbs().maxCoeff() <
          1e-12 * expected->sum() + 1e-300);
    CHECK(relative_error(covariance.matrix() + 1, two_pass(rows) + 1) < 1e-5);
  }
  // A dead layer's constant has no variance there either.
  auto dead = covariance_of<TestType>({torch::full({7, 300}, 0.1, torch::kDouble)});
  CHECK(dead.spectral_matrix().abs().max().template item<double>() == 0);
}

TEMPLATE_TEST_CASE("A batch too large for float32 products spoils nothing", "[covariance]",
                   DoubleOnHost, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(14);
  for (const std::int64_t count : {50, 1000}) {
    CAPTURE(count);
    const torch::Tensor rows = torch::randn({count, 4});
    auto after = covariance_of<TestType>({rows});
    CHECK(relative_error(after.matrix(), two_pass(rows)) < kTolerance<TestType>);
    after.update(rows * 1e30);
    CHECK(after.skipped_batches() == 1);
    CHECK(after.samples() == count);
    CHECK(relative_error(after.matrix(), two_pass(rows)) < kTolerance<TestType>);

    // So large that their very mean overflows: no scale can be chosen.
    auto before = covariance_of<TestType>({torch::full({count, 4}, 3e38) * torch::sign(rows)});
    const std::int64_t kept = before.samples();
    static_cast<void>(before.mean());  // folds what waits
    before.update(rows);
    CHECK(before.samples() >= count);
    CHECK(before.matrix().isfinite().all().template item<bool>());
    CHECK((kept == 0 || kept == count));
  }
}

TEMPLATE_TEST_CASE("Narrow and wide types are taken in", "[covariance]", FloatOnHost, DoubleOnHost,
                   FloatOnDevice, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(10);
  for (const torch::ScalarType type :
       {torch::kHalf, torch::kBFloat16, torch::kFloat, torch::kDouble}) {
    for (const std::int64_t count : {100, 3000}) {
      const torch::Tensor rows = random_rows(count, 8).to(type);
      auto covariance = covariance_of<TestType>({rows});
      CAPTURE(c10::toString(type), count);
      CHECK(relative_error(covariance.matrix(), two_pass(rows)) < kTolerance<TestType>);
    }
  }
  // In mid-run, too.
  const torch::Tensor rows = random_rows(900, 8);
  auto covariance = covariance_of<TestType>(
      {rows.narrow(0, 0, 100), rows.narrow(0, 100, 100).to(torch::kDouble),
       rows.narrow(0, 200, 400).to(torch::kDouble), rows.narrow(0, 600, 300)});
  CHECK(relative_error(covariance.matrix(), two_pass(rows)) < kTolerance<TestType>);
}

TEMPLATE_TEST_CASE("The user's modes do not reach the sums", "[covariance]", DoubleOnHost,
                   DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(11);
  const torch::Tensor rows = random_rows(1000, 8);
  TestType covariance;
  {
    const c10::InferenceMode inference;
    covariance.update(rows.narrow(0, 0, 400) * 1);
  }
  covariance.update((rows.narrow(0, 400, 50) * 1).requires_grad_());
  {
    const c10::InferenceMode inference;
    covariance.update(rows.narrow(0, 450, 50) * 1);
  }
  covariance.update(rows.narrow(0, 500, 500).clone().requires_grad_());
  CHECK(relative_error(covariance.matrix(), two_pass(rows)) < kTolerance<TestType>);
  CHECK_FALSE(covariance.matrix().requires_grad());
}

TEMPLATE_TEST_CASE("Rows of another shape, width or type are refused", "[covariance]", DoubleOnHost,
                   DoubleOnDevice, DoubleWaiting) {
  TestType covariance;
  CHECK(covariance.width() == 0);
  CHECK(covariance.samples() == 0);
  CHECK(covariance.skipped_batches() == 0);
  CHECK_THROWS_AS(covariance.update(torch::randn({4})), std::invalid_argument);
  CHECK_THROWS_AS(covariance.update(torch::randn({4, 4, 4, 4})), std::invalid_argument);
  CHECK_THROWS_AS(covariance.update(torch::ones({4, 4}, torch::kLong)), std::invalid_argument);
  covariance.update(torch::empty({0, 4}));
  CHECK(covariance.width() == 0);
  covariance.update(torch::randn({3, 4}));
  CHECK_THROWS_WITH(covariance.update(torch::randn({3, 5})),
                    "delve::Covariance::update: these rows have 5 features, the ones before 4");
  CHECK(covariance.samples() == 3);
}

TEMPLATE_TEST_CASE("After a reset the data before is forgotten", "[covariance]", DoubleOnHost,
                   DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(12);
  auto covariance = covariance_of<TestType>({torch::randn({1000, 4}) + 100});
  covariance.reset();
  CHECK(covariance.width() == 0);
  const torch::Tensor rows = random_rows(600, 9);
  covariance.update(rows);
  CHECK(relative_error(covariance.matrix(), two_pass(rows)) < kTolerance<TestType>);
}

TEMPLATE_TEST_CASE("Rows that wait shifted are those that wait as they came", "[covariance]",
                   DoubleOnHost, DoubleOnDevice, DoubleWaiting) {
  torch::manual_seed(22);
  for (const bool are_equal : {true, false}) {  // so that batches are checked whole, or by rows
    TestType covariance;
    typename TestType::Plain copy;
    std::vector<torch::Tensor> good;
    std::int64_t bad = 0;
    // The fourth sum chooses the shift; from then on rows are shifted as they come.
    for (int i = 0; i < 60; ++i) {
      CAPTURE(are_equal, i);
      const std::int64_t count = !are_equal && i % 4 == 3 ? 25 : 40;
      torch::Tensor batch = random_rows(count, 30, 1e3);
      if (i % 11 == 5) batch = batch.view({5, count / 5, 30});
      if (i % 13 == 6) batch = batch.to(torch::kHalf);
      if (i == 42) batch = batch.to(torch::kDouble);
      const bool is_too_large = i % 17 == 9;
      if (i % 9 == 4 || is_too_large) {
        if (is_too_large) {
          batch *= 1e30;
        } else {
          batch.view({-1, 30})[3][i % 30] = i % 2 == 0 ? kNaN : kInfinity;
        }
        ++bad;
      } else {
        good.push_back(batch.to(torch::kDouble).reshape({-1, 30}));
      }
      covariance.update(batch);
      if (i == 38) copy = covariance.copy();
      CHECK(covariance.samples() == torch::cat(good).size(0));
      CHECK(covariance.skipped_batches() == bad);
      if (i % 5 == 2) {
        const torch::Tensor expected = two_pass(torch::cat(good));
        CHECK(relative_error(covariance.matrix(), expected) < kTolerance<TestType>);
        CHECK(torch::allclose(covariance.mean(), torch::cat(good).mean(0), 1e-7, 1e-6));
      }
      if (i == 50) covariance.release_memory();
    }
    const std::int64_t at_copy = copy.samples();
    copy.update(good[0]);
    CHECK(copy.samples() == at_copy + good[0].size(0));
    CHECK(covariance.samples() == torch::cat(good).size(0));
    CHECK(relative_error(covariance.matrix(), two_pass(torch::cat(good))) < kTolerance<TestType>);
  }
}

TEST_CASE("Memory for rows that wait is taken from what there is, and given back", "[covariance]") {
  using delve::detail::WaitingMemory;
  torch::manual_seed(23);
  constexpr std::int64_t kLarge = 1 << 24;
  const auto memory = std::make_shared<WaitingMemory>(kLarge + 5);
  const torch::Tensor rows = random_rows(3000, 64, 5);
  const torch::Tensor expected = two_pass(rows);
  {
    DoubleOnDevice first;
    DoubleOnDevice second;
    first.share_memory(memory);
    second.share_memory(memory);
    first.update(rows);
    CHECK(memory->left() == 5);
    CHECK(first.bytes() > kLarge);
    CHECK(first.bytes() < kLarge + 100'000);  // there is no sum yet
    second.update(rows);                      // is summed at once
    second.update(rows.narrow(0, 0, 100));
    CHECK(memory->left() == 5);
    CHECK(second.bytes() < kLarge);
    CHECK(relative_error(first.matrix(), expected) < kTolerance<DoubleOnDevice>);
    const auto copy = first.copy();
    CHECK(copy.bytes() < kLarge);
    first.release_memory();
    CHECK(memory->left() == kLarge + 5);
    CHECK(first.samples() == 3000);
    first.update(rows.to(torch::kDouble));  // of another type, of which fewer fit
    CHECK(memory->left() == 5);
    first.update(rows);
    CHECK(memory->left() == 5);
    CHECK(first.samples() == 9000);
    CHECK(relative_error(first.matrix(), expected) < kTolerance<DoubleOnDevice>);
    first.reset();
    CHECK(memory->left() == kLarge + 5);
    first.update(rows);
    CHECK(memory->left() == 5);
    const auto moved = std::move(first);
    CHECK(memory->left() == 5);
  }
  CHECK(memory->left() == kLarge + 5);

  // Of few rows the Gram matrix can be had yet.
  DoubleOnDevice few;
  few.share_memory(memory);
  few.update(rows.narrow(0, 0, 20));
  few.update(rows.narrow(0, 20, 20));
  few.release_memory();
  CHECK(memory->left() == kLarge + 5);
  CHECK(few.bytes() < 64 * 1024);
  CHECK(few.spectral_matrix().size(0) == 40);
  few.update(rows.narrow(0, 40, 960));
  CHECK(few.samples() == 1000);
  CHECK(relative_error(few.matrix(), two_pass(rows.narrow(0, 0, 1000))) <
        kTolerance<DoubleOnDevice>);
}

TEST_CASE("A matrix that is not finite has no eigenvalues", "[eigenvalues]") {
  CHECK_FALSE(delve::symmetric_eigenvalues(torch::full({3, 3}, kNaN, torch::kDouble)));
  const auto values =
      delve::symmetric_eigenvalues(torch::diag(torch::arange(4, 0, -1).to(torch::kDouble)));
  REQUIRE(values);
  CHECK((*values - Eigen::Vector4d(1, 2, 3, 4)).norm() < 1e-12);
}

}  // namespace test_covariance
