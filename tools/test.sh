#!/usr/bin/env bash
# Installs what the tests need, and runs them; stops at the first step that fails, and says which.
#
#   tools/test.sh [lint|native|llama|browser]...      those parts, or (none) all
#
# lint:    format, clippy, the fuzz targets compile.
# native:  cargo's tests on Mesa's lavapipe and on SwiftShader. To try your own GPU: VK_ICD_FILENAMES=its_icd.json.
# llama:   what the program writes and computes, against llama.cpp; says so and goes on where that cannot be installed.
# browser: clippy for wasm32, the page's build (and that Trunk, where there is one, builds the same), and its tests in
#          Chromium and Firefox.
# What llama and browser begin with (downloads, and what the compiler does for the page, which keeps one core busy) is done in the
# background where another part comes before them, and shown in its place.
# Native builds are of cargo's dev profile, the page's of `web`: so clippy shares macros and build scripts with them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

parts=("$@")
[ $# -gt 0 ] || parts=(lint native llama browser)
for part in "${parts[@]}"; do
  case $part in lint | native | llama | browser) ;; *) echo "usage: tools/test.sh [lint|native|llama|browser]..." >&2 && exit 2 ;; esac
done

tools=${HEADSTART_TOOLS:-$HOME/.cache/headstart-tools}
target=${CARGO_TARGET_DIR:-target}
scratch=$(mktemp -d)
n_passed=0
n_failed=0
has_texts=no
# What is to be done ahead, and the process that does it.
commands_ahead=()
ahead=

# Whatever happens, the last line says how it went.
finish() {
  local code=$?
  # What it is at goes on to its end: nobody breaks off an installation.
  [ -z "$ahead" ] || ! kill "$ahead" 2>/dev/null || echo "an installation, or the page's build, goes on in the background"
  rm -rf "$scratch"
  [ "$code" = 0 ] || [ "$n_failed" -gt 0 ] || n_failed=1
  echo "all of it took $SECONDS s"
  echo "$n_passed passed, $n_failed failed"
}
trap finish EXIT

# Seconds of processor time that all commands so far have used. The shell tells its own in a shell of its own.
cpu_s() {
  times >"$scratch/times"
  cpu=$(sed -n '2s/[ms]/ /gp' "$scratch/times" | awk '{ print int($1 * 60 + $2 + $3 * 60 + $4) }')
}

# step HEADING COMMAND...
step() {
  local heading=$1 start=$SECONDS cpu before
  shift
  echo "=== $heading"
  cpu_s && before=$cpu
  "$@" || { echo "FAILED: $heading (after $((SECONDS - start)) s)" && exit 1; }
  cpu_s && echo "--- $((SECONDS - start)) s, $((cpu - before)) s of processor time"
}

# Begins what is to be done ahead, one after the other, since apt serves only one. For root alone: of others sudo asks something.
go_ahead() {
  [ "$(id -u)" = 0 ] && [ ${#commands_ahead[@]} -gt 0 ] && [ -z "$ahead" ] || return 0
  for command in "${commands_ahead[@]}"; do
    if "$command" >"$scratch/$command" 2>&1; then mv "$scratch/$command"{,.done}; else mv "$scratch/$command"{,.failed}; fi
  done &
  ahead=$!
}

# What a command says and how it ends, whether it was begun ahead or is run now.
outcome() {
  local log=$scratch/$1
  [[ -n $ahead && " ${commands_ahead[*]} " == *" $1 "* ]] || { "$1"; return; }
  until [ -e "$log.done" ] || [ -e "$log.failed" ]; do
    kill -0 "$ahead" 2>/dev/null || break
    sleep 1
  done
  cat "$log".* && [ -e "$log.done" ]
}

# Adds up the lines with which cargo and the browser tests end: "… N passed … N failed …". No such line is a failure.
counted() {
  local code=0 counts passed failed
  "$@" 2>&1 | tee "$scratch/counted" || code=1
  counts=$(sed -n 's/^\(test result: [a-zA-Z]*\. \)\{0,1\}\([0-9]*\) passed[;,] \([0-9]*\) failed.*/\2 \3/p' "$scratch/counted")
  [ -n "$counts" ] || return 1
  while read -r passed failed; do
    n_passed=$((n_passed + passed))
    n_failed=$((n_failed + failed))
  done <<<"$counts"
  [ "$code" = 0 ] && [ "$n_failed" = 0 ]
}

# Vulkan's software drivers, joined by colons: the same two on every machine.
software_drivers() {
  { compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json'; compgen -G '/usr/lib/chromium*/vk_swiftshader_icd.json'; } | paste -sd:
}

# The library's own tests compute little: unoptimised they are compiled in a quarter of the time. Clippy compiles the examples.
native_tests() {
  local code=0
  mkdir -p "$scratch/run" && chmod 700 "$scratch/run"
  export VK_ICD_FILENAMES=${VK_ICD_FILENAMES:-$(software_drivers)} XDG_RUNTIME_DIR=$scratch/run
  # At times one waits for what another computes on its adapter.
  export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) + 1))}
  cargo test --locked --no-fail-fast --lib --config 'profile.dev.package.headstart.opt-level = 0' || code=1
  cargo test --locked --no-fail-fast --test '*' || code=1
  cargo test --locked --doc || code=1
  return $code
}

