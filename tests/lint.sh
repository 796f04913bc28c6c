#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Looks for faults that a compiler does not tell, by the checks of .clang-tidy: bash tests/lint.sh
# All headers in one file by all of them, and each header that does without LibTorch by itself for
# includes that it does not use. CLANG_TIDY names the program; another version than 19 may find other
# things.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tidy=${CLANG_TIDY:-clang-tidy-19}
flags=(-std=c++17 -Iinclude -DFMT_HEADER_ONLY=1 -isystem /usr/include/eigen3)
torch_flags=(-isystem "${LIBTORCH:-/usr}/include/torch/csrc/api/include")
if [[ -n ${LIBTORCH:-} ]]; then torch_flags+=(-isystem "$LIBTORCH/include"); fi

# Headers from which an include of LibTorch's is reached through our own.
cd include
headers=$(find delve -name '*.hpp' | LC_ALL=C sort)
with_torch=$(grep -rlE '^#include <(torch|ATen|c10)/' delve)
before=''
while [[ $with_torch != "$before" ]]; do
  before=$with_torch
  with_torch=$({ cat <<<"$before"; grep -rlFf <(sed 's|.*|#include <&>|' <<<"$before") delve; } | LC_ALL=C sort -u)
done
mapfile -t plain < <(LC_ALL=C comm -23 <(cat <<<"$headers") <(cat <<<"$with_torch") | sed 's|^|include/|')
cd ..
((${#plain[@]} > 20)) || { echo "$0: found only ${#plain[@]} headers without LibTorch" >&2; exit 1; }

check() { "$tidy" --quiet --config-file=.clang-tidy "$@" 2>/dev/null; }
export -f check
export tidy

all=$(mktemp --suffix=.cpp)
trap 'rm -f "$all"' EXIT
# Its own includes are none that it uses.
sed 's|.*|#include <&>  // IWYU pragma: keep|' <<<"$headers" >"$all"
echo "clang-tidy: $(wc -l <<<"$headers") headers in one file, and the includes of ${#plain[@]}" \
  "without LibTorch"
{
  printf '%s\0' "$all -- -x c++ ${flags[*]} ${torch_flags[*]}"
  for header in "${plain[@]}"; do
    printf '%s\0' "--checks=-*,misc-include-cleaner $header -- -x c++ -Wno-pragma-once-outside-header ${flags[*]}"
  done
} | xargs -0 -P "$(nproc)" -I{} bash -c 'set -f; check {}'
echo "clang-tidy: nothing found"
