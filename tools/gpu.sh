#!/usr/bin/env bash
# Measures a machine with a GPU that can fetch nothing: with the program alone, in less than 8 minutes.
#
#   tools/gpu.sh [FOLDER]      reports, tables and the log go to FOLDER (default: gpu-results)
#
# It checks the adapter, writes models of random weights, tunes the kernels to each, checks it by samples, and times it, tuned
# and untuned. No more models are begun once the time is used up; what is left out is said.
#
#   HEADSTART=PATH     the program (default: beside this script's folder in target/release, or on PATH)
#   ADAPTER=0          the adapter, by its number or a part of its name
#   MODELS="A B"       synthetic names without "synthetic:" (default below)
#   MODEL_FOLDER=PATH  where the models are written; kept, and taken again, where it is given
#   TESTS="-p 512 -n 128 -d 0,4096"   as for bench, and for llama-bench
#   ROUNDS=3           how often each test counts
#   SECONDS_AT_MOST=450
#   LLAMA_BENCH=PATH   llama-bench, run on the same files in turns with this program; the table then has the ratio
set -euo pipefail

out=${1:-gpu-results}
program=${HEADSTART:-$(dirname "${BASH_SOURCE[0]}")/../target/release/headstart}
[ -x "$program" ] || program=$(command -v headstart) || { echo "gpu: no program; set HEADSTART=PATH" >&2 && exit 2; }
adapter=${ADAPTER:-0}
models=${MODELS:-llama-8b:format=q4_0 r1-distill-qwen-1.5b:format=q8_0 qwen3-30b-a3b:format=q4_k}
read -ra tests <<<"${TESTS:--p 512 -n 128 -d 0,4096}"
rounds=${ROUNDS:-3}
limit=${SECONDS_AT_MOST:-450}

mkdir -p "$out"
folder=${MODEL_FOLDER:-}
if [ -z "$folder" ]; then
  folder=$(mktemp -d "$out/models.XXXXXX")
  trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"
rows=$out/rows.tsv
: >"$rows"

say() { echo "gpu: $* ($SECONDS s)" | tee -a "$out/log.txt" >&2; }

# Runs the program; what it tells goes to the log.
headstart() { "$program" "$@" 2>>"$out/log.txt"; }

# Lines of JSON, one for each test, as rows: model, test, tokens per second, program.
rows_of() { # rows_of MODEL RATE_FIELD PROGRAM
  local line prompt new depth rate
  field() { sed -n "s/.*\"$1\": *\([-0-9.eE+]*\).*/\1/p" <<<"$line"; }
  while read -r line; do
    prompt=$(field n_prompt) new=$(field n_gen) depth=$(field n_depth) rate=$(field "$2")
    [ -n "$rate" ] || continue
    if [ "$prompt" = 0 ]; then line=tg$new; elif [ "$new" = 0 ]; then line=pp$prompt; else line=pp$prompt+tg$new; fi
    printf '%s\t%s @ d%s\t%s\t%s\n' "$1" "$line" "${depth:-0}" "$rate" "$3"
  done
}

measure() { # measure MODEL FILE
  local round
  for round in $(seq "$rounds"); do
    headstart bench -m "$2" -a "$adapter" "${tests[@]}" -r 1 --no-probe --no-check -o jsonl \
      --tune kept --report "$out/$1-$round.json" | rows_of "$1" tokens_per_s headstart >>"$rows"
    headstart bench -m "$2" -a "$adapter" "${tests[@]}" -r 1 --no-probe --no-check -o jsonl \
      --tune off --report "$out/$1-untuned-$round.json" | rows_of "$1" tokens_per_s untuned >>"$rows"
    [ -n "${LLAMA_BENCH:-}" ] || continue
    "$LLAMA_BENCH" -m "$2" "${tests[@]}" -r 1 -ngl 99 -o jsonl 2>>"$out/log.txt" |
      rows_of "$1" avg_ts llama.cpp >>"$rows"
  done
}

# Medians of each test, and the ratio where both programs ran it.
table() {
  sort -t$'\t' -k1,2 -k4,4 -k3,3g "$rows" | awk -F'\t' '
    function close_group() { if (n) { median[key, who] = (at[int((n + 1) / 2)] + at[int(n / 2) + 1]) / 2 } n = 0 }
    { k = $1 "\t" $2; if (k != key || $4 != who) { close_group(); key = k; who = $4 } at[++n] = $3
      if (!(k in seen)) { seen[k] = 1; order[++m] = k } }
    END { close_group()
      print "| model | test | headstart, tokens/s | untuned | llama.cpp, tokens/s | ratio |"; print "|---|---|---:|---:|---:|---:|"
      for (i = 1; i <= m; i++) { split(order[i], part, "\t"); ours = median[order[i], "headstart"]
        theirs = median[order[i], "llama.cpp"]; ratio = ""; shown = ""; untuned = median[order[i], "untuned"]
        if (theirs > 0) { shown = sprintf("%.1f", theirs); ratio = sprintf("%.2f", ours / theirs) }
        printf "| %s | %s | %.1f | %.1f | %s | %s |\n", part[1], part[2], ours, untuned, shown, ratio } }'
}

say "adapters"
headstart adapters --probe >"$out/adapters.txt"
say "every kernel, and the embedded model"
headstart verify -a "$adapter" --report "$out/verify.json" >"$out/verify.txt" || say "VERIFY FAILED: see verify.txt"
for model in $models; do
  name=${model//[:=]/-}
  file=$folder/$name.gguf
  if [ "$SECONDS" -ge "$limit" ]; then
    say "left out for want of time: $model"
    continue
  fi
  if [ ! -f "$file" ]; then
    say "writing $model"
    headstart synthesize "synthetic:$model" "$file" || { say "NOT WRITTEN: $model"; continue; }
  fi
  say "tuning to $model"
  headstart tune -m "$file" -a "$adapter" --report "$out/$name-tuned.json" --export "$out/tuning.json" \
    >"$out/$name-tuned.txt" || say "NOT TUNED: $model"
  say "checking $model"
  headstart verify -m "$file" -a "$adapter" --sampled --no-kernels --report "$out/$name-verify.json" \
    >"$out/$name-verify.txt" || say "WRONG NUMBERS or no answer: see $name-verify.txt"
  say "timing $model"
  measure "$name" "$file" || say "NOT TIMED: $model"
  [ -n "${MODEL_FOLDER:-}" ] || rm -f "$file"
done
table | tee "$out/table.md"
say "done: $out"
