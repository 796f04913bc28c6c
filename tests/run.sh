#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds, and runs every test. Arguments go to ctest: bash tests/run.sh -R csv
# What can be set is told in cmake/setup.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/setup.sh"

install_missing "${base_packages[@]}" "${torch_packages[@]}" "${example_packages[@]}" \
  "${test_packages[@]}"
configure_and_build -- -DDELVE_BUILD_TESTS=ON

say "Testing"
ctest --test-dir "$build" --output-on-failure --parallel "$(nproc)" "$@"
