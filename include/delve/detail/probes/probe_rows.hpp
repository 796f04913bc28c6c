// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>   // std::size_t
#include <cstdint>   // std::int64_t
#include <optional>  // std::optional
#include <vector>    // std::vector

#include <ATen/ATen.h>

#include <delve/detail/probes/labelled_batch.hpp>
#include <delve/detail/probes/row_labels.hpp>
#include <delve/detail/tensors/plain_tensor.hpp>
#include <delve/features.hpp>
#include <delve/layer_kind.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// How wide the features of a convolution's probe are.
struct PoolingRule {
  std::int64_t side;      ///< maps are pooled to side positions per axis, or half as many, …, 1
  std::int64_t features;  ///< so that no more features than these come out, where that is possible
};

/// What a layer's output gives a probe.
struct ProbeRows {
  at::Tensor rows;                   ///< (B, d) or (B, n, d)
  std::vector<std::int64_t> lead{};  ///< the shape of labels that come one per row
  bool is_time_first = false;        ///< lead is (T, B), while rows are (B, T, d)
  bool may_be_time_first = false;    ///< rows may be (T, B, d): only labels per sample show it
  bool is_turned = false;            ///< rows were (T, B, d), and were turned to (B, T, d)
  bool are_tracked = false;          ///< they are the rows whose covariance is summed
};

/// How many positions an axis maps (B, C, positions…) are pooled to: the largest of side, side/2,
/// …, 1 that gives no more features than the rule allows, and is no larger than the map.
inline std::int64_t pooled_side(const at::Tensor& maps, const PoolingRule& rule) {
  const auto fits = [&](std::int64_t side) {
    std::int64_t features = maps.size(1);
    for (std::int64_t axis = 2; axis < maps.dim(); ++axis) {
      if (side > maps.size(axis)) return false;
      features *= side;
    }
    return features <= rule.features;
  };
  std::int64_t side = rule.side;
  while (side > 1 && !fits(side)) side /= 2;
  return side;
}

/// Maps (B, C, positions…) as (B, C·side^axes), each number the mean over its part of the map.
inline at::Tensor pooled(at::Tensor maps, std::int64_t side) {
  // Not every LibTorch pools float16 on the CPU.
  if (maps.is_cpu() && maps.scalar_type() == at::kHalf) maps = maps.to(at::kFloat);
  const std::vector<std::int64_t> shape(static_cast<std::size_t>(maps.dim() - 2), side);
  if (side == 1) return maps.flatten(2).mean(2);
  if (shape.size() == 1) return at::adaptive_avg_pool1d(maps, shape).flatten(1);
  if (shape.size() == 2) return at::adaptive_avg_pool2d(maps, shape).flatten(1);
  return at::adaptive_avg_pool3d(maps, shape).flatten(1);
}

/// @param outputs as ForwardCall has them
/// @param side of the pooled maps; 0 before the first forward, which sets it
inline ProbeRows probe_rows(const std::vector<at::Tensor>& outputs, const OutputLayout& layout,
                            const FeatureOptions& options, const PoolingRule& rule,
                            std::int64_t& side) {
  const at::Tensor output = plain_tensor(outputs.front());
  ProbeRows found;
  if (layout.family == LayerFamily::Convolution) {
    const at::Tensor maps = maps_of(output, layout.position_axes);
    found.lead = {maps.size(0)};
    found.are_tracked = maps.dim() == 2;
    if (!found.are_tracked && side == 0) side = pooled_side(maps, rule);
    found.rows = found.are_tracked ? maps : pooled(maps, side);
    return found;
  }
  found.rows = data_matrix(outputs, layout, options);
  found.are_tracked = true;
  if (found.rows.dim() == 2) {
    found.lead = {found.rows.size(0)};
  } else {
    found.lead = output.sizes().slice(0, static_cast<std::size_t>(output.dim() - 1)).vec();
    found.is_time_first = layout.family == LayerFamily::Recurrent && !layout.batch_first;
    found.may_be_time_first = layout.family == LayerFamily::Linear && output.dim() == 3;
  }
  return found;
}

/// Why labels do not fit rows.
enum class LabelFault { None, Shape, Ambiguous };

/// Brings labels into the order of rows, and rows into that of the batch where only the labels tell
/// which axis it is.
/// @param rows may be changed to (B, n, d)
/// @param fault is set where there is nothing to return
inline std::optional<RowLabels> labels_for(ProbeRows& rows, const BatchLabels& batch,
                                           const RowLabels& labels, LabelFault& fault) {
  const std::vector<std::int64_t>& lead = batch.lead();
  if (lead == rows.lead) {
    if (!rows.is_time_first) return labels;
    return labels.with_rows([&](const at::Tensor& tensor) {
      return by_sample(tensor, lead[0], lead[1]).transpose(0, 1).flatten(0, 1);
    });
  }
  const std::int64_t count = labels.rows();
  if (lead.size() > 1 || rows.rows.dim() == 2) {
    if (count == 1 && rows.rows.dim() == 2 && rows.rows.size(0) == 1) return labels;
    fault = LabelFault::Shape;
    return std::nullopt;
  }
  const bool is_first = count == rows.rows.size(0);
  const bool is_second = rows.may_be_time_first && count == rows.rows.size(1);
  if (is_first == is_second) {
    fault = is_first ? LabelFault::Ambiguous : LabelFault::Shape;
    return std::nullopt;
  }
  if (is_second) {
    rows.rows = rows.rows.transpose(0, 1);
    rows.is_turned = true;
  }
  const std::int64_t positions = rows.rows.size(1);
  return labels.with_rows([&](const at::Tensor& tensor) {
    std::vector<std::int64_t> shape = tensor.sizes().vec();
    shape.insert(shape.begin() + 1, positions);
    return tensor.unsqueeze(1).expand(shape).flatten(0, 1);
  });
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
