#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Runs delve-plot and delve-reconstruct on tables and trees of both this library and Delve (Python):
# check_programs.sh DELVE_PLOT DELVE_RECONSTRUCT TEST_DATA FOLDER
set -euo pipefail
plot=$1 reconstruct=$2 data=$3 folder=$4
rm -rf "$folder"
mkdir -p "$folder"
fail() {
  echo "check_programs.sh: $*" >&2
  exit 1
}

# The tree of Delve's own, at another threshold, by Delve's rule: the numbers that Delve makes of it.
cp -r "$data/reference/npy_writer/run" "$folder/run"
"$reconstruct" "$folder/run" --threshold 0.9 --delve-rule
table=$folder/run_reconstructed.csv
# value FILE COLUMN ROW
value() {
  awk -F';' -v name="$2" -v row="$3" \
    'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i } NR == row + 2 { print $c }' "$1"
}
for layer in 0 2 4; do
  for row in 0 1; do
    name=train-intrinsic-dimensionality_$layer
    ours=$(value "$table" "$name" $row)
    delves=$(value "$data/reference/npy_writer/reconstructed_threshold_090.csv" "_$name" $row)
    [[ -n $ours && $ours == "$delves" ]] || fail "$name, row $row: $ours, Delve has $delves"
  done
done
[[ $(value "$table" accuracy 1) == 0.6 ]] || fail "the accuracy was lost"
if "$reconstruct" "$folder/run" 2>/dev/null; then fail "a table that was there was replaced"; fi
"$reconstruct" "$folder/run" --force

# Pictures of a table of ours and of one of Delve's.
"$plot" "$table" --output "$folder/ours" --epochs all --animation
for picture in ours_lsat_train_epoch_0.png ours_idim_eval_epoch_1.png ours_lsat_train_epochs.png \
  ours_lsat_train.gif; do
  [[ -s $folder/$picture ]] || fail "$picture is missing"
done
"$plot" "$data/reference/cnn_channelwise/expected.csv" --output "$folder/delves" --format svg
[[ -s $folder/delves_lsat_train_epoch_1.svg ]] || fail "delves_lsat_train_epoch_1.svg is missing"
if "$plot" "$folder/none.csv" 2>"$folder/errors"; then fail "there is no such table"; fi
grep -q 'none.csv' "$folder/errors" || fail "the error does not name the table"
echo "Both programs did what they should"
