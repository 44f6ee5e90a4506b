#!/usr/bin/env bash
# Installs what the tests need, and runs them; stops at the first step that fails, and says which.
#
#   tools/test.sh [lint|native|browser]...      those parts, or (none) all
#
# lint:    format, clippy, the fuzz targets compile.
# native:  cargo's tests on Mesa's lavapipe and on SwiftShader. To try your own GPU: VK_ICD_FILENAMES=its_icd.json.
# browser: clippy for wasm32, the page's build, and its tests in Chromium and Firefox.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

parts=("$@")
[ $# -gt 0 ] || parts=(lint native browser)
for part in "${parts[@]}"; do
  case $part in lint | native | browser) ;; *) echo "usage: tools/test.sh [lint|native|browser]..." >&2 && exit 2 ;; esac
done

tools=${HEADSTART_TOOLS:-$HOME/.cache/headstart-tools}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n_passed=0

# step HEADING COMMAND...
step() {
  local heading=$1 start=$SECONDS
  shift
  echo "=== $heading"
  "$@" || { echo "FAILED: $heading (after $((SECONDS - start)) s)" && exit 1; }
  echo "--- $((SECONDS - start)) s"
}

# Adds up the lines with which cargo and the browser tests end: "… N passed …". No such line is a failure.
counted() {
  local counts
  "$@" 2>&1 | tee "$scratch/counted" || return 1
  counts=$(sed -n 's/^\(test result: ok\. \)\{0,1\}\([0-9]*\) passed[;,].*/\2/p' "$scratch/counted")
  [ -n "$counts" ] || return 1
  n_passed=$((n_passed + $(paste -sd+ <<<"$counts")))
}

# Vulkan's software drivers, joined by colons: the same two on every machine.
software_drivers() {
  { compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json'; compgen -G '/usr/lib/chromium*/vk_swiftshader_icd.json'; } | paste -sd:
}

native_tests() {
  mkdir -p "$scratch/run" && chmod 700 "$scratch/run"
  VK_ICD_FILENAMES=${VK_ICD_FILENAMES:-$(software_drivers)} XDG_RUNTIME_DIR=$scratch/run cargo test --release --locked
}

# Runs a command with the page's tools on PATH.
with_web_tools() {
  # shellcheck disable=SC1091  # tools/setup.sh writes it
  (. "$tools/env.sh" && "$@")
}

lint() {
  step "set up, native" bash tools/setup.sh native
  step "format" cargo fmt --check
  step "clippy, native" cargo clippy --release --locked --all-targets -- -D warnings
  [ ! -d fuzz ] || step "fuzz targets" cargo check --release --manifest-path fuzz/Cargo.toml --target-dir target
}

native() {
  step "set up, native" bash tools/setup.sh native
  step "cargo test" counted native_tests
}

browser() {
  step "set up, web" bash tools/setup.sh web
  step "clippy, wasm32" with_web_tools cargo clippy --release --locked --target wasm32-unknown-unknown -- -D warnings
  step "texts of the kernels" cargo test --release --locked --test kernels composed
  step "page" with_web_tools trunk build --release
  step "browser tests" counted node tools/browser/test.mjs
}

for part in "${parts[@]}"; do "$part"; done
echo "all of it took $SECONDS s"
echo "$n_passed passed, 0 failed"
