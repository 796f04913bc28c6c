# SPDX-License-Identifier: MIT
#
# Sourced by examples/run.sh and tests/run.sh: installs what is missing, configures and builds.
#
#   LIBTORCH=/path     use this LibTorch (the folder libtorch of a download, or torch of a wheel);
#                      a Torch in CMAKE_PREFIX_PATH, Torch_DIR or /usr/local is taken unasked
#   BUILD_TYPE=Debug   instead of Release
#   CMAKE_ARGS="-D…"   further arguments for CMake
#   PYTHON=/path       a Python with numpy and tensorboard, which then read what was written
#   SKIP_INSTALL=1     install nothing: what is needed is there in some other way

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_type=${BUILD_TYPE:-Release}
build=$root/build/${build_type,,}

# A package; a command that shows that it is there in some other way, or "-"; what it is for.
base_packages=(
  "g++              ${CXX:-g++}  compiler"
  "cmake            cmake    build system"
  "ninja-build      ninja    runs the build"
  "ccache           ccache   makes the next build quick"
  "libeigen3-dev    -        matrices and eigenvalues"
  "libfmt-dev       -        text"
  "gnuplot-nox      gnuplot  draws the pictures"
)
torch_packages=(
  "libtorch-dev          -   LibTorch, the CPU build"
  "libopenblas0-pthread  -   matrix products five times faster than LibTorch's default"
  "libgloo-dev           -   headers for several processes, of this LibTorch alone"
)
example_packages=(
  "libcli11-dev           -  command line of the example"
  "zlib1g-dev             -  reads the compressed pictures"
  "dataset-fashion-mnist  -  70,000 pictures to train on where CIFAR-10 is not at hand"
)
test_packages=(
  "catch2                 -    test framework"
  "nlohmann-json3-dev     -    for the optional writer of JSON lines"
  "libprotozero-dev       -    for the optional writer of TensorBoard's events"
  "pkg-config             pkg-config  for the test of delve.pc"
  "unzip                  unzip  looks into the npy writer's archive"
)

say() { printf '\n== %s\n' "$*"; }

die() {
  printf '\n%s: %s\n' "$0" "$*" >&2
  exit 1
}

# Sets torch_dir to the folder of TorchConfig.cmake, or to nothing where Debian's is to be used.
find_torch() {
  local prefix prefixes folder
  torch_dir=
  if [[ -n ${LIBTORCH:-} ]]; then
    torch_dir=$LIBTORCH/share/cmake/Torch
    [[ -f $torch_dir/TorchConfig.cmake ]] || die "LIBTORCH=$LIBTORCH has no" \
      "share/cmake/Torch/TorchConfig.cmake. Set it to the folder libtorch of a download from" \
      "pytorch.org, or to the folder torch of an installed wheel."
    return
  fi
  IFS=':;' read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}:/usr/local"
  for prefix in "${prefixes[@]}"; do
    for folder in "${Torch_DIR:-}" "$prefix"{/share,/lib,}/cmake/Torch "$prefix/Torch"; do
      if [[ -f $folder/TorchConfig.cmake ]]; then
        torch_dir=$folder
        return
      fi
    done
  done
}

is_installed() {
  local package=$1 command=$2
  if [[ $command != - ]] && command -v "$command" >/dev/null; then return; fi
  dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed'
}

# Installs those of the packages that are missing.
install_missing() {
  local line package command reason log=$root/build/install.log missing=() as_root=()
  if [[ -n ${SKIP_INSTALL:-} ]]; then return; fi

  for line in "$@"; do
    read -r package command reason <<<"$line"
    if is_installed "$package" "$command"; then continue; fi
    if ((${#missing[@]} == 0)); then say "Installing what is missing"; fi
    printf '   %-22s %s\n' "$package" "$reason"
    missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then return; fi

  command -v apt-get >/dev/null || die "this machine has no apt-get. Install the above by other" \
    "means (LibTorch: set LIBTORCH to its folder), then run again with SKIP_INSTALL=1."
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "neither root nor sudo. Let the administrator run" \
      "'apt-get install ${missing[*]}'."
    as_root=(sudo)
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -y)
  mkdir -p "$root/build"
  {
    "${as_root[@]}" update && "${as_root[@]}" install --no-install-recommends "${missing[@]}"
  } >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    die "apt-get could not install the above; all it said is in $log. What this system does not" \
      "have, install by other means (LibTorch: set LIBTORCH to its folder), then run again" \
      "with SKIP_INSTALL=1."
  }
}

# One compiler per core, as far as memory goes: each may take 2 GB.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable/ { print int($2 / 2097152) }' /proc/meminfo 2>/dev/null)
  if ((${memory:-cores} < cores)); then cores=$((memory > 1 ? memory : 1)); fi
  echo "$cores"
}

# configure_and_build [TARGET...] -- [CMAKE ARGUMENT...]
configure_and_build() {
  local targets=()
  while [[ $1 != -- ]]; do
    targets+=(--target "$1")
    shift
  done
  shift

  # Without Torch_DIR in its cache CMake looks anew.
  local torch=(-U Torch_DIR)
  if [[ -n $torch_dir ]]; then torch=("-DTorch_DIR=$torch_dir"); fi

  local python=()
  if [[ -n ${PYTHON:-} ]]; then python=("-DPython3_EXECUTABLE=$PYTHON"); fi

  say "Configuring $build ($build_type)"
  # shellcheck disable=SC2086  # CMAKE_ARGS holds several arguments
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE="$build_type" "${torch[@]}" \
    "${python[@]}" "$@" \
    ${CMAKE_ARGS:-}
  say "Building with $(jobs) jobs; the first time LibTorch's headers take a few minutes"
  cmake --build "$build" --parallel "$(jobs)" "${targets[@]}"
}

find_torch
if [[ -n $torch_dir ]]; then
  torch_packages=()
  say "LibTorch: $torch_dir"
fi
