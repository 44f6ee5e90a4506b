#!/usr/bin/env bash
# What AMD's GPUs would run, on a machine without one: compiles every kernel with Mesa's driver, which is told that there is such a GPU,
# and prints of each text how long its longest loop is, and what it takes. Nothing runs. On Debian, as root, after tools/setup.sh native.
#
#   tools/amd.sh [GPU]       vega10, renoir, navi10, navi21, navi31 (if none is said), gfx1150, … as Mesa's drm-shim names them
#
# Columns: instructions on vectors and reads of memory in the longest loop, instructions in all, vector registers, waves that fit on a
# SIMD, and bytes of memory for what did not fit into registers. It fails where any text that adds up by subgroups has such bytes. Loops are 0
# where the LLVM at hand cannot read the GPU's code (gfx1150 on Debian 12).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

gpu=${1:-navi31}
mesa=$PWD/target/amd
mkdir -p "$mesa"
mesa=$(realpath "$mesa")

# The driver for such a GPU and the shim that passes for its kernel driver; unpacked here, so that no package of the system changes.
if [ ! -e "$mesa/unpacked" ]; then
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $codename" | head -1)
  [ -n "$mirror" ] || { echo "apt knows no packages of $codename: run apt-get update" >&2 && exit 1; }
  for suite in "$codename" "$codename-backports"; do echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"; done >"$mesa/sources.list"
  printf 'Package: *\nPin: release n=%s-backports\nPin-Priority: 600\n' "$codename" >"$mesa/preferences"
  mkdir -p "$mesa/lists/partial"
  of_apt() {
    apt-get -qq -o "Dir::Etc::SourceList=$mesa/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::Etc::Preferences=$mesa/preferences" \
      -o "Dir::State::Lists=$mesa/lists" -o APT::Sandbox::User=root "$@"
  }
  of_apt update
  (cd "$mesa" && of_apt download mesa-vulkan-drivers mesa-drm-shim libdrm2 libdrm-amdgpu1)
  for package in "$mesa"/*.deb; do dpkg -x "$package" "$mesa"; done
  touch "$mesa/unpacked"
fi
libraries=$(dirname "$(compgen -G "$mesa/usr/lib/*/libvulkan_radeon.so")")
sed "s#\"library_path\": *\"[^\"]*\"#\"library_path\": \"$libraries/libvulkan_radeon.so\"#" "$mesa"/usr/share/vulkan/icd.d/radeon_icd*.json >"$mesa/icd.json"

cargo build --release --locked --example compiled
compiled=${CARGO_TARGET_DIR:-target}/release/examples/compiled
env AMDGPU_GPU_ID="$gpu" RADV_DEBUG=asm,shaderstats,nocache VK_ICD_FILENAMES="$mesa/icd.json" LD_LIBRARY_PATH="$libraries" \
  LD_PRELOAD="$libraries/libamdgpu_noop_drm_shim.so" "$compiled" 2>&1 | awk '
  function show() {
    if (name == "") return
    printf "%-28s %-10s %7d %6d %9d %6d %6d %7d\n", name, format, loop_alu, loop_reads, all, registers, waves, scratch
    if (scratch > 0 && subgroups) bad = bad " " name
    n += 1
  }
  /^Error|panicked|error while loading|ERROR:/ { print; bad = bad " (broken off)" }
  /^adapter / { print; printf "%-28s %-10s %7s %6s %9s %6s %6s %7s\n", "variant", "format", "loop", "reads", "all", "regs", "waves", "memory" }
  /^text / { queue[++last] = $2 " " $3 " " $4 }
  # The first ones are not ours.
  /^disasm:/ {
    show(); name = ""
    if (first < last) { split(queue[++first], words, " "); name = words[1]; format = words[2] == "-" ? "" : words[2]; subgroups = words[3] == "subgroups" }
    delete alu_at; delete reads_at
    alu = reads = loop_alu = loop_reads = all = registers = waves = scratch = 0
  }
  /^BB[0-9]+:/ { label = substr($1, 1, index($1, ":") - 1); alu_at[label] = alu; reads_at[label] = reads }
  /^\tv_/ { alu += 1 }
  /^\t(buffer|global)_load/ { reads += 1 }
  /^\ts_c?branch/ && ($2 in alu_at) && reads > reads_at[$2] && alu - alu_at[$2] > loop_alu {
    loop_alu = alu - alu_at[$2]; loop_reads = reads - reads_at[$2]
  }
  /^Instructions:/ { all = $2 }
  /^VGPRs:/ { registers = $2 }
  /^Subgroups per SIMD:/ { waves = $4 }
  /^Scratch size:/ { scratch = $3 }
  END {
    show()
    print n + 0 " texts"
    if (n == 0 || first != last) { print "compiled " n + 0 " of " last + 0 ": names may stand beside others\047 figures"; exit 1 }
    if (bad != "") { print "refused, or too large for the registers:" bad; exit 1 }
  }'
