// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>  // std::size_t
#include <cstdint>  // std::int64_t
#include <memory>   // std::make_shared
#include <utility>  // std::move

#include <Eigen/Core>

#include <delve/detail/state/state_archive.hpp>
#include <delve/layer_field.hpp>
#include <delve/record.hpp>
#include <delve/version.hpp>

// How state_archive.hpp treats records, which are plain values that know nothing of it.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

template <typename Archive>
void transfer(Archive& archive, Value& value) {
  archive(value.stat, value.quantity, value.value);
  transfer_enumerated(archive, value.kind, ValueKind::Drift);
}

template <typename Archive>
void transfer(Archive& archive, ArrayValue& value) {
  archive(value.stat, value.quantity);
  transfer_enumerated(archive, value.kind, ArrayKind::Points);
  std::int64_t rows = Archive::kReads ? 0 : value.array->rows();
  std::int64_t columns = Archive::kReads ? 0 : value.array->cols();
  archive(rows, columns);
  if constexpr (Archive::kReads) {
    constexpr std::int64_t most = std::int64_t{1} << 30U;
    archive.require(rows >= 0 && columns >= 0 && rows < most && columns < most);
    const std::size_t bytes = static_cast<std::size_t>(rows * columns) * sizeof(double);
    archive.require(archive.has(bytes));
    Eigen::MatrixXd array(rows, columns);
    archive.raw(array.data(), bytes);
    value.array = std::make_shared<const Eigen::MatrixXd>(std::move(array));
  } else {
    archive.raw(value.array->data(),
                static_cast<std::size_t>(value.array->size()) * sizeof(double));
  }
}

template <typename Archive>
void transfer(Archive& archive, LayerRecord& record) {
  archive(record.layer, record.mode, record.width, record.samples);
  transfer_enumerated(archive, record.status, Status::StatisticFailed);
  archive(record.values, record.arrays, record.skipped_batches);
}

template <typename Archive>
void transfer(Archive& archive, AxisField& axis) {
  archive(axis.input, axis.size, axis.least, axis.most, axis.least_before, axis.stride_before,
          axis.kernel, axis.largest_finite, axis.inside, axis.stride, axis.centre, axis.unknown);
}

template <typename Archive>
void transfer(Archive& archive, LayerField& field) {
  archive(field.layer, field.kind, field.output, field.parameters, field.multiplications,
          field.axes, field.notes, field.calls, field.rank_limit, field.is_map, field.is_border,
          field.is_critical);
}

template <typename Archive>
void transfer(Archive& archive, EpochRecord& record) {
  archive(record.epoch, record.scalars, record.layers, record.fields);
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
