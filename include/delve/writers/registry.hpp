// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>         // std::find
#include <cstdint>           // std::int64_t
#include <functional>        // std::function
#include <initializer_list>  // std::initializer_list
#include <map>               // std::map
#include <memory>            // std::shared_ptr
#include <mutex>             // std::mutex
#include <stdexcept>         // std::invalid_argument
#include <string>            // std::string
#include <string_view>       // std::string_view
#include <type_traits>       // std::enable_if_t
#include <utility>           // std::move
#include <variant>           // std::variant
#include <vector>            // std::vector

#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <delve/detail/writer_args.hpp>
#include <delve/writers/console.hpp>
#include <delve/writers/csv.hpp>
#include <delve/writers/npy.hpp>
#include <delve/writers/plot.hpp>
#include <delve/writers/writer.hpp>

namespace delve {

/// What a writer that is made by its key is told.
struct WriterContext {
  std::string savefile;
  std::int64_t initial_epoch = 0;
  std::map<std::string, std::string> args;  ///< settings of the writer's own, by name
};

/// Makes what a key stands for: one writer or several.
using WriterFactory = std::function<std::vector<std::shared_ptr<Writer>>(const WriterContext&)>;

namespace detail {

/// What a key stands for.
struct WriterKey {
  WriterFactory factory;
  std::vector<std::string> args;  ///< the names of the arguments that it takes
};

using Writers = std::vector<std::shared_ptr<Writer>>;

inline std::shared_ptr<Writer> make_csv(const WriterContext& context) {
  return std::make_shared<CsvWriter>(context.savefile, CsvOptions{context.initial_epoch});
}

inline Writers make_csv_and_plot(const WriterContext& context) {
  PlotOptions options = plot_options_from(context.args);
  options.initial_epoch = context.initial_epoch;
  // The pictures of all epochs are made of the table as it was, so it is read before it changes.
  auto plot = std::make_shared<PlotWriter>(context.savefile, options);
  return {make_csv(context), std::move(plot)};
}

inline Writers make_npy(const WriterContext& context) {
  NpyOptions options{context.initial_epoch};
  if (const auto found = context.args.find("zip"); found != context.args.end()) {
    options.zip = bool_arg(found->first, found->second);
  }
  return {std::make_shared<NpyWriter>(context.savefile, options)};
}

struct WriterRegistry {
  std::mutex mutex;
  std::map<std::string, WriterKey, std::less<>> keys;
};

/// The table of keys, those of Delve (Python): the one place to add a writer to the library. There,
/// too, every key for pictures stands for the table that they are drawn from as well.
inline WriterRegistry& writer_registry() {
  static WriterRegistry registry = [] {
    const WriterKey csv{[](const WriterContext& context) { return Writers{make_csv(context)}; },
                        {}};
    const WriterKey plot{make_csv_and_plot, plot_arg_names()};
    const WriterKey console{
        [](const WriterContext&) { return Writers{std::make_shared<ConsoleWriter>()}; }, {}};
    return WriterRegistry{{},
                          {{"csv", csv},
                           {"plot", plot},
                           {"csvplot", plot},
                           {"plotcsv", plot},
                           {"csvplotting", plot},
                           {"npy", {make_npy, {"zip"}}},
                           {"console", console},
                           {"print", console}}};
  }();
  return registry;
}

/// Writers that need a library of their own are known to programs that include their header.
struct OptionalWriter {
  std::string_view key;
  std::string_view header;
};
constexpr OptionalWriter kOptionalWriters[] = {
    {"json", "delve/writers/json.hpp"},
    {"tensorboard", "delve/writers/tensorboard.hpp"},
    {"tb", "delve/writers/tensorboard.hpp"},
};

}  // namespace detail

/// All keys, sorted. Thread-safe.
[[nodiscard]] inline std::vector<std::string> writer_keys() {
  detail::WriterRegistry& registry = detail::writer_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  std::vector<std::string> keys;
  for (const auto& [key, writer] : registry.keys) keys.push_back(key);
  return keys;
}

namespace detail {

/// @throws std::invalid_argument where there is no such key; it lists those that there are
inline WriterKey find_writer(std::string_view key) {
  {
    WriterRegistry& registry = writer_registry();
    const std::lock_guard<std::mutex> lock(registry.mutex);
    if (const auto found = registry.keys.find(key); found != registry.keys.end()) {
      return found->second;
    }
  }
  std::vector<std::string> names = writer_keys();
  for (const OptionalWriter& writer : kOptionalWriters) {
    if (writer.key == key) {
      throw std::invalid_argument(
          fmt::format("delve: save_to: \"{}\" needs #include <{}> in the program, or, of delve in "
                      "one header, the macro that it names for it",
                      key, writer.header));
    }
    if (std::find(names.begin(), names.end(), writer.key) != names.end()) continue;
    names.push_back(fmt::format("{} (by #include <{}>)", writer.key, writer.header));
  }
  throw std::invalid_argument(fmt::format("delve: save_to: \"{}\" is not a writer; known are {}",
                                          key, fmt::join(names, ", ")));
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

/// Makes the writers of a key, which is shown none but the arguments that it takes.
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

/// Makes writers of one's own known by a key. Thread-safe.
/// @param args the names of those writer_args that they take
/// @throws std::invalid_argument where the key is empty or taken, or there is no factory
inline void register_writer(const std::string& key, WriterFactory factory,
                            std::vector<std::string> args = {}) {
  if (key.empty() || !factory) {
    throw std::invalid_argument("delve::register_writer: a writer needs a key and a factory");
  }
  detail::WriterRegistry& registry = detail::writer_registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  if (!registry.keys.emplace(key, detail::WriterKey{std::move(factory), std::move(args)}).second) {
    throw std::invalid_argument(
        fmt::format("delve::register_writer: there is a writer \"{}\" already", key));
  }
}

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
  /// @throws std::invalid_argument where a key is unknown, or an argument is given that none of the
  ///   keys takes; and what the writers' constructors throw
  [[nodiscard]] std::vector<std::shared_ptr<Writer>> make(const WriterContext& context) const {
    std::vector<detail::WriterKey> keys;
    for (const Entry& entry : entries_) {
      if (const auto* key = std::get_if<std::string>(&entry.entry_)) {
        keys.push_back(detail::find_writer(*key));
      }
    }
    detail::require_known_args(context.args, keys);

    std::vector<std::shared_ptr<Writer>> writers;
    auto key = keys.begin();
    for (const Entry& entry : entries_) {
      if (const auto* given = std::get_if<std::shared_ptr<Writer>>(&entry.entry_)) {
        writers.push_back(*given);
      } else {
        for (auto& made : detail::make_writers(*key++, context)) writers.push_back(std::move(made));
      }
    }
    return writers;
  }

 private:
  std::vector<Entry> entries_;
};

}  // namespace delve