# Runs a command with the page's tools on PATH.
with_web_tools() {
  # shellcheck disable=SC1091  # tools/setup.sh writes it
  (. "$tools/env.sh" && "$@")
}

# What llama.cpp tells of itself is shown where it fails.
against_llama_cpp() {
  "$tools/llama/bin/python" tools/llama_cpp.py "$target/debug/headstart" 2>"$scratch/llama.log" ||
    { tail -20 "$scratch/llama.log" >&2 && return 1; }
}

# The page once more, by Trunk: the same bytes, file by file.
same_by_trunk() {
  TRUNK_SKIP_VERSION_CHECK=true with_web_tools trunk build --release --dist "$scratch/dist" &&
    diff -r -x .trunk-lock dist "$scratch/dist"
}

install_llama_cpp() { bash tools/setup.sh llama; }
install_browsers() { bash tools/setup.sh browser; }
# Checking alone may begin from what is known, where the page's whole-program optimisation may not.
check_page() { CARGO_PROFILE_WEB_INCREMENTAL=true with_web_tools cargo clippy --profile web --locked --target wasm32-unknown-unknown -- -D warnings; }
build_page() { with_web_tools cargo page; }

lint() {
  step "set up, native" bash tools/setup.sh native
  go_ahead
  step "format" cargo fmt --check
  step "clippy, native" cargo clippy --locked --all-targets -- -D warnings
  # What is only checked is never linked: the fuzzer's own C++ need not be compiled.
  [ ! -d fuzz ] || step "fuzz targets" env CUSTOM_LIBFUZZER_PATH=/dev/null cargo check --manifest-path fuzz/Cargo.toml --target-dir "$target"
}

native() {
  step "set up, native" bash tools/setup.sh native
  go_ahead
  step "cargo test" counted native_tests
  has_texts=yes
}

# llama.cpp is another's program: no wheel for a machine is no fault of this one.
llama() {
  outcome install_llama_cpp || { echo "=== against llama.cpp: SKIPPED, since it is not installed" && return 0; }
  go_ahead
  step "the program" cargo build --locked
  step "against llama.cpp" counted against_llama_cpp
}

browser() {
  step "set up, browsers" outcome install_browsers
  step "clippy, wasm32" outcome check_page
  step "clippy, the page's builder" with_web_tools cargo clippy --manifest-path tools/page/Cargo.toml --all-targets -- -D warnings
  step "tests of the page's builder" counted with_web_tools cargo test --manifest-path tools/page/Cargo.toml
  step "page" outcome build_page
  ! command -v trunk >/dev/null || step "page, by Trunk" same_by_trunk
  # The native part has left them in out/wgsl.
  [ "$has_texts" = yes ] || step "texts of the kernels" cargo test --locked --test main kernels::composed
  step "browser tests" counted node tools/browser/test.mjs
}

for part in "${parts[@]:1}"; do
  case $part in llama) commands_ahead+=(install_llama_cpp) ;; browser) commands_ahead+=(install_browsers check_page build_page) ;; esac
done
for part in "${parts[@]}"; do "$part"; done
