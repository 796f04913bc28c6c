// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>      // std::uint16_t, std::uint32_t, std::uint64_t
#include <functional>   // std::function
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <utility>      // std::move
#include <vector>       // std::vector

#include <delve/detail/support/crc32.hpp>
#include <delve/detail/support/little_endian.hpp>
#include <delve/detail/support/utf8.hpp>
#include <delve/version.hpp>

// A ZIP archive whose files are stored as they are, as NumPy's savez() makes its .npz. Source of
// all that is written here: PKWARE's APPNOTE.TXT 6.3, by its sections.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A file of an archive.
struct ZipEntry {
  std::string name;      ///< with '/' between folders
  std::uint32_t crc;     ///< of its bytes
  std::uint64_t size;    ///< in bytes
  std::uint64_t offset;  ///< of its local header, from the beginning of the archive
};

namespace zip_field {
inline constexpr std::uint64_t largest_16 = 0xFFFF;      // from here on numbers are in the
inline constexpr std::uint64_t largest_32 = 0xFFFFFFFF;  // wider fields of ZIP64 (4.3.9.2)
inline constexpr std::uint16_t plain_version = 20;       // 4.4.3.2
inline constexpr std::uint16_t wide_version = 45;
}  // namespace zip_field

/// A number, or the largest one of the field where it does not fit.
template <typename Field>
[[nodiscard]] Field zip_fitted(std::uint64_t number) {
  constexpr auto largest = static_cast<Field>(-1);
  return number < largest ? static_cast<Field>(number) : largest;
}

/// 4.4.4, bit 11: the name is UTF-8. Names of other bytes are left to the reader's own code page.
[[nodiscard]] inline std::uint16_t zip_flags(std::string_view name) {
  bool is_ascii = true;
  for (const char c : name) is_ascii = is_ascii && static_cast<unsigned char>(c) < 0x80;
  return !is_ascii && valid_utf8(name) == name ? 0x0800 : 0;
}

/// The fields of sizes and offsets that are too large for their own place (4.5.3).
[[nodiscard]] inline std::string zip64_extra(const std::vector<std::uint64_t>& numbers) {
  std::string extra;
  if (numbers.empty()) return extra;
  append_little_endian(extra, std::uint16_t{1});
  append_little_endian(extra, static_cast<std::uint16_t>(8 * numbers.size()));
  for (const std::uint64_t number : numbers) append_little_endian(extra, number);
  return extra;
}

/// The fields that both headers of a file have, from the version needed to the length of `extra`.
inline void append_zip_fields(std::string& bytes, const ZipEntry& entry, std::string_view extra) {
  append_little_endian(bytes, extra.empty() ? zip_field::plain_version : zip_field::wide_version);
  append_little_endian(bytes, zip_flags(entry.name));
  append_little_endian(bytes, std::uint16_t{0});     // stored
  append_little_endian(bytes, std::uint16_t{0});     // at midnight
  append_little_endian(bytes, std::uint16_t{0x21});  // of 1980-01-01: equal runs, equal archives
  append_little_endian(bytes, entry.crc);
  append_little_endian(bytes, zip_fitted<std::uint32_t>(entry.size));
  append_little_endian(bytes, zip_fitted<std::uint32_t>(entry.size));
  append_little_endian(bytes, static_cast<std::uint16_t>(entry.name.size()));
  append_little_endian(bytes, static_cast<std::uint16_t>(extra.size()));
}

/// What comes before the bytes of a file (4.3.7).
[[nodiscard]] inline std::string zip_local_header(const ZipEntry& entry) {
  const bool is_wide = entry.size >= zip_field::largest_32;
  const std::string extra =
      is_wide ? zip64_extra({entry.size, entry.size}) : std::string();  // both, whichever is wide
  std::string bytes("PK\x03\x04");
  append_zip_fields(bytes, entry, extra);
  return bytes.append(entry.name).append(extra);
}

