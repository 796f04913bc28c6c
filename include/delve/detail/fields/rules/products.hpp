// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>   // std::size_t
#include <cstdint>   // std::int64_t
#include <optional>  // std::optional
#include <string>    // std::string
#include <vector>    // std::vector

#include <ATen/core/Tensor.h>

#include <delve/detail/fields/rules/elementwise.hpp>
#include <delve/detail/fields/trace.hpp>
#include <delve/detail/fields/traced_call.hpp>
#include <delve/version.hpp>

// Products, whose positions stay apart or are summed over.

namespace delve {
inline namespace DELVE_ABI {
namespace detail::rules {

// Letters of a product: axes of a batch from kBatch on, counted from the last one.
constexpr int kRow = 0;
constexpr int kInner = 1;
constexpr int kColumn = 2;
constexpr int kBatch = 3;
constexpr int kHidden = 1000;  // summed over as well

/// Letters of a tensor whose last axes have these; those of a batch are counted from the last one,
/// and so are the same in tensors of different rank.
inline std::vector<int> letters_of(std::int64_t rank, const std::vector<int>& last) {
  std::vector<int> letters;
  const std::int64_t batch = rank - static_cast<std::int64_t>(last.size());
  for (std::int64_t i = 0; i < batch; ++i)
    letters.push_back(kBatch + static_cast<int>(batch - 1 - i));
  letters.insert(letters.end(), last.begin(), last.end());
  return letters;
}

/// a · b, where each may have axes of a batch, or be a vector.
inline Trace product_of(const TracedCall& call, std::size_t output, std::size_t a, std::size_t b) {
  const std::int64_t a_rank = call.tensor(a).dim();
  const std::int64_t b_rank = call.tensor(b).dim();
  std::vector<int> of_result;
  if (a_rank > 1) of_result.push_back(kRow);
  if (b_rank > 1) of_result.push_back(kColumn);
  const at::Tensor& result = call.outputs[output];
  const std::vector<int> of_a = a_rank > 1 ? std::vector{kRow, kInner} : std::vector{kInner};
  const std::vector<int> of_b = b_rank > 1 ? std::vector{kInner, kColumn} : std::vector{kInner};
  return product(
      {{call.trace(a), letters_of(a_rank, of_a)}, {call.trace(b), letters_of(b_rank, of_b)}},
      letters_of(result.dim(), of_result), result.sizes(), call.full_name());
}

inline Trace matmul(const TracedCall& call, std::size_t output) {
  return product_of(call, output, 0, 1);
}

/// The sum of a product and what is added to it.
inline Trace add_product(const TracedCall& call, std::size_t output) {
  if (call.trace(1) == nullptr && call.trace(2) == nullptr) return elementwise(call, output);
  Trace sum = product_of(call, output, 1, 2);
  if (call.trace(0) == nullptr) return sum;
  return detail::elementwise({call.trace(0), &sum}, call.outputs[output].sizes(), call.full_name());
}

/// input, weight (out, in), bias: every axis but the last is a batch.
inline Trace linear(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(0);
  remove_mixed(trace, trace.rank() - 1);
  if (result.dim() > trace.rank()) trace.dims.push_back(plain_dim(result.size(-1)));
  return trace;
}

/// "bhid,bhjd->bhij", without an ellipsis.
inline Trace einsum(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  if (!call.argument(0).isString()) return call.unknown(result);
  std::string text;
  for (const char c : call.argument(0).toStringRef()) {
    if (c != ' ') text += c;
  }
  const std::size_t arrow = text.find("->");
  if (arrow == std::string::npos || text.find('.') != std::string::npos) {
    return call.unknown(result);
  }
  std::vector<Operand> operands(1);
  for (const char c : text.substr(0, arrow)) {
    if (c == ',') {
      operands.emplace_back();
    } else {
      operands.back().letters.push_back(c);
    }
  }
  if (call.traces.size() < 2 || call.traces[1].size() != operands.size()) {
    return call.unknown(result);
  }
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const std::optional<Trace>& trace = call.traces[1][i];
    operands[i].trace = trace ? &*trace : nullptr;
  }
  std::vector<int> letters;
  for (const char c : text.substr(arrow + 2)) letters.push_back(c);
  return product(operands, letters, result.sizes(), call.full_name());
}

/// softmax(q · kᵀ) · v, with the positions second to last.
inline Trace attention(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  const Trace* const q = call.trace(0);
  const Trace* const k = call.trace(1);
  const Trace* const v = call.trace(2);
  const auto letters = [](const Trace* trace, int row, int column) {
    return trace == nullptr ? std::vector<int>() : letters_of(trace->rank(), {row, column});
  };
  return product({{q, letters(q, kRow, kHidden)},
                  {k, letters(k, kInner, kHidden)},
                  {v, letters(v, kInner, kColumn)}},
                 letters_of(result.dim(), {kRow, kColumn}), result.sizes(), call.full_name());
}

/// embedding(weight, indices)
inline Trace embedding(const TracedCall& call, std::size_t output) {
  const at::Tensor& result = call.outputs[output];
  Trace trace = *call.trace(1);
  trace.dims.push_back(plain_dim(result.size(-1)));
  return trace;
}

}  // namespace detail::rules
}  // namespace DELVE_ABI
}  // namespace delve
