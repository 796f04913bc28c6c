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
  shift 2
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

rm -f "$folder/results.txt"
say "Run, seed, accuracy on the test pictures, multiplications a picture, seconds"
for ((seed = 0; seed < seeds; seed++)); do
  run before "$seed" "$@"
  verdict=$("$build/examples/delve-report" "$folder/before_$seed.csv" -o "$folder/before_$seed.html")
  stage=$(sed -nE 's/^before_[0-9]+: layer([2-4])-0-.*(forms? a|is a) tail.*/\1/p' <<<"$verdict")
  if [[ -z $stage ]]; then
    printf '%s\n' "$verdict"
    die "the report found no tail that begins with a stage: there is nothing to change"
  fi
  # It advises less downsampling, or to leave these layers out.
  run after "$seed" --no-early-downsampling "$@"
  run shorter "$seed" --stages $((stage - 1)) "$@"
done

say "The report on seed 0"
"$build/examples/delve-report" "$folder"/{before,after,shorter}_0.csv -o "$folder/report.html" \
  --names "before,without early downsampling,without the tail's stages"

say "Over $seeds seeds"
awk '
  { accuracy[$1, $2] = $3; seconds[$1] += $5; work[$1] = $4; sum[$1] += $3; if ($2 >= n) n = $2 + 1 }
  function compare(name,   i, d, mean, square) {
    for (i = 0; i < n; i++) {
      d = accuracy[name, i] - accuracy["before", i]
      mean += d / n
      square += d * d / n
      if (d > 0) higher[name]++
    }
    printf "%-8s accuracy %.4f (%+.4f", name, sum[name] / n, mean
    if (n > 1) printf " ± %.4f", sqrt((square - mean * mean) / (n - 1))
    printf "; higher in %d of %d), %s multiplications, %.0f s\n", higher[name], n, work[name],
      seconds[name] / n
  }
  END {
    printf "%-8s accuracy %.4f, %s multiplications, %.0f s\n", "before", sum["before"] / n,
      work["before"], seconds["before"] / n
    compare("after")
    compare("shorter")
  }' "$folder/results.txt"
