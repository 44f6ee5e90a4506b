#!/usr/bin/env bash
# What a GPU would run, on a machine without one: compiles kernels with Mesa's driver, which is told that there is such a GPU,
# and prints of each text how long its longest loop is, and what it takes. Nothing runs. On Debian, as root.
#
#   tools/drivers.sh amd [GPU [KERNEL…]]       vega10, renoir, navi21, navi31 (if none is said), gfx1150, …
#   tools/drivers.sh nvidia [GPU [KERNEL…]]    170 (RTX 30), 190 (RTX 40, if none is said), 1b0 (RTX 50); all kernels take some ten minutes
#
# GPUs have the names that Mesa's drm-shim gives them; kernels have theirs of src/kernels. NVIDIA's own driver has another compiler than
# Mesa's, which shows what the hardware has instructions for.
#
# Columns: instructions in the longest loop that reads memory (of AMD's, those on vectors), reads in it, instructions in all, registers,
# waves (warps) that fit on a SIMD (an SM), and bytes, or of NVIDIA's words, of memory for what did not fit into registers. It fails
# where any text that adds up by subgroups has such.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

vendor=${1:-}
case $vendor in
  amd) gpu=${2:-navi31} driver=radeon shim=amdgpu settings=(AMDGPU_GPU_ID="$gpu" RADV_DEBUG=asm,shaderstats,nocache) ;;
  nvidia) gpu=${2:-190} driver=nouveau shim=nouveau settings=(NOUVEAU_CHIPSET="$gpu" NAK_DEBUG=print NVK_I_WANT_A_BROKEN_VULKAN_DRIVER=1) ;;
  *) echo "usage: tools/drivers.sh amd|nvidia [GPU [KERNEL…]]" >&2 && exit 2 ;;
esac
kernels=("${@:3}")

# The drivers, the shims that pass for their kernel drivers, and all that they stand on, from Debian's unstable; unpacked here, so that
# nothing of the system changes.
mkdir -p target/drivers
root=$(realpath target/drivers)
if [ ! -e "$root/unpacked" ]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)
  [ -n "$mirror" ] || { echo "apt knows no packages: run apt-get update" >&2 && exit 1; }
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$root/sources.list"
  mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$root/packages"
  of_sid=(-o "Dir::Etc::SourceList=$root/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::status=/dev/null
    -o "Dir::State::Lists=$root/lists" -o "Dir::Cache=$root/cache" -o APT::Sandbox::User=root)
  apt-get -qq "${of_sid[@]}" update
  apt-cache "${of_sid[@]}" depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances} \
    mesa-vulkan-drivers mesa-drm-shim libvulkan1 | grep '^[a-z]' | grep -v '^\(debconf\|perl\|dpkg\)' | sort -u >"$root/wanted"
  (cd "$root/packages" && xargs apt-get -qq "${of_sid[@]}" download <"$root/wanted")
  for package in "$root"/packages/*.deb; do dpkg -x "$package" "$root"; done
  touch "$root/unpacked"
fi
libraries=$(dirname "$(compgen -G "$root/usr/lib/*/libvulkan_$driver.so")")
sed "s#\"library_path\": *\"[^\"]*\"#\"library_path\": \"$libraries/libvulkan_$driver.so\"#" "$root"/usr/share/vulkan/icd.d/"$driver"_icd*.json >"$root/icd.json"