/// What the directory at the end has of a file (4.3.12).
[[nodiscard]] inline std::string zip_central_header(const ZipEntry& entry) {
  std::vector<std::uint64_t> wide;
  if (entry.size >= zip_field::largest_32) wide = {entry.size, entry.size};
  if (entry.offset >= zip_field::largest_32) wide.push_back(entry.offset);
  const std::string extra = zip64_extra(wide);
  constexpr std::uint32_t regular_file = 0100644U << 16U;
  std::string bytes("PK\x01\x02");
  append_little_endian(bytes, static_cast<std::uint16_t>(3U << 8U | zip_field::wide_version));
  append_zip_fields(bytes, entry, extra);
  append_little_endian(bytes, std::uint16_t{0});  // no comment
  append_little_endian(bytes, std::uint16_t{0});  // on the first disk
  append_little_endian(bytes, std::uint16_t{0});  // no text
  append_little_endian(bytes, regular_file);      // as Unix, the 3 above, has it
  append_little_endian(bytes, zip_fitted<std::uint32_t>(entry.offset));
  return bytes.append(entry.name).append(extra);
}

/// The end of an archive (4.3.14 to 4.3.16).
/// @param count of the files; `size` and `offset` are of the directory, in bytes
[[nodiscard]] inline std::string zip_end(std::uint64_t count, std::uint64_t size,
                                         std::uint64_t offset) {
  std::string bytes;
  if (count >= zip_field::largest_16 || size >= zip_field::largest_32 ||
      offset >= zip_field::largest_32) {
    constexpr std::uint64_t rest_of_record = 44;
    bytes.append("PK\x06\x06");
    append_little_endian(bytes, rest_of_record);
    append_little_endian(bytes, static_cast<std::uint16_t>(3U << 8U | zip_field::wide_version));
    append_little_endian(bytes, zip_field::wide_version);
    append_little_endian(bytes, std::uint64_t{0});  // both disks
    append_little_endian(bytes, count);
    append_little_endian(bytes, count);
    append_little_endian(bytes, size);
    append_little_endian(bytes, offset);
    bytes.append("PK\x06\x07");
    append_little_endian(bytes, std::uint32_t{0});
    append_little_endian(bytes, offset + size);  // where the record before is
    append_little_endian(bytes, std::uint32_t{1});
  }
  bytes.append("PK\x05\x06");
  append_little_endian(bytes, std::uint32_t{0});  // both disks
  append_little_endian(bytes, zip_fitted<std::uint16_t>(count));
  append_little_endian(bytes, zip_fitted<std::uint16_t>(count));
  append_little_endian(bytes, zip_fitted<std::uint32_t>(size));
  append_little_endian(bytes, zip_fitted<std::uint32_t>(offset));
  append_little_endian(bytes, std::uint16_t{0});  // no comment
  return bytes;
}

/// Writes an archive from its beginning to its end; keeps only the directory in memory.
class ZipWriter {
 public:
  /// @param write takes the next bytes of the archive; may throw, and then so does all below
  /// @param offset how many bytes come before the archive in its file
  explicit ZipWriter(std::function<void(std::string_view)> write, std::uint64_t offset = 0)
      : write_(std::move(write)), offset_(offset) {}

  void add(std::string name, std::string_view bytes) {
    const ZipEntry entry{std::move(name), crc32(bytes), bytes.size(), offset_};
    append(zip_local_header(entry));
    append(bytes);
    directory_ += zip_central_header(entry);
    ++count_;
  }

  /// To be called once, after the last file.
  void finish() { write_(directory_ + zip_end(count_, directory_.size(), offset_)); }

 private:
  void append(std::string_view bytes) {
    write_(bytes);
    offset_ += bytes.size();
  }

  std::function<void(std::string_view)> write_;
  std::uint64_t offset_;
  std::uint64_t count_ = 0;
  std::string directory_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
