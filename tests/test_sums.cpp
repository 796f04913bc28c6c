// SPDX-License-Identifier: MIT
// The parts of a covariance, each alone: detail/sums/.

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <torch/torch.h>

#include <delve/detail/sums/memory.hpp>
#include <delve/detail/sums/product_sums.hpp>
#include <delve/detail/sums/products.hpp>
#include <delve/detail/sums/shift.hpp>
#include <delve/detail/sums/tuning.hpp>
#include <delve/detail/sums/waiting_rows.hpp>

#include "catch.hpp"
#include "reference_covariance.hpp"

namespace test_sums {

using delve::detail::kDeviceTuning;
using delve::detail::kHostTuning;
using delve::detail::ProductSums;
using delve::detail::Shift;
using delve::detail::Tuning;
using delve::detail::WaitingRows;
using delve_test::relative_error;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

torch::Tensor number(double value) {
  return torch::full({}, value, torch::kDouble);
}

bool is_all_true(const torch::Tensor& flags) {
  return flags.all().item<bool>();
}

/// A shift that rows have chosen.
Shift shift_by(const torch::Tensor& rows) {
  Shift shift(rows.size(1), rows.options());
  shift.choose(rows, rows[0], number(0));
  return shift;
}

/// The lower triangle of yᵀy, and below it the sums of y: by the definition.
torch::Tensor sums_of(const torch::Tensor& y) {
  const torch::Tensor wide = y.to(torch::kDouble);
  return torch::cat({wide.t().mm(wide).tril(), wide.sum(0, /*keepdim=*/true)});
}

/// Sums as they are laid out, without what lies above the diagonal.
torch::Tensor lower(const torch::Tensor& sums) {
  return sums.to(torch::kDouble).tril();
}

}  // namespace

