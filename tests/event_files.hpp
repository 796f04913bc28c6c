// SPDX-License-Identifier: MIT
#pragma once

// What TensorBoard reads in the files that it is left, by a reader of its own.

#include <algorithm>   // std::sort
#include <cstddef>     // std::size_t
#include <cstdint>     // std::int64_t, std::uint32_t, std::uint64_t
#include <cstring>     // std::memcpy
#include <filesystem>  // std::filesystem
#include <map>         // std::map
#include <string>      // std::string
#include <vector>      // std::vector

#include <protozero/pbf_reader.hpp>

#include "catch.hpp"
#include "records.hpp"

namespace delve_test {

/// CRC-32C as a division of polynomials, bit by bit, highest power first: bytes go in mirrored, and
/// the remainder comes out mirrored.
inline std::uint32_t bitwise_crc32c(const std::string& bytes) {
  const auto mirrored = [](std::uint32_t value, int width) {
    std::uint32_t result = 0;
    for (int i = 0; i < width; ++i)
      result = result << 1U | ((value >> static_cast<unsigned>(i)) & 1U);
    return result;
  };
  std::uint32_t remainder = 0xFFFFFFFFU;
  for (const char c : bytes) {
    const std::uint32_t byte = mirrored(static_cast<unsigned char>(c), 8);
    for (unsigned bit = 8; bit-- > 0;) {
      const bool carry = ((remainder >> 31U) ^ (byte >> bit & 1U)) != 0;
      remainder = remainder << 1U ^ (carry ? 0x1EDC6F41U : 0U);
    }
  }
  return mirrored(~remainder, 32);
}

struct EventValue {
  std::string tag;
  bool is_scalar = false;
  float scalar = 0;
  double min = 0, max = 0, num = 0, sum = 0, sum_squares = 0;
  std::vector<double> limits, counts;
};

struct Event {
  double wall_time = 0;
  std::int64_t step = 0;
  std::string file_version;
  std::string writer;
  int session_status = -1;
  std::vector<EventValue> values;
};

inline EventValue value_of(protozero::pbf_reader message) {
  EventValue value;
  while (message.next()) {
    if (message.tag() == 1) {
      value.tag = message.get_string();
    } else if (message.tag() == 2) {
      value.is_scalar = true;
      value.scalar = message.get_float();
    } else {
      REQUIRE(message.tag() == 5);
      protozero::pbf_reader histo = message.get_message();
      while (histo.next()) {
        switch (histo.tag()) {
          case 1:
            value.min = histo.get_double();
            break;
          case 2:
            value.max = histo.get_double();
            break;
          case 3:
            value.num = histo.get_double();
            break;
          case 4:
            value.sum = histo.get_double();
            break;
          case 5:
            value.sum_squares = histo.get_double();
            break;
          case 6:
            for (const double limit : histo.get_packed_double()) value.limits.push_back(limit);
            break;
          case 7:
            for (const double count : histo.get_packed_double()) value.counts.push_back(count);
            break;
          default:
            FAIL("a histogram has no field " << histo.tag());
        }
      }
    }
  }
  return value;
}

inline Event event_of(const std::string& bytes) {
  Event event;
  protozero::pbf_reader message(bytes);
  while (message.next()) {
    switch (message.tag()) {
      case 1:
        event.wall_time = message.get_double();
        break;
      case 2:
        event.step = message.get_int64();
        break;
      case 3:
        event.file_version = message.get_string();
        break;
      case 10: {
        protozero::pbf_reader source = message.get_message();
        while (source.next()) {
          REQUIRE(source.tag() == 1);
          event.writer = source.get_string();
        }
        break;
      }
      case 5: {
        protozero::pbf_reader summary = message.get_message();
        while (summary.next()) {
          REQUIRE(summary.tag() == 1);
          event.values.push_back(value_of(summary.get_message()));
        }
        break;
      }
      case 7: {
        protozero::pbf_reader log = message.get_message();
        while (log.next()) {
          REQUIRE(log.tag() == 1);
          event.session_status = log.get_enum();
        }
        break;
      }
      default:
        FAIL("an event has no field " << message.tag());
    }
  }
  return event;
}

/// All events of a file, each checksum checked.
/// @param torn how many bytes of a record that is broken off the file ends with; where it is not
///   given, there must be none
inline std::vector<Event> events_in(const std::filesystem::path& path,
                                    std::size_t* torn = nullptr) {
  const std::string bytes = read(path.string());
  const auto number_at = [&](std::size_t place, std::size_t size) {
    std::uint64_t number = 0;
    REQUIRE(place + size <= bytes.size());
    std::memcpy(&number, bytes.data() + place, size);
    return number;
  };
  const auto masked = [](const std::string& data) {
    const std::uint32_t crc = bitwise_crc32c(data);
    return static_cast<std::uint32_t>((crc >> 15U | crc << 17U) + 0xA282EAD8U);
  };
  std::vector<Event> events;
  if (torn != nullptr) *torn = 0;
  for (std::size_t place = 0; place < bytes.size();) {
    const std::size_t rest = bytes.size() - place;
    if (torn != nullptr && (rest < 12 || rest < 12 + number_at(place, 8) + 4)) {
      *torn = rest;
      return events;
    }
    const auto length = static_cast<std::size_t>(number_at(place, 8));
    REQUIRE(number_at(place + 8, 4) == masked(bytes.substr(place, 8)));
    REQUIRE(place + 12 + length + 4 <= bytes.size());
    const std::string data = bytes.substr(place + 12, length);
    REQUIRE(number_at(place + 12 + length, 4) == masked(data));
    events.push_back(event_of(data));
    place += 12 + length + 4;
  }
  return events;
}

/// The names of what lies in a folder, sorted.
inline std::vector<std::string> files_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// What TensorBoard shows of a folder's scalars: it reads the files by name, each as far as it is
/// whole, and at the start of a session forgets what it has from that step on.
/// @param torn how many files end with a record that is broken off, as for events_in()
inline std::map<std::string, std::map<std::int64_t, float>> shown(
    const std::filesystem::path& folder, std::size_t* torn = nullptr) {
  std::map<std::string, std::map<std::int64_t, float>> scalars;
  for (const std::string& file : files_in(folder)) {
    if (file.find("events.out.tfevents.") != 0) continue;
    std::size_t torn_bytes = 0;
    const auto events = events_in(folder / file, torn == nullptr ? nullptr : &torn_bytes);
    if (torn_bytes > 0) ++*torn;
    for (const Event& event : events) {
      if (event.session_status == 1) {
        for (auto& [tag, steps] : scalars) steps.erase(steps.lower_bound(event.step), steps.end());
      }
      for (const EventValue& value : event.values) scalars[value.tag][event.step] = value.scalar;
    }
  }
  return scalars;
}

}  // namespace delve_test
