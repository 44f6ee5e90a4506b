#!/usr/bin/env bash
# Works for a long time in one process: loads, writes, stops in the midst, goes on, changes the model, over and over, on
# every adapter; fails where memory grows, or a text is not the one before.
#
#   tools/soak.sh MINUTES
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ ${1:-} =~ ^[0-9]+$ ]] || { echo "usage: tools/soak.sh MINUTES" >&2 && exit 2; }
HEADSTART_SOAK_MINUTES=$1 cargo test --locked --test main -- --ignored --exact --nocapture soak::memory_stays_flat
