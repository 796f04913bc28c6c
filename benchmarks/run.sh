#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds, measures, and prints the tables: bash benchmarks/run.sh [OPTION...]
#
#   --quick          a short trial, whose numbers mean little
#   --rounds N       how often the two sides take turns (3)
#   --pairs N        of whole steps, tracked and untracked, a round (30)
#   --device cuda    what it costs on a GPU, instead of what it costs on the CPU
#   --output FOLDER  where measurements and tables go (runs/benchmarks)
#
#   PYTHON=/path     a Python with delve==0.1.50, torch and torchvision, to measure Delve; its
#                    LibTorch is then used on our side as well; Debian's python3-torch does, too
#   OMP_NUM_THREADS  threads of both sides
#
# What else can be set is told in cmake/setup.sh. Let nothing else run meanwhile.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
quick='' rounds=3 pairs=30 device=cpu output=$here/../runs/benchmarks
while (($# > 0)); do
  case $1 in
    --quick) quick=1 rounds=1 pairs=3 ;;
    --rounds) rounds=$2; shift ;;
    --pairs) pairs=$2; shift ;;
    --device) device=$2; shift ;;
    --output) output=$2; shift ;;
    *)
      sed -n '4,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      if [[ $1 == --help ]]; then exit 0; else exit 2; fi
      ;;
  esac
  shift
done

if [[ -n ${PYTHON:-} ]]; then
  "$PYTHON" -c 'import delve, torch, torchvision' 2>/dev/null || {
    echo "$0: $PYTHON has no delve, torch and torchvision. In a virtual environment:" >&2
    echo "  pip install delve==0.1.50 torch torchvision; PYTHON=that/bin/python bash $0" >&2
    exit 2
  }
  LIBTORCH=$("$PYTHON" -c 'import torch; print(torch.__path__[0])')
  # Debian's python3-torch runs on the libraries that libtorch-dev is for, and has no files for CMake.
  if [[ ! -d $LIBTORCH/share/cmake ]]; then unset LIBTORCH; fi
fi
source "$here/../cmake/setup.sh"

benchmark_packages=(
  "libbenchmark-dev  -        times single steps"
  "libcli11-dev      -        command line of the benchmarks"
  "nlohmann-json3-dev  -      the soak writes JSON lines"
  "libprotozero-dev  -        and TensorBoard's events"
  "valgrind          valgrind counts instructions"
  "python3           python3  makes the tables"
)
install_missing "${base_packages[@]}" "${torch_packages[@]}" "${benchmark_packages[@]}"
# A folder of its own: the LibTorch of a wheel would have everything else built anew.
build=$root/build/benchmarks
configure_and_build benchmarks -- -DDELVE_BUILD_BENCHMARKS=ON -DDELVE_BUILD_TESTS=OFF \
  -DDELVE_BUILD_EXAMPLES=OFF

programs=$build/benchmarks
mkdir -p "$output"
output=$(cd "$output" && pwd)
lines=$output/lines.jsonl
: >"$lines"

# Adds what a command prints to the measurements.
measure() {
  echo "   $(basename "$1") ${*:2}"
  "$@" >>"$lines"
}
ours() { measure "$programs/benchmark_vgg16" "$@"; }
delve() {
  if [[ -z ${PYTHON:-} ]]; then return; fi
  echo "   Delve $*"
  # It logs every layer, on stderr or among what it prints.
  "$PYTHON" "$here/vgg16_delve.py" "$@" 2>"$output/delve.log" | grep '^{' >>"$lines" || {
    tail -n 20 "$output/delve.log" >&2
    die "Delve could not be measured"
  }
}

if [[ -z ${PYTHON:-} ]]; then
  say "Only our side is measured: PYTHON is not set to a Python with delve, torch and torchvision"
fi

make_tables() {
  say "Tables"
  python3 "$here/table.py" "$lines" | tee "$output/table.md"
}

