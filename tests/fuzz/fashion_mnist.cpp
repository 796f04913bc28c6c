// SPDX-License-Identifier: MIT

// The two files of Fashion-MNIST's pictures. The input is a byte whose lowest bits tell whether the
// pictures and the labels are in a file called packed; two bytes, the size of the file of labels,
// lowest first; that file; and the file of pictures.

#include <algorithm>  // std::min

#include <delve/detail/support/little_endian.hpp>

#include "fashion_mnist.hpp"
#include "fuzz.hpp"
#include "records.hpp"

namespace fuzz_fashion_mnist {

using delve_fuzz::require;
using examples::Pictures;

DELVE_FUZZ_TARGET(fashion_mnist) {
  static const delve_fuzz::Folder folder;
  if (size < 3) return 0;
  const std::string input = delve_fuzz::text_of(data, size);
  const std::size_t label_bytes =
      delve::detail::read_little_endian<std::uint16_t>(std::string_view(input).substr(1));
  const std::string labels = input.substr(3, label_bytes);
  const std::string images = input.substr(3 + labels.size());
  const auto& path = folder.emptied();
  delve_test::put(path / ((data[0] & 1U) != 0 ? "train-images-idx3-ubyte.gz"  //
                                              : "train-images-idx3-ubyte"),
                  images);
  delve_test::put(path / ((data[0] & 2U) != 0 ? "train-labels-idx1-ubyte.gz"  //
                                              : "train-labels-idx1-ubyte"),
                  labels);
  for (const std::size_t limit : {examples::kAllPictures, std::size_t{1}}) {
    Pictures pictures;
    const auto read = [&] {
      pictures = examples::read_fashion_mnist(path, examples::Split::Train, limit);
    };
    if (!delve_fuzz::accepts(path.string(), read)) continue;
    require(pictures.size() <= limit, "a limit holds");
    require(pictures.pixels.size() == pictures.size() * 3 * 32 * 32, "each label has its picture");
    for (const std::uint8_t label : pictures.labels) require(label <= 9, "labels are 0 to 9");
  }
  return 0;
}

}  // namespace fuzz_fashion_mnist
