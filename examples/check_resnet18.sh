#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Trains ResNet18 with and without its early downsampling, on few pictures, and has both compared:
# check_resnet18.sh RESNET18_CIFAR10 DELVE_PLOT FOLDER
set -euo pipefail
train=$1 plot=$2 folder=$3
rm -rf "$folder"
fail() {
  echo "check_resnet18.sh: $*" >&2
  exit 1
}

usual=$folder/resnet18.csv
wide=$folder/resnet18_no_early_downsampling.csv
for option in '' --no-early-downsampling; do
  "$train" $option --epochs 2 --train-pictures 96 --test-pictures 32 --batch-size 32 --output "$folder" |
    tee "$folder.txt"
  # What is known before the training.
  if [[ -z $option ]]; then
    grep -q 'layer4-1-conv2 .* 139 to 435 .*border' "$folder.txt" || fail "no table of fields"
    grep -q 'Without the downsampling of conv1 and max_pool2d behind conv1' "$folder.txt" || fail "no advice"
  else
    grep -q 'With an input of 32 × 32, no layer is a border layer' "$folder.txt" || fail "a border"
  fi
done
# 20 convolutions and a linear layer.
for table in "$usual" "$wide"; do
  bash "$(dirname "$0")/check_loss.sh" "$table" 2 21
done

"$plot" "$usual" "$wide" --primary-metric test-accuracy --stats lsat --output "$folder/both"
"$plot" "$usual" "$wide" --format svg --epochs 0
[[ -s $folder/both_lsat_train.png && -s $folder/both_lsat_eval.png ]] || fail "a picture is missing"
[[ ! -e $folder/both_idim_train.png ]] || fail "there is a picture of what was not asked for"
picture=$folder/comparison_lsat_train.svg
for text in 'resnet18, epoch 0' 'resnet18_no_early_downsampling, epoch 0' layer4-1-conv2; do
  grep -q "$text" "$picture" || fail "$picture does not show $text"
done
if "$plot" "$usual" "$wide" --epochs all 2>"$folder/errors"; then fail "all epochs of two tables"; fi
grep -q 'for one table' "$folder/errors" || fail "the error does not say why"
echo "Both were trained, and compared"
