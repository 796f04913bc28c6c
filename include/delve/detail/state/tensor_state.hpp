// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>  // std::find
#include <cstddef>    // std::size_t
#include <cstdint>    // std::int64_t, std::uint8_t
#include <exception>  // std::exception
#include <iterator>   // std::begin, std::end
#include <string>     // std::string
#include <vector>     // std::vector

#include <ATen/ATen.h>

#include <delve/detail/state/state_archive.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

template <typename Archive>
void transfer(Archive& archive, at::ScalarType& type) {
  // The numbers are those of LibTorch's own files.
  auto number = static_cast<std::uint8_t>(type);
  archive(number);
  if constexpr (Archive::kReads) {
    constexpr at::ScalarType known[] = {at::kByte,  at::kLong,   at::kHalf, at::kBFloat16,
                                        at::kFloat, at::kDouble, at::kBool};
    const auto* const found =
        std::find(std::begin(known), std::end(known), static_cast<at::ScalarType>(number));
    archive.require(found != std::end(known));
    type = *found;
  }
}

/// Memory for a tensor of these sizes. The order of its axes in memory is kept where it leaves no
/// gaps, since a product's last bits may depend on it.
inline at::Tensor memory_for(const std::vector<std::int64_t>& sizes,
                             const std::vector<std::int64_t>& strides,
                             const at::TensorOptions& options) {
  std::int64_t numbers = 1;
  for (const std::int64_t size : sizes) numbers *= size;
  if (numbers == 0) return at::empty(sizes, options);
  std::int64_t last = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const bool is_inside = sizes[i] == 1 || (strides[i] > 0 && strides[i] < numbers);
    if (!is_inside) return at::empty(sizes, options);
    last += sizes[i] == 1 ? 0 : (sizes[i] - 1) * strides[i];
  }
  return last + 1 == numbers ? at::empty_strided(sizes, strides, options)
                             : at::empty(sizes, options);
}

/// Values, shape, order in memory and device.
template <typename Archive>
void transfer(Archive& archive, at::Tensor& tensor) {
  bool is_defined = tensor.defined();
  archive(is_defined);
  if (!is_defined) {
    if constexpr (Archive::kReads) tensor = at::Tensor();
    return;
  }
  at::ScalarType type = at::kDouble;
  std::string device;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  if constexpr (!Archive::kReads) {
    type = tensor.scalar_type();
    if (!tensor.is_cpu()) device = tensor.device().str();
    sizes = tensor.sizes().vec();
    strides = tensor.strides().vec();
    archive(type, device, sizes, strides);
    const at::Tensor values = tensor.detach().cpu().contiguous();
    archive.raw(values.data_ptr(), values.nbytes());
  } else {
    archive(type, device, sizes, strides);
    archive.require(sizes.size() == strides.size() && sizes.size() <= 8);
    const std::size_t bytes = c10::elementSize(type);
    std::size_t numbers = 1;
    for (const std::int64_t size : sizes) {
      archive.require(size >= 0 && size <= (std::int64_t{1} << 40U));
      numbers *= static_cast<std::size_t>(size);
      archive.require(archive.has(numbers * bytes));
    }
    const at::Tensor values = at::empty(sizes, at::TensorOptions().dtype(type));
    archive.raw(values.data_ptr(), numbers * bytes);
    tensor = memory_for(sizes, strides, values.options()).copy_(values);
    if (device.empty()) return;
    try {
      tensor = tensor.to(at::Device(device));
    } catch (const std::exception&) {  // another machine, perhaps
      archive.note_move();
    }
  }
}

/// A random number generator of the host, with its seed and place.
template <typename Archive>
void transfer(Archive& archive, at::Generator& generator) {
  at::Tensor state = Archive::kReads ? at::Tensor() : generator.get_state();
  archive(state);
  if constexpr (Archive::kReads) {
    archive.require(state.defined() && state.scalar_type() == at::kByte);
    try {
      generator.set_state(state);
    } catch (const std::exception&) {
      archive.require(false);
    }
  }
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
