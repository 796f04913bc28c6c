#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# VGG16 through Delve (Python) and through this library: see README.md.
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
echo "against_delve: Delve runs VGG16"
"$python" "$here/delve_side.py" prepare "$folder"
echo "against_delve: this library runs it"
cmake --build "$root/build/release" --target against_delve
"$root/build/release/tests/against_delve" "$folder"
"$python" "$here/delve_side.py" compare "$folder" "$folder/ours.csv"
