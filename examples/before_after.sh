#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What the report is for: trains a network, reads what its page advises, makes that change, trains
# again, and writes one page with both. A third run only leaves the tail's layers out.
#
#   bash examples/before_after.sh [--seeds N] [ARGUMENT OF resnet18_cifar10...]
#
# A ResNet18 of 16 features on 10,000 pictures of Fashion-MNIST, tested on 10,000 others; the files
# are in runs/before_after. What else can be set is told in cmake/setup.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/setup.sh"

seeds=1
if [[ ${1:-} == --seeds ]]; then
  seeds=${2:-}
  shift $(($# > 1 ? 2 : 1))
  [[ $seeds =~ ^[1-9][0-9]*$ ]] || die "--seeds is \"$seeds\"; it must be a number above 0"
fi

install_missing "${base_packages[@]}" "${torch_packages[@]}" "${example_packages[@]}"
if [[ -f $build/CMakeCache.txt ]]; then tests=(); else tests=(-DDELVE_BUILD_TESTS=OFF); fi
configure_and_build resnet18_cifar10 delve_report -- "${tests[@]}"

cd "$root"
folder=runs/before_after
mkdir -p "$folder"

# run NAME SEED ARGUMENT...: trains, and notes seconds, multiplications and accuracy.
run() {
  local name=$1 seed=$2 start=$SECONDS log=$folder/$1_$2.log
  shift 2
  "$build/examples/resnet18_cifar10" --output "$folder" --name "${name}_$seed" --seed "$seed" \
    --width 16 --dataset fashion-mnist --train-pictures 10000 --test-pictures 10000 --epochs 4 \
    --batch-size 128 --learning-rate 0.003 --decay --probe "$@" >"$log" || { tail -n 20 "$log" >&2; die "$name failed"; }
  awk -F';' -v name="$name" -v seed="$seed" -v seconds=$((SECONDS - start)) \
    -v work="$(sed -n 's/.* parameters, \([0-9,]*\) multiplications.*/\1/p' "$log" | head -n 1)" \
    'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "test-accuracy") c = i }
     END { printf "%s %d %.4f %s %d\n", name, seed, $c, work, seconds }' \
    "$folder/${name}_$seed.csv" >>"$folder/results.txt"
  tail -n 1 "$folder/results.txt"
}

rm -f "$folder"/results.txt "$folder"/{before,after,shorter}_*.csv
say "Run, seed, accuracy on the test pictures, multiplications a picture, seconds"
for ((seed = 0; seed < seeds; seed++)); do
  run before "$seed" "$@"
  verdict=$("$build/examples/delve-report" "$folder/before_$seed.csv" -o "$folder/before_$seed.html")
  tail=$(sed -nE 's/^before_[0-9]+: (layer[1-4]-[^ ]*).*(forms? a|is a) tail.*/\1/p' <<<"$verdict")
  if [[ -z $tail ]]; then
    printf '%s\nSeed %d: the report found no tail, so that there is nothing to change\n' "$verdict" "$seed"
    continue
  fi
  # It advises less downsampling, or to leave these layers out: here the stages that are all tail.
  run after "$seed" --no-early-downsampling "$@"
  stages=${tail:5:1}
  if [[ $tail == layer?-0-conv1 ]]; then stages=$((stages - 1)); fi
  if ((stages < 4)); then run shorter "$seed" --stages "$stages" "$@"; fi
done

first=$(awk '$1 == "after" { print $2; exit }' "$folder/results.txt")
[[ -n $first ]] || die "no seed had a tail"
say "The report on seed $first"
names="before,without early downsampling"
tables=("$folder/before_$first.csv" "$folder/after_$first.csv")
if [[ -f $folder/shorter_$first.csv ]]; then
  names+=",without the tail's stages"
  tables+=("$folder/shorter_$first.csv")
fi
"$build/examples/delve-report" "${tables[@]}" -o "$folder/report.html" --names "$names"

say "Over $seeds seeds"
awk '
  { accuracy[$1, $2] = $3; seconds[$1] += $5; work[$1] = $4; sum[$1] += $3; runs[$1]++ }
  $1 == "before" { before = $3 }
  $1 != "before" {
    d = $3 - before
    mean[$1] += d
    square[$1] += d * d
    if (d > 0) higher[$1]++
  }
  function compare(name,   n) {
    n = runs[name]
    mean[name] /= n
    printf "%-8s accuracy %.4f (%+.4f", name, sum[name] / n, mean[name]
    if (n > 1) printf " ± %.4f", sqrt((square[name] / n - mean[name] ^ 2) / (n - 1))
    printf "; higher in %d of %d), %s multiplications, %.0f s\n", higher[name], n, work[name],
      seconds[name] / n
  }
  END {
    n = runs["before"]
    printf "%-8s accuracy %.4f, %s multiplications, %.0f s\n", "before", sum["before"] / n,
      work["before"], seconds["before"] / n
    compare("after")
    if (runs["shorter"] > 0) compare("shorter")
  }' "$folder/results.txt"