if [[ $device != cpu ]]; then
  # As many steps a side as the layers that let rows wait take to sum them.
  steps=(--device "$device" --steps 64 --pairs "$pairs" --steps-of-pair 16)
  if [[ -n $quick ]]; then steps=(--device "$device" --steps 2 --pairs "$pairs"); fi
  for ((round = 1; round <= rounds; ++round)); do
    say "Steps on $device, round $round of $rounds"
    for training in "vgg16" "resnet18" "resnet18 --side 224 --batch 64"; do
      # shellcheck disable=SC2086  # options of their own
      ours step "${steps[@]}" --model $training
      # shellcheck disable=SC2086
      delve step "${steps[@]}" --model $training
    done
    ours step "${steps[@]}" --float32-sums
    ours step "${steps[@]}" --float64
  done
  say "Reports on $device"
  if [[ -n $quick ]]; then report=(--widest 512 --repeats 1); else report=(--repeats 5); fi
  ours report --device "$device" "${report[@]}"
  delve report --device "$device" "${report[@]}"
  ours report --device "$device" "${report[@]}" --stats small
  ours report --device "$device" "${report[@]}" --samples-per-dimension 0.25
  ours eigenvalues --device "$device" "${report[@]}"
  say "What the host asks of $device"
  ours trace --device "$device"
  ours trace --device "$device" --model resnet18
  make_tables
  exit
fi

# As many steps as the widest layers, 4096 units, take to sum 2048 waiting rows, or twice that.
steps_of_128=32 steps_of_32=64
if [[ -n $quick ]]; then steps_of_128=2 steps_of_32=2; fi
for ((round = 1; round <= rounds; ++round)); do
  say "VGG16, steps, round $round of $rounds"
  ours step --batch 128 --steps $steps_of_128 --pairs "$pairs"
  delve step --batch 128 --steps $steps_of_128 --pairs "$pairs"
  ours step --batch 32 --steps $steps_of_32 --pairs "$pairs"
  delve step --batch 32 --steps $steps_of_32 --pairs "$pairs" --released
  delve step --batch 32 --steps $steps_of_32 --pairs 0
  ours step --batch 128 --steps $steps_of_128 --pairs 0 --float64
  ours step --batch 128 --steps $steps_of_128 --pairs 0 --points-per-dimension 1000
done

say "VGG16, reports"
if [[ -n $quick ]]; then report=(--widest 512 --repeats 1); else report=(); fi
for per_dimension in 2 0.25; do
  ours report --samples-per-dimension $per_dimension "${report[@]}"
  delve report --samples-per-dimension $per_dimension "${report[@]}"
  ours report --samples-per-dimension $per_dimension "${report[@]}" --stats small
done

say "VGG16, a share of the data points"
ours sampling ${quick:+--batches 2 --seeds 1}

# Both print how many instructions benchmark_hooks runs for the steps that it is to run.
by_valgrind() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null \
    --toggle-collect=delve_benchmark_counted "$programs/benchmark_hooks" counted "$@" \
    --steps "$counted_steps" 2>&1 |
    sed -n 's/.*I *refs: *//p' | tr -d ,
}
by_perf() {
  local steps totals=()
  for steps in 0 "$counted_steps"; do
    totals+=("$(perf stat -x, -e instructions:u "$programs/benchmark_hooks" counted "$@" \
      --steps "$steps" 2>&1 | sed -n 's/,.*instructions:u.*//p')")
  done
  echo $((totals[1] - totals[0]))
}

say "Hooks"
measure "$programs/benchmark_hooks" stopped
recorded_steps=1000 counted_steps=100
if [[ -n $quick ]]; then recorded_steps=200 counted_steps=20; fi
measure "$programs/benchmark_hooks" recording --steps $recorded_steps
counter=
if command -v valgrind >/dev/null; then
  counter=valgrind
elif perf stat -x, -e instructions:u true 2>&1 | grep -q '^[0-9]'; then
  counter=perf
else
  say "Instructions are not counted: there is no valgrind, and no perf that can count them here"
fi
if [[ -n $counter ]]; then
  # Where the heap's holes are, malloc takes longer: 0.5 % of these steps, with a tracker or with
  # anything else that has come and gone. With room enough in its cache it needs none of them.
  export GLIBC_TUNABLES=glibc.malloc.tcache_count=60000
  for state in untracked bare stopped recording; do
    echo "   instructions of $counted_steps steps, by $counter: $state"
    count=$("by_$counter" --layers 20 --state $state)
    printf '{"measurement": "instructions", "state": "%s", "tool": "%s", "count": %d}\n' \
      $state $counter "$count" >>"$lines"
  done
  unset GLIBC_TUNABLES
fi

say "Growth"
"$programs/benchmark_growth" --output "$output" ${quick:+--widest 512 --seconds 0.1}
gnuplot -e "tables='$output'; pictures='$output'" "$here/growth.gp"
echo "Pictures: $output/performance_*.png"

say "Single steps"
"$programs/benchmark_steps" --benchmark_out="$output/steps.json" --benchmark_out_format=json \
  ${quick:+--benchmark_min_time=0.01 "--benchmark_filter=hook|matrix|spectrum"}

make_tables
