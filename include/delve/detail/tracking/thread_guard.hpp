// SPDX-License-Identifier: MIT
#pragma once

#include <memory>   // std::make_shared, std::shared_ptr, std::weak_ptr
#include <utility>  // std::move
#include <vector>   // std::vector

#include <delve/version.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// What the guards of this thread say, the innermost last. The entry of a guard that was
/// destroyed in another thread is null, and dropped at the next look.
template <typename Entry>
DELVE_SHARED std::vector<std::weak_ptr<const Entry>>& thread_entries() {
  thread_local std::vector<std::weak_ptr<const Entry>> entries;
  return entries;
}

/// Says something of a tracker in this thread, until it is destroyed. An Entry has the Owner whose
/// guard it is, and the Owner an atomic `in_threads`: how many guards it has in all threads.
template <typename Entry>
class ThreadGuard {
 public:
  using Owner = typename Entry::Owner;

  ThreadGuard(std::shared_ptr<Owner> owner, Entry entry) : owner_(std::move(owner)) {
    entry.owner = owner_.get();
    own_ = std::make_shared<const Entry>(std::move(entry));
    thread_entries<Entry>().push_back(own_);
    ++owner_->in_threads;
  }
  ThreadGuard(const ThreadGuard&) = delete;
  ThreadGuard& operator=(const ThreadGuard&) = delete;
  ~ThreadGuard() {
    --owner_->in_threads;
    own_.reset();
  }

 private:
  std::shared_ptr<Owner> owner_;
  std::shared_ptr<const Entry> own_;
};

/// What the innermost guard of this thread says; null where the owner has none in it.
template <typename Entry>
std::shared_ptr<const Entry> innermost(const typename Entry::Owner& owner) {
  if (owner.in_threads.load() == 0) return nullptr;
  std::vector<std::weak_ptr<const Entry>>& entries = thread_entries<Entry>();
  while (!entries.empty() && entries.back().expired()) entries.pop_back();
  for (auto place = entries.rbegin(); place != entries.rend(); ++place) {
    std::shared_ptr<const Entry> entry = place->lock();
    if (entry && entry->owner == &owner) return entry;
  }
  return nullptr;
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
