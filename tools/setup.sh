#!/usr/bin/env bash
# Installs what building the page and running the tests need, and nothing that is there already.
#
#   tools/setup.sh [page|native|browser|llama]...      those parts, or (none) all but llama
#
# page:    what `cargo page` takes: the wasm32 target, wasm-opt, the binder of tools/page. A minute or two, no browser;
#          as root only where Node.js is missing, or a Rust that knows the target.
# native:  Vulkan's loader and Mesa's software driver; Chromium, whose package brings SwiftShader, a second one.
# browser: `page` and `native`, and Firefox with a font.
# llama:   llama.cpp from PyPI, in a Python of its own: what tools/llama_cpp.py holds the program against.
# Tools land in ${HEADSTART_TOOLS:-~/.cache/headstart-tools}; `cargo page` finds them, for other uses source its env.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=${HEADSTART_TOOLS:-$HOME/.cache/headstart-tools}
parts=("$@")
[ $# -gt 0 ] || parts=(browser)
for part in "${parts[@]}"; do
  case $part in page | native | browser | llama) ;; *) echo "usage: tools/setup.sh [page|native|browser|llama]..." >&2 && exit 2 ;; esac
done

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2 && exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
any_file() { compgen -G "$1" >/dev/null; }

# Installs Debian packages; elsewhere says which ones a person has to find.
apt_install() {
  [ $# -gt 0 ] || return 0
  have apt-get || fail "missing: $* (Debian's names). There is no apt-get here: please install them by your system's means"
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    have sudo || fail "missing: $*. Please run as root: apt-get install --no-install-recommends $*"
    as_root=(sudo)
  fi
  say "apt-get install $*"
  local quiet=(-qq -o=Dpkg::Use-Pty=0 -o=DPkg::Lock::Timeout=600)
  { "${as_root[@]}" apt-get update "${quiet[@]}" &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y "${quiet[@]}" --no-install-recommends "$@"; } \
    >"$tools/log/apt.log" 2>&1 || { tail -20 "$tools/log/apt.log" >&2 && fail "apt-get failed (log above)"; }
}

native_packages() {
  local wanted=()
  have cc && have c++ || wanted+=(g++ libc6-dev)
  any_file '/usr/lib*/libvulkan.so.1' || any_file '/usr/lib/*/libvulkan.so.1' || wanted+=(libvulkan1)
  any_file '/usr/share/vulkan/icd.d/lvp_icd*.json' || wanted+=(mesa-vulkan-drivers)
  have chromium || wanted+=(chromium)
  echo "${wanted[@]}"
}

page_packages() {
  local wanted=()
  have cc || wanted+=(gcc libc6-dev)
  have node && have npm || wanted+=(nodejs npm)
  echo "${wanted[@]}"
}

browser_packages() {
  local wanted=()
  have firefox-esr || have firefox || wanted+=(firefox-esr)
  any_file '/usr/share/fonts/truetype/dejavu/*.ttf' || wanted+=(fonts-dejavu-core)
  echo "${wanted[@]}"
}

# True where some toolchain on PATH already compiles for the target; rustup is asked to fetch it where it can.
has_wasm_target() {
  [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" ] && return 0
  have rustup && rustup target add wasm32-unknown-unknown >/dev/null 2>&1
}

# Debian's rustc-web knows the target but ships no std for it: build that once, into a sysroot of our own which borrows
# everything else from /usr. It wins over rustup's toolchain by coming first on PATH.
debian_wasm_toolchain() {
  local root=$1 wanted=()
  [ -x /usr/bin/rustc ] && [ -d /usr/lib/rustlib/src/rust/library/vendor ] || wanted+=(rustc-web cargo-web rust-web-src)
  [ -x /usr/bin/cargo-clippy ] || wanted+=(rust-web-clippy)
  local llvm
  apt_install "${wanted[@]}"
  llvm=$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
  [ -x "/usr/lib/llvm-$llvm/bin/lld" ] || apt_install "lld-$llvm"

  local commit host std=$root/lib/rustlib/wasm32-unknown-unknown/lib
  commit=$(/usr/bin/rustc -vV | sed -n 's/^commit-hash: //p')
  host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
  [ "$(cat "$std/.rustc-commit" 2>/dev/null)" = "$commit" ] && return 0

  say "building the standard library for wasm32 (about a minute)"
  rm -rf "$root" && mkdir -p "$root/bin" "$root/lib/rustlib/$host/bin" "$std"
  ln -s "/usr/lib/rustlib/$host/lib" "$root/lib/rustlib/$host/lib"
  ln -s "/usr/lib/llvm-$llvm/bin/lld" "$root/lib/rustlib/$host/bin/rust-lld"
  ln -s /usr/lib/rustlib/src "$root/lib/rustlib/src"
  ln -s /usr/bin/cargo "$root/bin/cargo"
  printf '#!/bin/sh\nexec /usr/bin/rustc --sysroot "%s" "$@"\n' "$root" >"$root/bin/rustc"
  printf '#!/bin/sh\nSYSROOT="%s" exec /usr/bin/cargo-clippy "$@"\n' "$root" >"$root/bin/cargo-clippy"
  chmod +x "$root"/bin/*

  local seed
  seed=$(mktemp -d)
  mkdir "$seed/src" && : >"$seed/src/lib.rs"
  printf '[package]\nname = "seed"\nedition = "2024"\n[workspace]\n[profile.release]\ncodegen-units = 1\n' >"$seed/Cargo.toml"
  # Only nightly cargo may build a std, so RUSTC_BOOTSTRAP is set; the bitcode is what link-time optimization reads.
  (cd "$seed" && env -u RUSTUP_TOOLCHAIN PATH="$root/bin:/usr/bin:/bin" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$seed/target" \
    RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=$(readlink -f /usr/lib/rustlib/src/rust)=/rustc/$commit" \
    cargo build --release -Z build-std=std,panic_abort,test --target wasm32-unknown-unknown) >"$tools/log/std.log" 2>&1 ||
    { tail -20 "$tools/log/std.log" >&2 && fail "building the standard library failed (log above)"; }
  cp "$seed"/target/wasm32-unknown-unknown/release/deps/lib*.rlib "$std/"
  rm -rf "$std"/libseed-*.rlib "$seed"
  echo "$commit" >"$std/.rustc-commit"
}

# wasm-opt, and the driver of the browser tests.
npm_packages() {
  local npm=$tools/npm
  if ! cmp -s tools/browser/package-lock.json "$npm/node_modules/.lock-file-of-this"; then
    say "npm ci (wasm-opt, playwright-core)"
    mkdir -p "$npm" && cp tools/browser/package.json tools/browser/package-lock.json "$npm/"
    npm ci --prefix "$npm" --no-audit --no-fund --loglevel=error >"$tools/log/npm.log" 2>&1 ||
      { cat "$tools/log/npm.log" >&2 && fail "npm ci failed (log above)"; }
    cp tools/browser/package-lock.json "$npm/node_modules/.lock-file-of-this"
  fi
  ln -sfn "$npm/node_modules" tools/browser/node_modules
}

page() {
  local toolchain_path=
  # shellcheck disable=SC2046  # the lists are words
  apt_install $(page_packages)
  if ! has_wasm_target; then
    debian_wasm_toolchain "$tools/wasm-toolchain"
    toolchain_path=$tools/wasm-toolchain/bin:
  fi
  echo "export PATH=\"$toolchain_path$tools/npm/node_modules/.bin:\$PATH\"" >"$tools/env.sh"
  npm_packages
  say "the binder of tools/page"
  PATH=$toolchain_path$PATH cargo build --quiet --manifest-path tools/page/Cargo.toml
  say "ready: cargo page"
}

# shellcheck disable=SC2046  # the lists are words
native() { apt_install $(native_packages); }

browser() {
  # shellcheck disable=SC2046  # the lists are words
  apt_install $(native_packages) $(page_packages) $(browser_packages)
  page
}

llama() {
  local python=$tools/llama/bin/python
  "$python" -c 'import numpy, safetensors, xllamacpp' 2>/dev/null && return 0
  have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv
  say "llama.cpp (PyPI xllamacpp)"
  { python3 -m venv --clear "$tools/llama" && "$python" -m pip install xllamacpp==2026.9.11063 numpy safetensors; } \
    >"$tools/log/llama.log" 2>&1 || { tail -5 "$tools/log/llama.log" >&2 && fail "llama.cpp was not installed (log above)"; }
}

mkdir -p "$tools/log"
for part in "${parts[@]}"; do "$part"; done
