#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Checks what low_rank prints of a short run: bash examples/check_low_rank.sh PROGRAM
# All of the variance is the network itself, for accuracy as for size; less of it takes fewer
# multiplications and parameters; and the directions of the data lose less than random ones.
set -euo pipefail

program=$1

output=$("$program" --epochs 2 --train-pictures 600 --test-pictures 200 --width 16 \
  --learning-rate 0.003 --shares 1 0.99 0.9)
echo "$output"
LC_ALL=C awk '
  function fail(text) { print "low_rank: " text > "/dev/stderr"; failed = 1; exit 1 }
  /^Before: accuracy/ { before = $3 + 0 }
  $1 ~ /^[01](\.[0-9]+)?$/ && NF > 5 {
    ++rows
    if ($1 == 1 && ($2 != before || $3 != before || $4 != 1 || $5 != 1)) fail("at share 1 is not 1")
    if (rows > 1 && !($4 < multiplications && $5 < parameters)) fail("does not get smaller")
    multiplications = $4; parameters = $5
    found += $2; random += $3
  }
  END {
    if (failed) exit 1
    if (rows != 3) fail("has " rows " rows, not 3")
    if (!(found > random)) fail("random directions do as well")
  }' <<<"$output"
