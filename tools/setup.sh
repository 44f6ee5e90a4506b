#!/usr/bin/env bash
# Installs what building the page and running the tests need, and nothing that is there already.
#
#   tools/setup.sh [native|web]      one half, or (none) both
#
# native: Vulkan's loader and Mesa's software driver; Chromium, whose package brings SwiftShader, a second one.
# web:    the wasm32 target, wasm-bindgen, Trunk, wasm-opt, playwright-core, Firefox.
# Tools that are compiled here land in ${HEADSTART_TOOLS:-~/.cache/headstart-tools}; source its env.sh to use them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools=${HEADSTART_TOOLS:-$HOME/.cache/headstart-tools}
trunk_version=0.22.1
trunk_needs_rustc=1.96.1
bindgen_version=$(sed -n 's/^wasm_bindgen *= *"\(.*\)"/\1/p' Trunk.toml)
part=${1:-all}
case $part in native | web | all) ;; *) echo "usage: tools/setup.sh [native|web]" >&2 && exit 2 ;; esac

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2 && exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
any_file() { compgen -G "$1" >/dev/null; }
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -1)" = "$2" ]; } # at_least FOUND WANTED

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

web_packages() {
  local wanted=()
  have node && have npm || wanted+=(nodejs npm)
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
  # Only nightly cargo may build a std, hence RUSTC_BOOTSTRAP; the bitcode is what link-time optimization reads.
  (cd "$seed" && env -u RUSTUP_TOOLCHAIN PATH="$root/bin:/usr/bin:/bin" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$seed/target" \
    RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=$(readlink -f /usr/lib/rustlib/src/rust)=/rustc/$commit" \
    cargo build --release -Z build-std=std,panic_abort,test --target wasm32-unknown-unknown) >"$tools/log/std.log" 2>&1 ||
    { tail -20 "$tools/log/std.log" >&2 && fail "building the standard library failed (log above)"; }
  cp "$seed"/target/wasm32-unknown-unknown/release/deps/lib*.rlib "$std/"
  rm -rf "$std"/libseed-*.rlib "$seed"
  echo "$commit" >"$std/.rustc-commit"
}

# Compiles a tool fast rather than for speed: it runs for a second or two, link-time optimization would take minutes.
cargo_install() { # cargo_install TOOLCHAIN-OR-EMPTY PACKAGE ARGS...
  local toolchain=$1 package=$2
  shift 2
  say "cargo install $package (minutes)"
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo ${toolchain:+"$toolchain"} install --quiet "$package" --root "$tools" "$@" >"$tools/log/$package.log" 2>&1 ||
    { tail -20 "$tools/log/$package.log" >&2 && fail "cargo install $package failed (log above)"; }
}

rustc_release() { rustc ${1:+"$1"} --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'; }

install_trunk() {
  local toolchain
  for toolchain in "" +nightly; do
    if at_least "$(rustc_release "$toolchain")" "$trunk_needs_rustc"; then
      cargo_install "$toolchain" trunk --version "$trunk_version" --locked --no-default-features --features rustls
      return
    fi
  done
  fail "Trunk $trunk_version wants rustc $trunk_needs_rustc, found $(rustc_release ""): run 'rustup update stable'"
}

install_web_tools() {
  local waiting=() pid
  # Without --locked: registries' mirrors may lag behind what a tool's lock file names.
  [ "$("$tools/bin/wasm-bindgen" --version 2>/dev/null)" = "wasm-bindgen $bindgen_version" ] ||
    { cargo_install "" wasm-bindgen-cli --version "$bindgen_version" --bin wasm-bindgen & waiting+=($!); }
  [ "$("$tools/bin/trunk" --version 2>/dev/null)" = "trunk $trunk_version" ] || { install_trunk & waiting+=($!); }
  local npm=$tools/npm
  if ! cmp -s tools/browser/package-lock.json "$npm/node_modules/.lock-file-of-this"; then
    say "npm ci (wasm-opt, playwright-core)"
    mkdir -p "$npm" && cp tools/browser/package.json tools/browser/package-lock.json "$npm/"
    npm ci --prefix "$npm" --no-audit --no-fund --loglevel=error >"$tools/log/npm.log" 2>&1 ||
      { cat "$tools/log/npm.log" >&2 && fail "npm ci failed (log above)"; }
    cp tools/browser/package-lock.json "$npm/node_modules/.lock-file-of-this"
  fi
  ln -sfn "$npm/node_modules" tools/browser/node_modules
  for pid in "${waiting[@]}"; do wait "$pid" || exit 1; done
}

mkdir -p "$tools/log"
# shellcheck disable=SC2046  # the lists are words
[ "$part" = web ] || apt_install $(native_packages)
[ "$part" = native ] && exit 0

apt_install $(native_packages) $(web_packages)
toolchain_path=
if ! has_wasm_target; then
  debian_wasm_toolchain "$tools/wasm-toolchain"
  toolchain_path=$tools/wasm-toolchain/bin:
fi
cat >"$tools/env.sh" <<END
export PATH="$toolchain_path$tools/bin:$tools/npm/node_modules/.bin:\$PATH"
END
install_web_tools
say "to use the tools: source $tools/env.sh"
