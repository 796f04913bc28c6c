#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Stops a training of example_deep after an epoch and goes on with it:
# bash examples/check_resume.sh PROGRAM FOLDER
# What the table said before must be in it afterwards to the letter, with one row more.
set -euo pipefail

program=$1 folder=$2
table=$folder/vgg11.csv
limits=(--train-pictures 128 --test-pictures 32 --batch-size 8 --output "$folder")

fail() {
  echo "$folder: $*" >&2
  exit 1
}

rm -rf "$folder"
"$program" "${limits[@]}" --epochs 1
before=$(cat "$table")
"$program" "${limits[@]}" --epochs 2 --resume
[[ $(head -n 2 "$table") == "$before" ]] || fail "the first epoch's row is not what it was"
bash "$(dirname "$0")/check_loss.sh" "$table" 2 11
# The tracker remembers what it saw before the stop.
head -n 1 "$table" | tr ';' '\n' | grep -nE '^train-drift_' | cut -d : -f 1 >"$folder/drift.txt"
(($(wc -l <"$folder/drift.txt") == 11)) || fail "has no drift of 11 layers"
while read -r column; do
  [[ -n $(tail -n 1 "$table" | cut -d ';' -f "$column") ]] || fail "no drift after the stop"
done <"$folder/drift.txt"

# Without a training to go on with, it says so.
rm "$folder/vgg11.pt"
if "$program" "${limits[@]}" --resume 2>"$folder/error.txt"; then fail "resumed from nothing"; fi
grep -q 'vgg11.pt' "$folder/error.txt" || fail "does not say what is missing"
echo "$folder: resumed"
