#!/usr/bin/env bash
# Checks that the program compiles for macOS, builds it for Windows and tries that under Wine: no part of CI has either system. On
# Debian, as root; ten minutes the first time.
#
#   tools/systems.sh
#
# Debian's newer Rust brings the source of the standard library, which is built for each system; only a nightly cargo may do
# that, so RUSTC_BOOTSTRAP is set. Results land in target/systems.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

apt-get update -qq
apt-get install -y -qq --no-install-recommends \
  rustc-web cargo-web rust-web-src g++-mingw-w64-x86-64-win32 wine wine64 xvfb xauth mesa-vulkan-drivers >/dev/null

built=$PWD/target/systems
of_debian() {
  env -u RUSTUP_TOOLCHAIN -u RUSTFLAGS PATH=/usr/bin:/bin RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$built" CARGO_PROFILE_DEV_DEBUG=0 \
    cargo "$1" --locked -Z build-std=std,panic_unwind --bin headstart --target "$2"
}

echo "=== compile for macOS"
# Nothing is linked: C that a dependency has is taken for compiled.
CC_aarch64_apple_darwin=true AR_aarch64_apple_darwin=true of_debian check aarch64-apple-darwin

echo "=== build for Windows"
of_debian build x86_64-pc-windows-gnu

echo "=== try it under Wine"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$built/x86_64-pc-windows-gnu/debug/headstart.exe" "$folder"
# A library that Windows has and Wine 8 has not.
cat >"$folder/random.c" <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T n) { return SystemFunction036(bytes, (ULONG)n); }
C
x86_64-w64-mingw32-gcc -shared -o "$folder/bcryptprimitives.dll" "$folder/random.c" -ladvapi32
cd "$folder"
export WINEPREFIX=$folder/wine WINEDEBUG=-all
# Wine reaches Vulkan through a display.
headstart() { xvfb-run -a wine ./headstart.exe "$@"; }
headstart adapters
headstart run -a cpu -n 16 -p 'The old' --temp 0
# It says whether the numbers are right.
headstart bench -a 0 -p 16 -n 8 -r 1 --tune off
