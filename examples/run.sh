#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Installs what is missing, builds, and trains VGG16 under a tracker. Arguments go to the example:
# bash examples/run.sh --help tells them, after the build. What can be set is told in cmake/setup.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/setup.sh"

install_missing "${base_packages[@]}" "${torch_packages[@]}" "${example_packages[@]}"
# The tests need more packages; where they were configured before, they stay.
if [[ -f $build/CMakeCache.txt ]]; then tests=(); else tests=(-DDELVE_BUILD_TESTS=OFF); fi
configure_and_build cifar10_vgg16 delve_plot delve_reconstruct delve_report -- "${tests[@]}"

say "Training"
cd "$root"
"$build/examples/cifar10_vgg16" "$@"