TEST_CASE("Waiting rows take a quarter of a megabyte on the host", "[tuning]") {
  CHECK(kHostTuning.capacity(1) == 2048);
  CHECK(kHostTuning.capacity(64) == 1024);
  CHECK(kHostTuning.capacity(256) == 256);
  CHECK(kHostTuning.capacity(1000) == 1000);
  CHECK(kHostTuning.capacity(100'000) == 2048);
  for (const std::int64_t width : {1, 64, 256, 1000, 100'000}) {
    CHECK(kHostTuning.rows_worth_a_product(width) == kHostTuning.capacity(width));
  }
}

TEST_CASE("On a device only batches of fewer rows than features wait, but many of them",
          "[tuning]") {
  for (const std::int64_t width : {1, 64, 512, 100'000})
    CHECK(kDeviceTuning.capacity(width) == 2048);
  CHECK(kDeviceTuning.rows_worth_a_product(64) == 256);
  CHECK(kDeviceTuning.rows_worth_a_product(512) == 512);
  CHECK(kDeviceTuning.rows_worth_a_product(100'000) == 2048);
}

TEST_CASE("A device forms whole products, of larger blocks, and settles more of them at once",
          "[tuning]") {
  for (const std::int64_t width : {1, 64, 512, 4096}) {
    CAPTURE(width);
    CHECK(kDeviceTuning.rows_per_strip(width) >= width);
    CHECK(kDeviceTuning.rows_per_addition > width);
    CHECK(kDeviceTuning.rows_per_block(width) >= kHostTuning.rows_per_block(width));
    CHECK(kDeviceTuning.most_unsettled(width) >= kHostTuning.most_unsettled(width));
  }
  CHECK(kHostTuning.rows_per_strip(4096) == 512);
  CHECK(kHostTuning.most_unsettled(64) == 16);
  CHECK(kHostTuning.most_unsettled(512) == 1);
  CHECK(kDeviceTuning.most_unsettled(512) == 16);
  CHECK(&delve::detail::tuning_on(torch::kCPU) == &kHostTuning);
  CHECK(&delve::detail::tuning_on(torch::kCUDA) == &kDeviceTuning);
}

TEST_CASE("Where memory is set apart, sixteen megabytes of rows wait on a device", "[tuning]") {
  CHECK(kDeviceTuning.large_capacity(64, 4) == 65'536);
  CHECK(kDeviceTuning.large_capacity(512, 4) == 8192);
  CHECK(kDeviceTuning.large_capacity(512, 8) == 4096);
  CHECK(kDeviceTuning.large_capacity(4096, 4) == 2048);  // no fewer than without
  for (const std::int64_t width : {1, 64, 512, 4096}) {
    CHECK(kHostTuning.large_capacity(width, 4) == kHostTuning.capacity(width));
  }
}

TEST_CASE("Few long samples are cut up, so that a device has enough products", "[tuning]") {
  const auto parts = [](std::int64_t samples, std::int64_t rows, std::int64_t width) {
    return kDeviceTuning.parts_of_sample(samples, rows, width);
  };
  CHECK(parts(64, 12'544, 64) == 4);
  CHECK(parts(41, 12'544, 64) == 4);  // 6 and 5 do not divide it
  CHECK(parts(128, 1024, 64) == 2);
  CHECK(parts(128, 256, 128) == 1);    // for more there are too few rows
  CHECK(parts(300, 12'544, 64) == 1);  // products enough
  CHECK(parts(16, 3136, 256) == 4);    // of four tiles each
  CHECK(parts(8, 4099, 64) == 1);      // a prime number
  CHECK(kHostTuning.parts_of_sample(1, 12'544, 64) == 1);
  for (const std::int64_t samples : {1, 3, 64, 200}) {
    for (const std::int64_t rows : {49, 1000, 12'544}) {
      for (const std::int64_t width : {3, 64, 300}) {
        const std::int64_t found = parts(samples, rows, width);
        CAPTURE(samples, rows, width, found);
        CHECK(rows % found == 0);
        CHECK((found == 1 || samples * found <= 256));
        CHECK((found == 1 || 2 * width * found <= rows));
      }
    }
  }
}

TEST_CASE("A shift is the mean of the rows that chose it, and its scale a power of two",
          "[shift]") {
  torch::manual_seed(1);
  const torch::Tensor rows = torch::randn({200, 7}) * 300 + 1e4;
  const Shift shift = shift_by(rows);
  CHECK(torch::allclose(shift.shift(), rows.mean(0), 1e-6));
  const auto scale = shift.scale().item<double>();
  CHECK(std::exp2(std::round(std::log2(scale))) == scale);
  const torch::Tensor expected =
      (rows.to(torch::kDouble) - shift.shift().to(torch::kDouble)) * scale;
  CHECK(expected.abs().max().item<double>() < 4);
  const torch::Tensor y = shift.of_rows(rows, torch::kFloat);
  CHECK(y.scalar_type() == torch::kFloat);
  CHECK(torch::allclose(y.to(torch::kDouble), expected, 0, 1e-5));
  for (const Tuning& tuning : {kHostTuning, kDeviceTuning}) {
    const torch::Tensor by_feature =
        shift.of_features(rows.t().unsqueeze(0), torch::kDouble, tuning);
    // On a device in parts, one after the other.
    CHECK(torch::allclose(by_feature.transpose(1, 2).reshape({-1, 7}), expected, 0, 1e-9));
  }
}

TEST_CASE("A shift is offered four times, and stays once something was summed", "[shift]") {
  const torch::Tensor bad = torch::full({3, 2}, kNaN);
  const torch::Tensor good = torch::full({3, 2}, 5.);
  Shift shift(2, good.options());
  for (int i = 0; i < 3; ++i) shift.choose(bad, bad[0], number(0));
  CHECK_FALSE(shift.is_chosen());
  CHECK(shift.shift().eq(0).all().item<bool>());
  shift.choose(good, good[0], number(0));
  CHECK(shift.is_chosen());
  CHECK(is_all_true(shift.shift().eq(5)));

  Shift used(2, good.options());
  used.choose(good, good[0], number(3));  // rows were summed before
  CHECK(is_all_true(used.shift().eq(0)));
  used.keep();
  CHECK(used.is_chosen());
  used.choose(good, good[0], number(0));
  CHECK(is_all_true(used.shift().eq(0)));
}

TEST_CASE("A shift is taken over only by what has summed nothing", "[shift]") {
  const Shift other = shift_by(torch::full({3, 2}, 5.));
  for (const double count : {0., 1.}) {
    Shift shift(2, at::TensorOptions().dtype(torch::kDouble));
    shift.take_over(other, number(count));
    CHECK(is_all_true(shift.shift().eq(count == 0 ? 5 : 0)));
    CHECK(shift.shift().scalar_type() == torch::kDouble);
  }
}

TEST_CASE("Rows that are not finite or far too large are out of range", "[shift]") {
  torch::manual_seed(2);
  const torch::Tensor rows = torch::randn({5, 3});
  rows[1][2] = kNaN;
  rows[3][0] = INFINITY;
  rows[4][0] = 1e30F;
  const auto in_range = [&](const Shift& shift, double count) {
    const torch::Tensor found =
        shift.are_in_range(rows, shift.of_rows(rows, torch::kFloat), number(count));
    return std::vector<bool>{found[0].item<bool>(), found[1].item<bool>(), found[2].item<bool>(),
                             found[3].item<bool>(), found[4].item<bool>()};
  };
  // Before anything was summed, no value is too large: the data may be so.
  CHECK(in_range(Shift(3, rows.options()), 0) == std::vector<bool>{true, false, true, false, true});
  CHECK(in_range(Shift(3, rows.options()), 9) ==
        std::vector<bool>{true, false, true, false, false});
  Shift chosen = shift_by(torch::randn({9, 3}));
  chosen.keep();
  CHECK(in_range(chosen, 9) == std::vector<bool>{true, false, true, false, false});
}

TEST_CASE("Rows wait in their order, whatever their layout and type", "[waiting_rows]") {
  torch::manual_seed(3);
  const std::vector<torch::Tensor> batches = {
      torch::randn({3, 4}), torch::randn({4, 5}).t(), torch::randn({2, 3, 4}),
      torch::randn({2, 4}).to(torch::kHalf), torch::randn({1, 4}).expand({4, 4})};
  Shift chosen = shift_by(torch::randn({50, 4}) * 3 + 7);
  chosen.keep();
  const Shift none(4, torch::kFloat);
  for (const Tuning& tuning : {kHostTuning, kDeviceTuning}) {
    for (const Shift& shift : {chosen, none}) {
      const bool is_shifted = !tuning.is_host && shift.is_chosen();
      CAPTURE(tuning.is_host, is_shifted);
      const auto expected_of = [&](const torch::Tensor& rows) {
        return is_shifted ? shift.of_rows(rows, torch::kFloat) : rows.to(torch::kFloat);
      };
      WaitingRows waiting;
      CHECK(waiting.empty());
      CHECK_FALSE(waiting.have_room(1, torch::kFloat));
      waiting.reserve(20, 4, torch::kFloat);
      std::vector<torch::Tensor> expected;
      for (const torch::Tensor& batch : batches) {
        const std::int64_t count = batch.numel() / 4;
        REQUIRE(waiting.have_room(count, torch::kFloat));
        waiting.append(batch, count, shift, tuning);
        expected.push_back(expected_of(batch.reshape({-1, 4})));
      }
      CHECK(waiting.are_shifted() == is_shifted);
      CHECK(waiting.count() == 20);
      CHECK(torch::equal(waiting.rows(), torch::cat(expected)));
      CHECK_FALSE(waiting.have_room(1, torch::kFloat));
      CHECK_FALSE(waiting.have_room(0, torch::kDouble));
      const WaitingRows copy = waiting.copy();
      CHECK(copy.are_shifted() == is_shifted);
      // Batches of one shape, then others between them.
      for (const std::vector<std::int64_t>& counts :
           {std::vector<std::int64_t>{3, 3, 3, 3, 3, 3}, {3, 6, 3, 2, 3}, {20}}) {
        waiting.clear();
        CHECK(waiting.empty());
        CHECK(waiting.have_room(20, torch::kFloat));
        std::vector<torch::Tensor> again;
        for (const std::int64_t count : counts) {
          const torch::Tensor batch = torch::randn({count, 4});
          waiting.append(batch, count, shift, tuning);
          again.push_back(expected_of(batch));
        }
        CHECK(torch::equal(waiting.rows(), torch::cat(again)));
      }
      CHECK(torch::equal(copy.rows(), torch::cat(expected)));
      CHECK(copy.bytes() == 20 * 4 * 4);
    }
  }
}

TEST_CASE("One bad row spoils its batch and no other", "[waiting_rows]") {
  WaitingRows waiting;
  waiting.reserve(10, 1, torch::kFloat);
  for (const std::int64_t count : {3, 1, 4})
    waiting.append(torch::zeros({count, 1}), count, Shift(1, torch::kFloat), kHostTuning);
  const torch::Tensor rows_are_good = torch::ones({8}, torch::kBool);
  rows_are_good[5] = false;
  const WaitingRows::Good good = waiting.good(rows_are_good);
  CHECK(torch::equal(good.batches.to(torch::kLong), torch::tensor({1L, 1L, 0L})));
  CHECK(torch::equal(good.rows.to(torch::kLong), torch::tensor({1L, 1L, 1L, 1L, 0L, 0L, 0L, 0L})));
}

TEST_CASE("Products of rows in any layout are those of the definition", "[products]") {
  torch::manual_seed(4);
  for (const std::int64_t width : {3, 70, 600}) {
    const torch::Tensor maps = torch::randn({5, width, 1300}) + 2;
    const torch::Tensor rows = maps.transpose(1, 2);
    const Shift shift = shift_by(rows.flatten(0, 1));
    const torch::Tensor expected =
        sums_of(shift.of_rows(rows.contiguous().view({-1, width}), torch::kDouble));
    for (const Tuning& tuning : {kHostTuning, kDeviceTuning}) {
      for (const torch::Tensor& layout : {rows, rows.contiguous()}) {
        for (const torch::ScalarType type : {torch::kFloat, torch::kDouble}) {
          CAPTURE(width, tuning.is_host, layout.is_contiguous(), c10::toString(type));
          const torch::Tensor sums = torch::full({width + 1, width}, kNaN, torch::kDouble);
          sum_up(layout, shift, type, sums, tuning);
          CHECK(relative_error(lower(sums), expected.tril()) < 1e-5);
        }
      }
    }
  }
}

TEST_CASE("Sums of batches add up, before and after they are settled", "[product_sums]") {
  torch::manual_seed(5);
  for (const Tuning& tuning : {kHostTuning, kDeviceTuning}) {
    for (const torch::ScalarType type : {torch::kFloat, torch::kDouble}) {
      ProductSums sums(6, torch::kCPU, type);
      CHECK(sums.untouched());
      const torch::Tensor rows = torch::randn({21, 40, 6});
      Shift shift = shift_by(rows[0]);
      shift.keep();
      for (int i = 0; i < 21; ++i) {
        torch::Tensor batch = rows[i].unsqueeze(0).clone();
        if (i == 20) batch[0][3][1] = kNaN;
        sums.take(batch, 40, shift, torch::kFloat, tuning);
        CHECK_FALSE(sums.untouched());
      }
      CHECK(sums.count().item<double>() == 16 * 40);  // the others are kept apart
      CHECK(sums.samples().item<double>() == 20 * 40);
      CHECK(sums.skipped().item<double>() == 1);
      ProductSums copy = sums.copy();
      for (ProductSums* it : {&sums, &copy}) {
        it->settle(tuning);
        CHECK(it->count().item<double>() == 20 * 40);
        CHECK(it->skipped().item<double>() == 1);
        CHECK(it->product().scalar_type() == type);
        const torch::Tensor expected =
            sums_of(shift.of_rows(rows.narrow(0, 0, 20), torch::kDouble).view({-1, 6}));
        CHECK(relative_error(lower(torch::cat({it->product(), it->sum().unsqueeze(0)})),
                             expected.tril()) < 1e-5);
      }
    }
  }
}

TEST_CASE("Sums about different shifts merge into those about one", "[product_sums]") {
  torch::manual_seed(6);
  const torch::Tensor left = torch::randn({1, 50, 4});
  const torch::Tensor right = torch::randn({1, 80, 4}) * 7 + 30;
  const Shift shift = shift_by(left[0]);
  const Shift others_shift = shift_by(right[0]);
  ProductSums sums(4, torch::kCPU, torch::kDouble);
  ProductSums others(4, torch::kCPU, torch::kDouble);
  sums.take(left, 50, shift, torch::kDouble, kHostTuning);
  others.take(right, 80, others_shift, torch::kDouble, kHostTuning);
  others.skip(number(2));
  sums.merge(others, shift, others_shift);
  CHECK(sums.count().item<double>() == 130);
  CHECK(sums.skipped().item<double>() == 2);
  const torch::Tensor expected =
      sums_of(shift.of_rows(torch::cat({left[0], right[0]}), torch::kDouble));
  CHECK(relative_error(lower(torch::cat({sums.product(), sums.sum().unsqueeze(0)})),
                       expected.tril()) < 1e-12);
}

TEST_CASE("Memory that no machine has is refused with its size", "[memory]") {
  CHECK_NOTHROW(delve::detail::require_memory(1e3, "this"));
  if (!delve::detail::available_memory()) return;
  CHECK_THROWS_AS(delve::detail::require_memory(1e18, "this"), delve::detail::NotEnoughMemory);
  CHECK_THROWS_WITH(delve::detail::require_memory(1e18, "this"),
                    ContainsSubstring("this would take 1000000000.0 GB, but only "));
}

}  // namespace test_sums
