#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Checks the table and the pictures of cifar10_vgg16: bash examples/check.sh FOLDER EPOCHS
set -euo pipefail

folder=$1 epochs=$2 layers=16
table=$folder/vgg16.csv

fail() {
  echo "$folder: $*" >&2
  exit 1
}

[[ -f $table ]] || fail "no vgg16.csv"
rows=$(($(wc -l <"$table") - 1))
((rows == epochs)) || fail "vgg16.csv has $rows epochs, not $epochs"
# Receptive fields stand in the first row alone.
awk -F';' 'NR == 1 { for (i = 1; i <= NF; i++) of_fields[i] = $i ~ /^(rf-min|rf-max|border|rank-limit)_/; next }
  { for (i = 1; i <= NF; i++) if ($i == "" && !(of_fields[i] && NR > 2)) exit 1 }' "$table" ||
  fail "vgg16.csv has an empty cell"

for mode in train eval; do
  for quantity in saturation intrinsic-dimensionality; do
    columns=$(head -n 1 "$table" | tr ';' '\n' | grep -c "^${mode}-${quantity}_" || true)
    ((columns == layers)) || fail "vgg16.csv has $columns columns ${mode}-${quantity}, not $layers"
  done
  for stat in lsat idim; do
    for ((epoch = 0; epoch < epochs; ++epoch)); do
      picture=$folder/vgg16_${stat}_${mode}_epoch_$epoch.png
      [[ $(head -c 4 "$picture" 2>/dev/null | tail -c 3) == PNG ]] || fail "no picture $picture"
    done
  done
done
grep -q 'aria-label="Verdict"' "$folder/vgg16.html" || fail "vgg16.html has no verdict"
echo "$folder: $rows epochs of $layers layers, all cells filled, all pictures there"
