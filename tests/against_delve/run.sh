#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# VGG16 and ResNet18 through Delve (Python) and through this library: see README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if ! "$python" -c 'import delve, torch, torchvision' 2>/dev/null; then
  echo "against_delve: $python has no delve, torch and torchvision. In a virtual environment:" >&2
  echo "  pip install delve==0.1.50 torch torchvision; PYTHON=that/bin/python bash $0" >&2
  exit 2
fi
cmake --build "$root/build/release" --target against_delve
for model in vgg16 resnet18; do
  mkdir "$folder/$model"
  echo "against_delve: Delve runs $model"
  "$python" "$here/delve_side.py" $model "$folder/$model"
  echo "against_delve: this library runs it"
  "$root/build/release/tests/against_delve" $model "$folder/$model"
done
"$python" "$here/delve_side.py" compare "$folder/vgg16" "$folder/vgg16/ours.csv"
for file in scripted traced; do
  echo "against_delve: ResNet18, $file"
  "$python" "$here/delve_side.py" compare "$folder/resnet18" "$folder/resnet18/$file.csv"
done
