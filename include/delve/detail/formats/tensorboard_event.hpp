// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>        // std::abs
#include <cstdint>      // std::int32_t, std::int64_t
#include <exception>    // std::exception
#include <limits>       // std::numeric_limits
#include <optional>     // std::optional
#include <string>       // std::string
#include <string_view>  // std::string_view

#include <protozero/pbf_builder.hpp>
#include <protozero/pbf_message.hpp>
#include <protozero/types.hpp>

#include <delve/detail/formats/histogram.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/utf8.hpp>
#include <delve/version.hpp>

// The messages that TensorBoard reads, as far as they are written here. Field numbers are those of
// TensorFlow's event.proto, summary.proto and histogram.proto.

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

enum class EventField : protozero::pbf_tag_type {
  WallTime = 1,
  Step = 2,
  FileVersion = 3,
  Summary = 5,
  SessionLog = 7,
  SourceMetadata = 10
};
enum class SourceMetadataField : protozero::pbf_tag_type { Writer = 1 };
enum class SessionLogField : protozero::pbf_tag_type { Status = 1 };
enum class SummaryField : protozero::pbf_tag_type { Value = 1 };
enum class SummaryValueField : protozero::pbf_tag_type { Tag = 1, SimpleValue = 2, Histo = 5 };
enum class HistogramField : protozero::pbf_tag_type {
  Min = 1,
  Max = 2,
  Num = 3,
  Sum = 4,
  SumSquares = 5,
  BucketLimit = 6,
  Bucket = 7
};

/// What every event file begins with.
/// @param wall_time in seconds since 1970
/// @param writer the mark by which the writer recognises its own files
[[nodiscard]] inline std::string file_version_event(double wall_time, std::string_view writer) {
  std::string bytes;
  protozero::pbf_builder<EventField> event(bytes);
  event.add_double(EventField::WallTime, wall_time);
  event.add_string(EventField::FileVersion, "brain.Event:2");
  {
    protozero::pbf_builder<SourceMetadataField> source(event, EventField::SourceMetadata);
    source.add_string(SourceMetadataField::Writer, valid_utf8(writer));
  }
  return bytes;
}

/// The start of a run at a step. TensorBoard then forgets what it read of this step and later ones
/// (EventAccumulator, "purge_orphaned_data").
[[nodiscard]] inline std::string session_start_event(double wall_time, std::int64_t step) {
  constexpr std::int32_t start = 1;
  std::string bytes;
  protozero::pbf_builder<EventField> event(bytes);
  event.add_double(EventField::WallTime, wall_time);
  event.add_int64(EventField::Step, step);
  protozero::pbf_builder<SessionLogField> log(event, EventField::SessionLog);
  log.add_enum(SessionLogField::Status, start);
  return bytes;
}

/// What an event is, as far as a resumed run must know.
struct EventOutline {
  std::int64_t step = 0;
  bool has_values = false;
  std::string writer;  ///< of a file's first event
};

/// Nothing where these bytes are no event.
[[nodiscard]] inline std::optional<EventOutline> outline_of(std::string_view bytes) {
  EventOutline outline;
  try {
    protozero::pbf_message<EventField> event(bytes.data(), bytes.size());
    while (event.next()) {
      switch (event.tag_and_type()) {
        case protozero::tag_and_type(EventField::Step, protozero::pbf_wire_type::varint):
          outline.step = event.get_int64();
          break;
        case protozero::tag_and_type(EventField::Summary,
                                     protozero::pbf_wire_type::length_delimited):
          outline.has_values = true;
          event.skip();
          break;
        case protozero::tag_and_type(EventField::SourceMetadata,
                                     protozero::pbf_wire_type::length_delimited): {
          protozero::pbf_message<SourceMetadataField> source(event.get_message());
          while (source.next(SourceMetadataField::Writer,
                             protozero::pbf_wire_type::length_delimited)) {
            outline.writer = source.get_string();
          }
          break;
        }
        default:
          event.skip();
      }
    }
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return outline;
}

/// Collects the values of one step.
class SummaryBuilder {
 public:
  /// @param number rounded to float32, as TensorBoard keeps it
  void add_scalar(std::string_view tag, double number) {
    constexpr float most = std::numeric_limits<float>::max();
    const bool fits = is_finite(number) && std::abs(number) <= static_cast<double>(most);
    const auto rounded = static_cast<float>(fits ? number : infinity(is_negative(number)));
    protozero::pbf_builder<SummaryField> summary(bytes_);
    protozero::pbf_builder<SummaryValueField> value(summary, SummaryField::Value);
    value.add_string(SummaryValueField::Tag, valid_utf8(tag));
    value.add_float(SummaryValueField::SimpleValue, rounded);
  }

  void add_histogram(std::string_view tag, const Histogram& histogram) {
    protozero::pbf_builder<SummaryField> summary(bytes_);
    protozero::pbf_builder<SummaryValueField> value(summary, SummaryField::Value);
    value.add_string(SummaryValueField::Tag, valid_utf8(tag));
    protozero::pbf_builder<HistogramField> histo(value, SummaryValueField::Histo);
    histo.add_double(HistogramField::Min, histogram.min);
    histo.add_double(HistogramField::Max, histogram.max);
    histo.add_double(HistogramField::Num, histogram.count);
    histo.add_double(HistogramField::Sum, histogram.sum);
    histo.add_double(HistogramField::SumSquares, histogram.sum_squares);
    histo.add_packed_double(HistogramField::BucketLimit, histogram.limits.begin(),
                            histogram.limits.end());
    histo.add_packed_double(HistogramField::Bucket, histogram.counts.begin(),
                            histogram.counts.end());
  }

  [[nodiscard]] std::string event(double wall_time, std::int64_t step) const {
    std::string bytes;
    protozero::pbf_builder<EventField> event(bytes);
    event.add_double(EventField::WallTime, wall_time);
    event.add_int64(EventField::Step, step);
    event.add_message(EventField::Summary, bytes_);
    return bytes;
  }

 private:
  std::string bytes_;
};

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
