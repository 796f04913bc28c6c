#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Trains in several processes of this machine: bash examples/run_distributed.sh PROCESSES [OPTION...]
# Options go to each of them. Set DISTRIBUTED to the program, if it is not in build/release.
set -euo pipefail

ranks=${1:?how many processes}
shift
program=${DISTRIBUTED:-$(dirname "${BASH_SOURCE[0]}")/../build/release/examples/distributed}
if [[ ! -x $program ]]; then
  echo "run_distributed.sh: there is no $program: build the examples, with libgloo-dev installed" >&2
  exit 1
fi
port=${PORT:-$((20000 + RANDOM % 20000))}

processes=()
stop() { kill "${processes[@]}" 2>/dev/null || true; }  # one that is left would wait for the others
trap stop EXIT
trap 'exit 1' INT TERM
for ((rank = 0; rank < ranks; rank++)); do
  # Rank 0 speaks for all; of the others only errors are heard.
  if ((rank == 0)); then
    "$program" "$@" --rank "$rank" --ranks "$ranks" --port "$port" &
  else
    "$program" "$@" --rank "$rank" --ranks "$ranks" --port "$port" >/dev/null &
  fi
  processes+=($!)
done
status=0
for process in "${processes[@]}"; do
  if ! wait "$process"; then
    status=1
    stop
  fi
done
exit "$status"
