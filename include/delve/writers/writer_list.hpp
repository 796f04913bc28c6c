// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>         // std::find, std::sort
#include <cstddef>           // std::size_t
#include <cstdint>           // std::int64_t
#include <functional>        // std::function
#include <initializer_list>  // std::initializer_list
#include <map>               // std::map
#include <memory>            // std::shared_ptr
#include <mutex>             // std::lock_guard, std::mutex
#include <set>               // std::set
#include <stdexcept>         // std::invalid_argument
#include <string>            // std::string
#include <string_view>       // std::string_view
#include <type_traits>       // std::enable_if_t
#include <utility>           // std::forward, std::move, std::pair
#include <variant>           // std::variant
#include <vector>            // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/version.hpp>
#include <delve/writers/writer.hpp>

namespace delve {
inline namespace DELVE_ABI {

/// What a writer that is made by its key receives.
struct WriterContext {
  std::string savefile;
  std::int64_t initial_epoch = 0;
  std::map<std::string, std::string> args;  ///< settings of the writer's own, by name
};

/// Makes what a key stands for: one writer or several.
using WriterFactory = std::function<std::vector<std::shared_ptr<Writer>>(const WriterContext&)>;

namespace detail {

/// Begins the key of a writer that is there only as a part of others.
constexpr char kPartMark = '.';

/// What a key stands for.
struct WriterKey {
  WriterFactory factory;
  std::vector<std::string> args;  ///< the names of the arguments that it takes
};

using Writers = std::vector<std::shared_ptr<Writer>>;

struct WriterRegistry {
  std::mutex mutex;
  std::map<std::string, WriterKey, std::less<>> keys;
  /// Keys that stand for several others: "plotcsv" for a table and for pictures.
  std::map<std::string, std::vector<std::string>, std::less<>> groups;
};

/// The keys that are known in this program. Each writer's header adds its own; for the headers that
/// delve/delve.hpp includes, a file may leave that to another file (docs/faq.md, "Compiling").
DELVE_SHARED inline WriterRegistry& writer_registry() {
  static WriterRegistry registry;
  return registry;
}

/// A key of the library's, and the header that makes it known.
struct BuiltInWriter {
  std::string_view key;
  std::string_view header;
};
constexpr BuiltInWriter kBuiltInWriters[] = {
    {"console", "delve/writers/console.hpp"}, {"csv", "delve/writers/csv.hpp"},
    {"csvplot", "delve/writers/plot.hpp"},    {"csvplotting", "delve/writers/plot.hpp"},
    {"html", "delve/writers/html.hpp"},       {"json", "delve/writers/json.hpp"},
    {"npy", "delve/writers/npy.hpp"},         {"plot", "delve/writers/plot.hpp"},
    {"plotcsv", "delve/writers/plot.hpp"},    {"print", "delve/writers/console.hpp"},
    {"tb", "delve/writers/tensorboard.hpp"},  {"tensorboard", "delve/writers/tensorboard.hpp"},
};

}  // namespace detail

/// All keys, sorted. Thread-safe.
[[nodiscard]] inline std::vector<std::string> writer_keys() {
  detail::WriterRegistry& registry = detail::writer_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  std::vector<std::string> keys;
  for (const auto& [key, writer] : registry.keys) {
    if (key.front() != detail::kPartMark) keys.push_back(key);
  }
  for (const auto& [key, parts] : registry.groups) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

namespace detail {

[[noreturn]] inline void refuse_unknown_writer(std::string_view key) {
  std::vector<std::string> names = writer_keys();
  for (const BuiltInWriter& writer : kBuiltInWriters) {
    if (writer.key == key) {
      throw std::invalid_argument(
          fmt::format("delve: save_to: \"{}\" needs #include <{}> in the program or, with the "
                      "single header, the DELVE_WITH_ macro for it",
                      key, writer.header));
    }
    if (std::find(names.begin(), names.end(), writer.key) != names.end()) continue;
    names.push_back(fmt::format("{} (by #include <{}>)", writer.key, writer.header));
  }
  throw std::invalid_argument(fmt::format(
      "delve: save_to: \"{}\" is not a writer; known ones are {}", key, fmt::join(names, ", ")));
}

/// The keys of single writers that a key stands for, and what they are.
/// @throws std::invalid_argument where there is no such key; the message lists the known ones
inline std::vector<std::pair<std::string, WriterKey>> find_writers(std::string_view key) {
  {
    WriterRegistry& registry = writer_registry();
    const std::lock_guard<std::mutex> lock(registry.mutex);
    const auto group = registry.groups.find(key);
    const std::vector<std::string> names =
        group != registry.groups.end() ? group->second : std::vector{std::string(key)};
    std::vector<std::pair<std::string, WriterKey>> found;
    for (const std::string& name : names) {
      const auto writer = registry.keys.find(name);
      if (writer != registry.keys.end()) found.emplace_back(name, writer->second);
    }
    if (!found.empty()) return found;
  }
  refuse_unknown_writer(key);
}

/// @throws std::invalid_argument where an argument is given that none of these keys takes
inline void require_known_args(const std::map<std::string, std::string>& given,
                               const std::vector<WriterKey>& keys) {
  std::vector<std::string> known;
  for (const WriterKey& key : keys) known.insert(known.end(), key.args.begin(), key.args.end());
  for (const auto& [name, value] : given) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    throw std::invalid_argument(
        fmt::format("delve: writer_args: no writer of this list takes \"{}\"; they take {}", name,
                    known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
  }
}

/// Makes the writers of a key, giving it only the arguments that it takes.
inline std::vector<std::shared_ptr<Writer>> make_writers(const WriterKey& key,
                                                         const WriterContext& context) {
  WriterContext own{context.savefile, context.initial_epoch, {}};
  for (const std::string& name : key.args) {
    const auto found = context.args.find(name);
    if (found != context.args.end()) own.args.insert(*found);
  }
  return key.factory(own);
}

}  // namespace detail

/// Registers user-defined writers under a key. Thread-safe.
/// @param args the names of those writer_args that they take
/// @throws std::invalid_argument where the key is empty or taken, or there is no factory
inline void register_writer(const std::string& key, WriterFactory factory,
                            std::vector<std::string> args = {}) {
  if (key.empty() || !factory) {
    throw std::invalid_argument("delve::register_writer: a writer needs a key and a factory");
  }
  detail::WriterRegistry& registry = detail::writer_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  const bool is_taken = registry.groups.count(key) > 0;
  if (is_taken ||
      !registry.keys.emplace(key, detail::WriterKey{std::move(factory), std::move(args)}).second) {
    throw std::invalid_argument(
        fmt::format("delve::register_writer: there is a writer \"{}\" already", key));
  }
}

namespace detail {

/// Makes each of these keys stand for several others, in that order. Thread-safe.
inline void register_writer_groups(const std::vector<std::string>& keys,
                                   const std::vector<std::string>& parts) {
  WriterRegistry& registry = writer_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  for (const std::string& key : keys) registry.groups.emplace(key, parts);
}

}  // namespace detail

/// One or several writers, each by its key or as a pointer: "csv", {"csv", "console"},
/// {"plotcsv", std::make_shared<MyWriter>()}.
class WriterList {
 public:
  /// One of the list.
  class Entry {
   public:
    Entry(const char* key) : entry_(std::string(key)) {}  // NOLINT(google-explicit-constructor)
    Entry(std::string key) : entry_(std::move(key)) {}    // NOLINT(google-explicit-constructor)
    template <typename T, typename = std::enable_if_t<std::is_base_of_v<Writer, T>>>
    Entry(std::shared_ptr<T> writer)  // NOLINT(google-explicit-constructor)
        : entry_(std::shared_ptr<Writer>(std::move(writer))) {
      if (!std::get<1>(entry_)) throw std::invalid_argument("delve: save_to: a null pointer");
    }

   private:
    friend class WriterList;
    std::variant<std::string, std::shared_ptr<Writer>> entry_;
  };

  template <typename T, typename = std::enable_if_t<std::is_constructible_v<Entry, T>>>
  WriterList(T&& entry) : entries_{Entry(std::forward<T>(entry))} {}  // NOLINT: as for Entry
  WriterList(std::initializer_list<Entry> entries) : entries_(entries) {}
  WriterList(const std::vector<std::string>& keys)  // NOLINT: as for Entry
      : entries_(keys.begin(), keys.end()) {}

  /// All writers, in the order of the list; those given as pointers are the same at every call.
  /// What several keys stand for is made once: {"csv", "plot"} is one table, and its pictures.
  /// @throws std::invalid_argument where a key is unknown, or an argument is given that none of the
  ///   keys takes; and what the writers' constructors throw
  [[nodiscard]] std::vector<std::shared_ptr<Writer>> make(const WriterContext& context) const {
    std::vector<std::vector<std::pair<std::string, detail::WriterKey>>> found;
    std::vector<detail::WriterKey> keys;
    for (const Entry& entry : entries_) {
      const auto* key = std::get_if<std::string>(&entry.entry_);
      found.push_back(key != nullptr ? detail::find_writers(*key)
                                     : std::vector<std::pair<std::string, detail::WriterKey>>());
      for (const auto& [name, writer] : found.back()) keys.push_back(writer);
    }
    detail::require_known_args(context.args, keys);

    std::vector<std::shared_ptr<Writer>> writers;
    std::set<std::string> made;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (const auto* given = std::get_if<std::shared_ptr<Writer>>(&entries_[i].entry_)) {
        writers.push_back(*given);
      }
      for (const auto& [name, key] : found[i]) {
        if (!made.insert(name).second) continue;
        for (auto& writer : detail::make_writers(key, context)) {
          writers.push_back(std::move(writer));
        }
      }
    }
    return writers;
  }

 private:
  std::vector<Entry> entries_;
};

}  // namespace DELVE_ABI
}  // namespace delve
