// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>       // std::size_t
#include <cstdint>       // std::int64_t
#include <filesystem>    // std::filesystem::directory_iterator
#include <string>        // std::string
#include <string_view>   // std::string_view
#include <system_error>  // std::error_code
#include <vector>        // std::vector

#include <fmt/format.h>  // fmt::format

#include <delve/detail/os/os.hpp>
#include <delve/detail/support/file_names.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/mode.hpp>
#include <delve/picture_format.hpp>
#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// How a kind of picture file begins and ends, which distinguishes a whole one from one that was
/// cut off.
struct PictureKind {
  std::string_view extension;
  std::string_view name;
  std::string_view beginning;
  std::string_view end;
};

/// PNG: the signature, and the chunk IEND with its checksum (PNG 1.2, 3.1 and 4.1.4).
inline constexpr PictureKind png_picture{
    "png", "PNG", {"\x89PNG\r\n\x1a\n", 8}, {"\0\0\0\0IEND\xAE\x42\x60\x82", 12}};
inline constexpr PictureKind svg_picture{"svg", "SVG", "<?xml", "</svg>"};
/// PDF 1.7 (ISO 32000-1), 7.5.2 and 7.5.5.
inline constexpr PictureKind pdf_picture{"pdf", "PDF", "%PDF-", "%%EOF"};
/// GIF89a, 17 and 27: the header and the trailer.
inline constexpr PictureKind gif_picture{"gif", "GIF", "GIF89a", ";"};

inline const PictureKind& picture_kind(PictureFormat format) {
  if (format == PictureFormat::Svg) return svg_picture;
  return format == PictureFormat::Pdf ? pdf_picture : png_picture;
}

/// Whether these are all bytes of a picture. Line ends may follow the end of those that are text.
inline bool is_whole_picture(const PictureKind& kind, std::string_view bytes) {
  const bool is_text = &kind == &svg_picture || &kind == &pdf_picture;
  while (is_text && !bytes.empty() && (bytes.back() == '\n' || bytes.back() == '\r')) {
    bytes.remove_suffix(1);
  }
  return bytes.size() > kind.beginning.size() + kind.end.size() &&
         bytes.substr(0, kind.beginning.size()) == kind.beginning &&
         bytes.substr(bytes.size() - kind.end.size()) == kind.end;
}

/// What a picture's name holds between the savefile's and the epoch: "lsat_train", or
/// "embed_train_features-0" where there is one for each layer.
inline std::string picture_subject(std::string_view stat, Mode mode, std::string_view layer = {}) {
  std::string subject = file_name_part(stat).append("_").append(to_string(mode));
  if (!layer.empty()) subject.append("_").append(file_name_part(layer));
  return subject;
}

/// A statistic that there may be pictures of.
struct DrawnStat {
  std::string name;
  bool by_layer = false;  ///< whether there is a picture for each layer

  friend bool operator<(const DrawnStat& a, const DrawnStat& b) { return a.name < b.name; }
};

/// Whether a picture with this subject is one of this statistic in one of these modes, whatever its
/// number after '@'.
inline bool is_subject_of(std::string_view subject, const DrawnStat& stat,
                          const std::vector<Mode>& modes) {
  const auto begins_with = [](std::string_view text, std::string_view begin) {
    return text.size() > begin.size() && text.substr(0, begin.size()) == begin;
  };
  for (const Mode mode : modes) {
    const std::string own = picture_subject(stat.name, mode);
    if (subject == own) return true;
    if (stat.by_layer && begins_with(subject, own + "_")) return true;
    const std::string begin = file_name_part(stat.name) + "@";
    const std::string end = fmt::format("_{}", to_string(mode));
    if (subject.size() > begin.size() + end.size() && begins_with(subject, begin) &&
        subject.substr(subject.size() - end.size()) == end &&
        subject.substr(0, subject.size() - end.size())
                .find_first_not_of("0123456789.", begin.size()) == std::string_view::npos) {
      return true;
    }
  }
  return false;
}

/// Whether a file bears the name of a picture of this savefile, one of these statistics and modes,
/// and an epoch from `first_epoch` on. Statistics are given by name, since
/// "run_a_lsat_train_epoch_0.png" belongs to the savefile "run_a", not to "run".
inline bool is_picture_of(std::string_view file, std::string_view savefile,
                          const std::vector<DrawnStat>& stats, const std::vector<Mode>& modes,
                          std::int64_t first_epoch) {
  if (file.substr(0, savefile.size()) != savefile) return false;
  file.remove_prefix(savefile.size());
  if (file.substr(0, 1) != "_") return false;
  file.remove_prefix(1);
  const std::size_t dot = file.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view extension = file.substr(dot + 1);
  if (extension != "png" && extension != "svg" && extension != "pdf") return false;
  file = file.substr(0, dot);

  constexpr std::string_view before_epoch = "_epoch_";
  const std::size_t place = file.rfind(before_epoch);
  if (place == std::string_view::npos) return false;
  const std::string_view digits = file.substr(place + before_epoch.size());
  const auto epoch = number_in<std::int64_t>(digits);
  // "007" is not how a writer writes 7.
  if (!epoch || fmt::format("{}", *epoch) != digits || *epoch < first_epoch) return false;
  for (const DrawnStat& stat : stats) {
    if (is_subject_of(file.substr(0, place), stat, modes)) return true;
  }
  return false;
}

/// The pictures of is_picture_of() that are there, as paths.
/// @throws std::filesystem::filesystem_error where the folder cannot be read
inline std::vector<std::string> pictures_of(const std::string& savefile,
                                            const std::vector<DrawnStat>& stats,
                                            const std::vector<Mode>& modes,
                                            std::int64_t first_epoch) {
  const std::filesystem::path path = path_of(savefile);
  const std::string name = text_of(path.filename());
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(path.parent_path())) {
    const std::string file = text_of(entry.path().filename());
    std::error_code unknown;
    if (is_picture_of(file, name, stats, modes, first_epoch) && entry.is_regular_file(unknown)) {
      found.push_back(text_of(entry.path()));
    }
  }
  return found;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
