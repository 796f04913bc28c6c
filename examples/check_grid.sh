#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Checks the pictures that vae draws: bash examples/check_grid.sh PGM WIDTH HEIGHT
# The file is whole, and holds many greys: the pictures are not blank.
set -euo pipefail

picture=$1 width=$2 height=$3

fail() {
  echo "$picture: $*" >&2
  exit 1
}

[[ -f $picture ]] || fail "is not there"
header=$(printf 'P5\n%d %d\n255' "$width" "$height")
[[ $(head -n 3 "$picture") == "$header" ]] || fail "is not a PGM of $width x $height"
bytes=$(wc -c <"$picture")
((bytes == ${#header} + 1 + width * height)) || fail "has $bytes bytes"
greys=$(tail -c +$((${#header} + 2)) "$picture" | od -An -v -tu1 -w1 | sort -u | wc -l)
((greys > 50)) || fail "has only $greys greys"
echo "$picture: $width x $height pixels of $greys greys"
