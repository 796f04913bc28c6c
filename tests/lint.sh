#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Looks for faults that a compiler does not tell, by the checks of .clang-tidy: bash tests/lint.sh
# Each header that does without LibTorch by itself, its includes among what is checked; all others in
# one file. CLANG_TIDY names the program; another version than 19 may find other things.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tidy=${CLANG_TIDY:-clang-tidy-19}
flags=(-std=c++17 -Iinclude -DFMT_HEADER_ONLY=1 -isystem /usr/include/eigen3)
torch_flags=(-isystem "${LIBTORCH:-/usr}/include/torch/csrc/api/include")
if [[ -n ${LIBTORCH:-} ]]; then torch_flags+=(-isystem "$LIBTORCH/include"); fi

# Headers from which an include of LibTorch's is reached through our own.
uses_torch() {
  local header=$1 included
  if grep -qE '^#include <(torch|ATen|c10)/' "include/$header"; then return; fi
  while read -r included; do
    if uses_torch "$included"; then return; fi
  done < <(sed -nE 's/^#include <(delve\/[^>]*)>.*/\1/p' "include/$header")
  return 1
}

check() { "$tidy" --quiet "$1" -- -x c++ -Wno-pragma-once-outside-header "${@:2}" 2>/dev/null; }
export -f check
export tidy

plain=()
while read -r header; do
  if ! uses_torch "$header"; then plain+=("include/$header"); fi
done < <(cd include && find delve -name '*.hpp' | LC_ALL=C sort)
((${#plain[@]} > 20)) || { echo "$0: found only ${#plain[@]} headers without LibTorch" >&2; exit 1; }

all=$(mktemp --suffix=.cpp)
trap 'rm -f "$all"' EXIT
# Its own includes are none that it uses.
printf '#include <delve/delve.hpp>  // IWYU pragma: keep\n' >"$all"
echo "clang-tidy: ${#plain[@]} headers without LibTorch, and all others in one file"
{
  printf '%s\0' "$all ${flags[*]} ${torch_flags[*]}"
  for header in "${plain[@]}"; do printf '%s\0' "$header ${flags[*]}"; done
} | xargs -0 -P "$(nproc)" -I{} bash -c 'check {}'
echo "clang-tidy: nothing found"
