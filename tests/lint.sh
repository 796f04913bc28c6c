#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Looks for faults that g++ does not report: bash tests/lint.sh [--all]
# By the checks of .clang-tidy, all headers in one file, and each header that does without LibTorch by
# itself for includes that it does not use; by clang++, whether all headers compile without a warning.
# One check takes twice as long with LibTorch's headers as all others: it looks at the headers without
# LibTorch alone, unless there is --all. CLANG_TIDY names the program; another version than 19 may find
# other things.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

everything=''
case ${1:-} in
  '') ;;
  --all) everything=1 ;;
  *) sed -n '4,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac

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

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Their own includes are none that they use.
one_file() { sed 's|.*|#include <&>  // IWYU pragma: keep|' >"$work/$1.cpp"; }
one_file all <<<"$headers"
printf '%s\n' "${plain[@]#include/}" | one_file plain
{
  cat "$work/all.cpp"
  echo 'template class delve::CheckLayerSat<double>;'
  echo 'template class delve::CheckLayerSat<float>;'
} >"$work/compiled.cpp"

slow=performance-unnecessary-value-param
echo "clang-tidy: $(wc -l <<<"$headers") headers in one file, and the includes of ${#plain[@]}" \
  "without LibTorch; clang++: all of them"
# Those that take longest first.
{
  printf '%s\0' "check $([[ -n $everything ]] || echo "--checks=-$slow") $work/all.cpp -- ${flags[*]} ${torch_flags[*]}"
  printf '%s\0' "clang++ ${flags[*]} ${torch_flags[*]} -Wall -Wextra -Wshadow -Werror -fsyntax-only $work/compiled.cpp"
  printf '%s\0' "check --checks=-*,$slow $work/plain.cpp -- ${flags[*]}"
  for header in "${plain[@]}"; do
    printf '%s\0' "check --checks=-*,misc-include-cleaner $header -- -x c++ -Wno-pragma-once-outside-header ${flags[*]}"
  done
} | xargs -0 -P "$(nproc)" -I{} bash -c 'set -f; {}'
echo "clang-tidy and clang++: nothing found"
