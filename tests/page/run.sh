#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Opens a report in a browser, with the network off, and uses it: bash tests/page/run.sh [FOLDER]
# Screenshots are left in FOLDER, build/page unless given. What can be set is told in cmake/setup.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../cmake/setup.sh"

install_missing "${base_packages[@]}" "${torch_packages[@]}" "${example_packages[@]}" \
  "chromium          chromium  opens the page" \
  "fonts-dejavu-core -         letters for it" \
  "python3-venv      -         a place for html5lib and playwright"
folder=${1:-$root/build/page}
mkdir -p "$folder"
if [[ ! -x $root/build/page-python/bin/python ]]; then
  /usr/bin/python3 -m venv "$root/build/page-python"
  "$root/build/page-python/bin/pip" install --quiet --disable-pip-version-check html5lib playwright
fi
if [[ -f $build/CMakeCache.txt ]]; then tests=(); else tests=(-DDELVE_BUILD_TESTS=OFF); fi
configure_and_build delve_report -- "${tests[@]}"
"$root/build/page-python/bin/python" "$root/tests/page/check.py" "$build/examples/delve-report" \
  "$(command -v chromium)" "$folder" "$root/tests/data/report/before.csv" \
  "$root/tests/data/report/after.csv"
