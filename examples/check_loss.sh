#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Checks the table of a training: bash examples/check_loss.sh TABLE EPOCHS LAYERS
# It has EPOCHS rows and the saturation of LAYERS layers, no cell is empty but those of receptive
# fields, which are written once, and of drift, which the first epoch has not, and the loss has
# fallen from the first row to the last.
set -euo pipefail

table=$1 epochs=$2 layers=$3

fail() {
  echo "$table: $*" >&2
  exit 1
}

[[ -f $table ]] || fail "is not there"
rows=$(($(wc -l <"$table") - 1))
((rows == epochs)) || fail "has $rows epochs, not $epochs"
names=$(head -n 1 "$table" | tr ';' '\n')
empty=$(awk -F ';' '
  NR == 1 { for (i = 2; i <= NF; ++i) if ($i !~ /^(rf-min|rf-max|border|rank-limit)_|-drift/) name[i] = $i }
  NR > 1 { for (i in name) if ($i == "") print "line " NR ", " name[i] }' "$table")
[[ -z $empty ]] || fail "has an empty cell: $empty"
columns=$(grep -c '^train-saturation_' <<<"$names" || true)
((columns == layers)) || fail "has the saturation of $columns layers, not of $layers"

column=$(grep -nx 'train-loss' <<<"$names" | cut -d : -f 1) || fail "has no column train-loss"
losses=$(tail -n +2 "$table" | cut -d ';' -f "$column")
first=$(head -n 1 <<<"$losses") last=$(tail -n 1 <<<"$losses")
LC_ALL=C awk "BEGIN { exit !($last < $first) }" || fail "the loss went from $first to $last"
echo "$table: $rows epochs of $layers layers, all cells filled, loss from $first to $last"
