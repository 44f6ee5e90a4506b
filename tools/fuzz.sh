#!/usr/bin/env bash
# Fuzzes every reader of what comes from outside: each target of fuzz/ in turn, for an equal share of the time.
#
#   tools/fuzz.sh SECONDS [TARGET]...      those targets, or (none) all
#
# Ends with a table of executions and covered edges, and with code 1 where one was ended by its input, which then lies in
# fuzz/artifacts. Seeds are in fuzz/seeds; what is found beside them is kept in fuzz/corpus, which git ignores.
#
# Needs no nightly: libFuzzer comes as a crate, and stable rustc counts edges where it is asked by LLVM's own options. That is
# done for our code alone, so all of the crates that it uses are built as for the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { echo "usage: tools/fuzz.sh SECONDS [TARGET]..." >&2 && exit 2; }
[[ ${1:-} =~ ^[0-9]+$ ]] || usage
seconds=$1
shift
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(basename -s .rs fuzz/fuzz_targets/*.rs)
for target in "${targets[@]}"; do [ -f "fuzz/fuzz_targets/$target.rs" ] || usage; done

folder=${CARGO_TARGET_DIR:-target}/fuzz
mkdir -p "$folder" fuzz/artifacts
wrapper=$(realpath "$folder")/rustc-counting-edges
cat >"$wrapper" <<'END'
#!/bin/sh
rustc=$1
shift
case " $* " in
*" --crate-name headstart "*"--crate-type lib"* | *" fuzz_targets/"*)
  set -- "$@" -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
  ;;
esac
exec "$rustc" "$@"
END
chmod +x "$wrapper"
bins=()
for target in "${targets[@]}"; do bins+=(--bin "$target"); done
RUSTC_WRAPPER=$wrapper cargo build --locked --manifest-path fuzz/Cargo.toml --target-dir "$folder" "${bins[@]}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
each=$((seconds / ${#targets[@]}))
[ "$each" -gt 0 ] || each=1
code=0
rows=()
for target in "${targets[@]}"; do
  echo "fuzz: $target for $each s"
  mkdir -p "fuzz/corpus/$target"
  how=sound
  "$folder/debug/$target" -max_total_time="$each" -timeout=20 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 -verbosity=1 \
    -artifact_prefix="fuzz/artifacts/$target-" "fuzz/corpus/$target" "fuzz/seeds/$target" >"$log" 2>&1 || {
    how="ENDED by an input, see fuzz/artifacts" code=1
    grep -v '^#' "$log" | tail -30
  }
  n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
  rows+=("$(printf '%-12s %12s %8s  %s' "$target" "${n:-?}" "${edges:-?}" "$how")")
done
printf '%-12s %12s %8s\n' target executions edges
printf '%s\n' "${rows[@]}"
exit "$code"
