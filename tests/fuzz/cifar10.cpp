// SPDX-License-Identifier: MIT

// A file of CIFAR-10's pictures.

#include <algorithm>  // std::equal

#include "cifar10.hpp"
#include "fuzz.hpp"
#include "records.hpp"

namespace fuzz_cifar10 {

using delve_fuzz::require;
using examples::Pictures;

DELVE_FUZZ_TARGET(cifar10) {
  static const delve_fuzz::Folder folder;
  const auto path = folder.emptied() / "data_batch_1.bin";
  delve_test::put(path, delve_fuzz::text_of(data, size));
  for (const std::size_t limit : {examples::kAllPictures, std::size_t{1}}) {
    Pictures pictures;
    const auto read = [&] {
      pictures = examples::read_cifar10(folder.path(), examples::Split::Train, limit);
    };
    if (!delve_fuzz::accepts(path.string(), read)) continue;
    constexpr std::size_t record = examples::cifar10::kRecordBytes;
    require(size % record == 0 && pictures.size() == std::min(limit, size / record),
            "there is a picture a record");
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      const std::uint8_t* bytes = data + i * record;
      require(pictures.labels[i] == bytes[0] && bytes[0] <= 9, "each picture has its label");
      require(std::equal(bytes + 1, bytes + record, &pictures.pixels[i * (record - 1)]),
              "each picture has its pixels");
    }
  }
  return 0;
}

}  // namespace fuzz_cifar10
