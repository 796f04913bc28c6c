#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The tests of all that needs no LibTorch, with another system or another standard library:
#
#   bash tests/plain.sh wine [TEST...]     compiled by mingw-w64 for Windows, run under Wine
#   bash tests/plain.sh libc++ [TEST...]   compiled by clang++ with libc++
#
# A TEST is named as in tests/CMakeLists.txt, "csv_writer"; without one all are run. What cannot be
# run is named with its reason, and counted. FOLDER says where to work, build/plain-wine unless set.
set -euo pipefail
way=${1:-}
shift || true
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/setup.sh"
tests=$root/tests

flags=(-std=gnu++17 -O1 -DFMT_HEADER_ONLY=1 -DDELVE_REGISTERED_ELSEWHERE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
libraries=()
run=()
left_out_tests=()
case $way in
  wine)
    install_missing "${base_packages[@]}" "${test_packages[@]}" \
      "g++-mingw-w64-x86-64-posix  x86_64-w64-mingw32-g++-posix  compiles for Windows" \
      "wine64                      -                             runs that" \
      "wine                        wine                          runs that"
    compiler=x86_64-w64-mingw32-g++-posix
    # At -O1 GCC 12 takes parts of Eigen for uninitialised.
    flags+=(-Wno-maybe-uninitialized)
    libraries=(-static -lshell32)
    export WINEPREFIX=${FOLDER:-$root/build/plain-wine}/wine WINEDEBUG=-all
    run=(wine)
    left_out_tests=("faults: a disk of its own, and gnuplot" "kills: fork and signals"
      "pictures: gnuplot and zlib")
    ;;
  libc++)
    install_missing "${base_packages[@]}" "${test_packages[@]}" "zlib1g-dev  -  reads pictures" \
      "clang          clang++  compiles with it" \
      "libc++-dev     -        another standard library" \
      "libc++abi-dev  -        another standard library"
    compiler=clang++
    flags+=(-stdlib=libc++)
    libraries=(-stdlib=libc++ -pthread -lz)
    ;;
  *)
    sed -n '4,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac

folder=${FOLDER:-$root/build/plain-$way}
mkdir -p "$folder/include" "$folder/run"
# By links, since /usr/include itself would bring this system's headers with it.
for library in catch2 eigen3 fmt nlohmann protozero; do
  ln -sfn "/usr/include/$library" "$folder/include/$library"
done
if [[ $way == libc++ ]]; then
  for header in zlib.h zconf.h; do ln -sfn "/usr/include/$header" "$folder/include/$header"; done
fi
flags+=(-I"$root/include" -I"$tests" -I"$root/examples"
  -isystem "$folder/include/eigen3" -isystem "$folder/include")

names=()
read -ra all <<<"$(tr '\n' ' ' <"$tests/CMakeLists.txt" |
  sed -nE 's/.*set\(plain_tests ([^)]*)\).*/\1/p')"
((${#all[@]} > 10)) || { echo "$0: found only ${#all[@]} tests in tests/CMakeLists.txt" >&2; exit 1; }
(($# > 0)) || set -- "${all[@]}"
left_out=0
for name in "$@"; do
  reason=
  for line in "${left_out_tests[@]}"; do
    if [[ ${line%%:*} == "$name" ]]; then reason=${line#*: }; fi
  done
  if [[ -z $reason ]]; then
    names+=("$name")
    continue
  fi
  cases=$(grep -c '^TEST_CASE' "$tests/test_$name.cpp")
  printf 'left out: %d cases of test_%s, which need %s\n' "$cases" "$name" "$reason"
  left_out=$((left_out + cases))
done

cd "$folder"
printf '#define CATCH_CONFIG_MAIN\n#include <catch2/catch.hpp>\n' >main.cpp
printf '#include <%s>\n' Eigen/Core fmt/format.h fmt/ranges.h nlohmann/json.hpp catch.hpp \
  delve/writers/registry.hpp >precompiled.hpp
echo "Compiling ${#names[@]} tests with $("$compiler" --version | head -n 1)"
# Most of a file's time goes into headers: several files at once, but for what must be by itself, as in
# tests/CMakeLists.txt.
alone=registry_writer
cores=$(jobs)
rm -f part_*.cpp
for ((i = 0; i < ${#names[@]}; ++i)); do
  part=part_$((i % (2 * cores)))
  if [[ ${names[i]} == "$alone" ]]; then part=part_alone; fi
  printf '#include "%s/test_%s.cpp"\n' "$tests" "${names[i]}" >>"$part.cpp"
done
{
  "$compiler" "${flags[@]}" -w -c main.cpp -o main.o
  "$compiler" "${flags[@]}" "-DDELVE_TEST_DATA=\"$tests/data\"" -c "$tests/data.cpp" -o data.o
  "$compiler" "${flags[@]}" -UDELVE_REGISTERED_ELSEWHERE -c "$root/cmake/compiled_writers.cpp" -o writers.o
} &
once=$!
"$compiler" "${flags[@]}" -x c++-header precompiled.hpp -o precompiled.hpp.gch
wait "$once"
declare -p compiler flags >settings
printf '%s\0' part_*.cpp | xargs -0 -P "$cores" -n 1 bash -c 'source ./settings
  "$compiler" "${flags[@]}" -include precompiled.hpp -c "$1" -o "${1%.cpp}.o"' compile
rm -f -- *.exe
for ((i = 0; i < 2; ++i)); do
  parts=(part_alone.cpp)
  if ((i == 0)); then parts=(part_[0-9]*.cpp); fi
  [[ -f ${parts[0]} ]] || continue
  "$compiler" "${parts[@]/%.cpp/.o}" main.o data.o writers.o "${libraries[@]}" -o "tests_$i.exe"
done

passed=0
for name in "${names[@]}"; do
  printf '== %s\n' "$name"
  program=tests_0.exe
  if [[ $name == "$alone" ]]; then program=tests_1.exe; fi
  (cd run && timeout 300 "${run[@]}" "../$program" --filenames-as-tags "[#test_$name]~[.]") >"$name.log" 2>&1 || {
    cat "$name.log"
    echo "$0: test_$name failed" >&2
    exit 1
  }
  tr -d '\r' <"$name.log" | grep -E '^(left out|All tests passed)' || true
  count=$(tr -d '\r' <"$name.log" | sed -nE 's/^All tests passed \(.* in ([0-9]+) test cases?\)$/\1/p')
  ((${count:-0} > 0)) || { echo "$0: test_$name ran no case" >&2; exit 1; }
  skipped=$(grep -c '^left out' "$name.log" || true)
  passed=$((passed + count - skipped))
  left_out=$((left_out + skipped))
done
printf '%s: %d cases passed, %d were left out, each with its reason above\n' "$way" "$passed" "$left_out"
