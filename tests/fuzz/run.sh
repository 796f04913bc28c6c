#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Fuzzes the readers: bash tests/fuzz/run.sh [SECONDS [TARGET...]]
# Each target for SECONDS (30), or all of them, as many at a time as there are cores. SEED=2 tries
# other inputs than SEED=1 does. What else can be set is told in cmake/setup.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../cmake/setup.sh"

seconds=${1:-30}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "SECONDS is \"$seconds\"; it must be a number above 0"
seed=${SEED:-1}
folder=$root/tests/fuzz
output=$root/build/fuzz
compiler=clang++
sanitizers=fuzzer,address,undefined,float-cast-overflow

all_targets() {
  local target
  for target in "$folder"/corpus/*/; do basename "$target"; done
}

# compile_part NAME: one of the files that the targets were put into.
compile_part() {
  local launcher=()
  if command -v ccache >/dev/null; then
    launcher=(env "CCACHE_BASEDIR=$root" CCACHE_NOHASHDIR=1 ccache)
  fi
  "${launcher[@]}" "$compiler" -std=c++17 -O1 -gline-tables-only -fno-omit-frame-pointer "-fsanitize=$sanitizers" \
    -fno-sanitize-recover=all -DFMT_HEADER_ONLY "-I$root/include" "-I$root/tests" \
    "-I$root/examples" -isystem /usr/include/eigen3 -c "$output/$1.cpp" -o "$output/$1.o"
}

# Inputs that are new go to a folder of the build's, not to the corpus.
fuzz_target() {
  mkdir -p "$output/found/$1" "$output/temporary/$1"
  TMPDIR=$output/temporary/$1 ASAN_OPTIONS=detect_leaks=1 "$output/$1" "-seed=$seed" \
    "-max_total_time=$seconds" -timeout=10 -malloc_limit_mb=256 -rss_limit_mb=2048 -max_len=8192 \
    -print_final_stats=1 "-artifact_prefix=$output/findings/$1-" \
    "$output/found/$1" "$folder/corpus/$1"
}

# in_turn LABEL COMMAND NAME...: the command for each name, as many at a time as there are cores,
# the output of each in a file of its own. Sets status where one fails.
in_turn() {
  local label=$1 command=$2 name failed=() running
  local -A pids=()
  shift 2
  say "$label"
  for name in "$@"; do
    # Not counted by a pipe, whose parts do not know of these jobs.
    while running=($(builtin jobs -rp)) && ((${#running[@]} >= cores)); do wait -n || true; done
    (set -e; "$command" "$name") >"$output/$name.$command.log" 2>&1 </dev/null &
    pids[$name]=$!
  done
  for name in "$@"; do
    if ! wait "${pids[$name]}"; then failed+=("$name"); fi
  done
  for name in "${failed[@]}"; do
    printf '\n#### %s\n' "$name"
    tail -n 60 "$output/$name.$command.log"
  done
  ((${#failed[@]} == 0)) || status=1
}

mapfile -t targets < <(if (($# > 1)); then printf '%s\n' "${@:2}"; else all_targets; fi)
for target in "${targets[@]}"; do
  [[ -f $folder/$target.cpp ]] || die "there is no target \"$target\"; there are" $(all_targets)
done

install_missing "${base_packages[@]}" "${test_packages[@]}" \
  "zlib1g-dev       -                reads the compressed pictures" \
  "clang            clang++          compiles for libFuzzer" \
  "libclang-rt-dev  -                libFuzzer and the sanitizers" \
  "llvm             llvm-symbolizer  names the lines where something was found"

cores=$(jobs)
status=0
rm -rf "$output/findings" "$output/temporary"
mkdir -p "$output/findings"

# Most of the time goes into headers: all targets in one program, of as many files as there are cores.
parts=()
for ((i = 0; i < cores && i < ${#targets[@]}; ++i)); do
  parts+=("part_$i")
  for ((j = i; j < ${#targets[@]}; j += cores)); do
    printf '#include "%s/%s.cpp"\n' "$folder" "${targets[j]}"
  done >"$output/part_$i.cpp"
done
printf '#include "%s/libfuzzer.cpp"\n' "$folder" >>"$output/part_0.cpp"
in_turn "Compiling ${#targets[@]} targets" compile_part "${parts[@]}"
((status == 0)) || die "that does not compile"
objects=("${parts[@]/#/$output/}")
objects=("${objects[@]/%/.o}")
"$compiler" "-fsanitize=$sanitizers" "${objects[@]}" -o "$output/all" -lz
for target in "${targets[@]}"; do ln -f "$output/all" "$output/$target"; done
in_turn "Fuzzing each for $seconds s with seed $seed" fuzz_target "${targets[@]}"
rm -rf "$output/temporary"

printf '\n%-14s %12s %12s %10s\n' target executions "a second" inputs
for target in "${targets[@]}"; do
  awk -v target="$target" '
    /^stat::number_of_executed_units:/ { executions = $2 }
    /^stat::average_exec_per_sec:/     { rate = $2 }
    match($0, /corp: [0-9]+/)          { inputs = substr($0, RSTART + 6, RLENGTH - 6) }
    END { printf "%-14s %12s %12s %10s\n", target, executions, rate, inputs }
  ' "$output/$target.fuzz_target.log"
done

((status == 0)) || {
  printf '\nFound, with seed %s:\n' "$seed"
  for finding in "$output"/findings/*; do
    [[ -f $finding ]] || die "no input; what went wrong stands above"
    target=$(basename "$finding")
    printf '   %s\n   again: %s/%s %s\n' "$finding" "$output" "${target%%-*}" "$finding"
  done
  die "a reader broke. Copy the file to tests/fuzz/corpus/TARGET/finding_WHAT, mend the reader," \
    "and add an ordinary test of it; tests/fuzz/README.md tells more."
}
