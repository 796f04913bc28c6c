// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::clamp, std::max, std::min
#include <cstdint>    // std::int64_t

#include <c10/core/Device.h>

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// How many batches' sums are kept apart at most.
constexpr std::int64_t kMostUnsettled = 16;

/// How sums are computed, by where they are: everything that differs between the host and a device.
/// On the host, time goes into arithmetic and into memory that leaves the cache. On a device, it
/// goes into starting operators and into waiting for their results.
struct Tuning {
  /// A result can be read without waiting for it, and one operator more costs little.
  bool is_host;
  /// Batches of fewer numbers wait: the dozens of small operators around a product take as long as
  /// collecting 256 KB of rows. On a device a batch waits only if its product has more numbers.
  std::int64_t numbers_worth_a_product;
  /// The fewest rows that the waiting rows have room for.
  std::int64_t least_capacity;
  /// How many bytes of rows wait at most where memory is set apart for them: 16 MB on a device,
  /// none on the host. A batch that waits takes an eighth of them at most.
  std::int64_t waiting_bytes;
  /// Numbers that are multiplied at a time. On the host 4 MB of float32, few enough to stay in the
  /// cache; on a device 128 MB.
  std::int64_t numbers_per_block;
  /// Rows that are multiplied at a time, at most: float32 sums them.
  std::int64_t most_rows_per_block;
  /// A symmetric product is formed in so many strips, each only up to the diagonal.
  std::int64_t strips;
  /// Products of at most 128 × 128 numbers that are formed at a time: on a device two for each of
  /// about 128 processors. Where there are fewer, they are cut up.
  std::int64_t products_at_a_time;
  /// Rows that are added to the sums at a time: on the host a strip that stays in the cache.
  std::int64_t rows_per_addition;
  /// Numbers of sums that are kept apart, to be checked and added together: 256 KB of float32, on a
  /// device 16 MB.
  std::int64_t unsettled_numbers;

  /// Batches of d features with fewer rows wait: adding d × d numbers must not cost more than
  /// forming them.
  [[nodiscard]] std::int64_t rows_worth_a_product(std::int64_t width) const {
    return std::clamp<std::int64_t>(std::max(width, numbers_worth_a_product / width), 256, 2048);
  }

  /// How many rows wait at most.
  [[nodiscard]] std::int64_t capacity(std::int64_t width) const {
    return std::max(rows_worth_a_product(width), least_capacity);
  }

  /// The same where there is memory set apart for them.
  [[nodiscard]] std::int64_t large_capacity(std::int64_t width,
                                            std::int64_t bytes_per_number) const {
    return std::max(capacity(width), waiting_bytes / (width * bytes_per_number));
  }

  /// Into how many parts of equal length each of b samples of n rows is cut, where each sample is a
  /// product.
  [[nodiscard]] std::int64_t parts_of_sample(std::int64_t samples, std::int64_t rows,
                                             std::int64_t width) const {
    const std::int64_t tiles = (width + 127) / 128;
    // The products' results take no more memory than half of the rows, as in pays_by_sample().
    std::int64_t parts =
        std::min(products_at_a_time / (samples * tiles * tiles), rows / (2 * width));
    while (parts > 1 && rows % parts != 0) --parts;
    return std::max<std::int64_t>(parts, 1);
  }

  /// Rows that are multiplied at a time: enough for the product to be worth adding d × d numbers.
  [[nodiscard]] std::int64_t rows_per_block(std::int64_t width) const {
    return std::clamp<std::int64_t>(numbers_per_block / width, 2048, most_rows_per_block);
  }

  /// Rows of a symmetric product that are formed at a time. Narrower strips cost more than they
  /// save.
  [[nodiscard]] std::int64_t rows_per_strip(std::int64_t width) const {
    return std::max<std::int64_t>(64, width / strips);
  }

  /// How many batches' sums are kept apart: adding them takes a dozen small operators, which on a
  /// device take longer than summing a batch.
  [[nodiscard]] std::int64_t most_unsettled(std::int64_t width) const {
    return std::clamp<std::int64_t>(unsettled_numbers / (width * width), 1, kMostUnsettled);
  }
};

// clang-format off
//                                          worth a  least   waiting          most rows           products   rows per  unsettled
//                                is host   product  capacity  bytes  block  of a block  strips  at a time  addition  numbers
inline constexpr Tuning kHostTuning =
                                 {true,     1 << 16,     0,       0, 1 << 20,   16384,       8,         0,        64,  1 << 16};
inline constexpr Tuning kDeviceTuning =
                                 {false,          0,  2048, 1 << 24, 1 << 25, 1 << 19,       1,       256,   1 << 30,  1 << 22};
// clang-format on

/// The row of the table for sums on a device.
inline const Tuning& tuning_on(at::Device device) {
  return device.is_cpu() ? kHostTuning : kDeviceTuning;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