# A row for each text. Both readers keep the names that the program tells before the driver sees a text, and leave out the shaders that
# are not its own.
columns='
  function row(loop, reads, all, registers, waves, memory) {
    split(queue[++first], words, " ")
    printf "%-28s %-10s %6d %6d %6d %6d %6d %7d\n", words[1], words[2] == "-" ? "" : words[2], loop, reads, all, registers, waves, memory
    if (memory > 0 && words[3] == "subgroups") bad = bad " " words[1]
  }
  /^Error|panicked|error while loading|ERROR:/ { print; bad = bad " (broken off)" }
  /^adapter / { print; printf "%-28s %-10s %6s %6s %6s %6s %6s %7s\n", "variant", "format", "loop", "reads", "all", "regs", "waves", "memory" }
  /^text / { queue[++last] = $2 " " $3 " " $4 }
  END {
    print first + 0 " texts"
    if (first == 0 || first != last) { print "compiled " first + 0 " of " last + 0 ": names may stand beside others\047 figures"; exit 1 }
    if (bad != "") { print "refused, or too large for the registers:" bad; exit 1 }
  }'
amd='
  /^disasm:/ { delete alu_at; delete reads_at; alu = reads = loop = loop_reads = 0 }
  /^BB[0-9]+:/ { label = substr($1, 1, index($1, ":") - 1); alu_at[label] = alu; reads_at[label] = reads }
  /^\tv_/ { alu += 1 }
  /^\t(buffer|global)_load/ { reads += 1 }
  /^\ts_c?branch/ && ($2 in alu_at) && reads > reads_at[$2] && alu - alu_at[$2] > loop { loop = alu - alu_at[$2]; loop_reads = reads - reads_at[$2] }
  /^VGPRs:/ { registers = $2 }
  /^Scratch size:/ { memory = $3 }
  /^Subgroups per SIMD:/ { waves = $4 }
  /^Instructions:/ && first < last { row(loop, loop_reads, $2, registers, waves, memory) }'
nvidia='
  # What a loop consists of: all blocks from which its last one is reached, up to its first. They need not stand together.
  function gather(block, from, i, n_before, before) {
    if (block in gathered) return
    gathered[block] = 1; long += n_in[block]; long_reads += reads_in[block]
    if (block == from) return
    n_before = split(before_of[block], before, /[^0-9]+/)
    for (i = 1; i <= n_before; i += 1) if (before[i] != "") gather(before[i] + 0, from)
  }
  /^shader:/ { is_own = last > 0 }
  /^internal: true/ { is_own = 0 }
  /^NAK IR after/ { is_final = /calc_instr_deps/; delete n_in; delete reads_in; delete before_of; delete ends; n_ends = 0; next }
  /^Stage:/ {
    is_final = loop = loop_reads = 0
    for (end = 1; end <= n_ends; end += 1) {
      split(ends[end], edge, " ")
      delete gathered; long = long_reads = 0
      gather(edge[1] + 0, edge[2] + 0)
      if (long_reads > 0 && long > loop) { loop = long; loop_reads = long_reads }
    }
  }
  is_final && /^block/ { at = $2 + 0; before_of[at] = substr($0, index($0, "[")); n_in[at] = reads_in[at] = 0; next }
  is_final && /^}/ {
    n_next = split($0, after, /[^0-9]+/)
    for (i = 1; i <= n_next; i += 1) if (after[i] != "" && after[i] + 0 <= at) ends[++n_ends] = at " " after[i]
    next
  }
  is_final && NF { n_in[at] += 1; if (/ ld\.global/) reads_in[at] += 1 }
  /^Instruction count:/ { all = $3 }
  /^Max warps/ { waves = $3 }
  /^Spills to mem:/ { memory = $4 }
  /^Num GPRs:/ { registers = $3 }
  /^SLM size:/ && is_own { row(loop, loop_reads, all, registers, waves, memory); is_own = 0 }'

cargo build --release --locked --example compiled
compiled=${CARGO_TARGET_DIR:-target}/release/examples/compiled
reader=$vendor
env "${settings[@]}" MESA_SHADER_CACHE_DIR="$root/shader_cache_of_none" MESA_SHADER_CACHE_DISABLE=true VK_ICD_FILENAMES="$root/icd.json" \
  LD_PRELOAD="$libraries/lib${shim}_noop_drm_shim.so" "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$compiled" "${kernels[@]}" \
  2>&1 | awk "$columns${!reader}"
