#!/usr/bin/env bash
# Measures a machine with a GPU that can fetch nothing: with the program, bash and coreutils, in less than 8 minutes.
#
#   tools/gpu.sh [FOLDER]      reports, tables and the log go to FOLDER (default: gpu-results)
#
# It checks every kernel, then takes models of random weights, the most wanted first: it tunes the kernels to each, checks it by
# samples, and times it tuned and untuned; of a cut (layers=) it predicts the whole. When the time is used up, what is under way
# is broken off and nothing more is begun; Ctrl-C does the same. The table at the end names what was left out, with the command
# that runs it alone, and what failed. The exit code is 1 where something failed.
#
#   HEADSTART=PATH     the program (default: beside this script's folder in target/release, or on PATH)
#   ADAPTER=0          the adapter, by its number or a part of its name
#   MODELS="A B"       synthetic names without "synthetic:" (default below)
#   TESTS="-p 512 -n 128 -d 0,4096 -r 3"              as for bench, and for llama-bench
#   WHOLE_TESTS="-p 256 -n 64 -d 0,2048,65536 -r 3"   what the whole of a cut is predicted from; not longer than its context
#   ROUNDS=2           how often all take their turn, at most: a model that has used up its share of the time gets one
#   SECONDS_AT_MOST=460
#   KERNEL_SECONDS=60, TUNE_SECONDS=30, CHECK_SECONDS=30   of that for all kernels (0: none), and for each model
#   LLAMA_BENCH=PATH   llama-bench, by turns with this program; both read the model from a file then, and the table has the ratio
#   MODEL_FOLDER=PATH  where these files are written; kept, and taken again, where it is given
set -euo pipefail
export LC_ALL=C

out=${1:-gpu-results}
program=${HEADSTART:-$(dirname "${BASH_SOURCE[0]}")/../target/release/headstart}
[ -x "$program" ] || program=$(command -v headstart) || { echo "gpu: no program; set HEADSTART=PATH" >&2 && exit 2; }
adapter=${ADAPTER:-0}
wanted="llama-8b:format=q4_0 deepseek-v4-flash:layers=0..4 r1-distill-qwen-1.5b:format=q4_k"
wanted+=" llama-8b:format=q4_k qwen3-30b-a3b:format=q4_k llama-8b:format=q8_0"
read -ra models <<<"${MODELS:-$wanted}"
read -ra tests <<<"${TESTS:--p 512 -n 128 -d 0,4096 -r 3}"
read -ra whole_tests <<<"${WHOLE_TESTS:--p 256 -n 64 -d 0,2048,65536 -r 3}"
turns=(tuned untuned ${LLAMA_BENCH:+llama.cpp})
limit=${SECONDS_AT_MOST:-460}

failed=()           # what went wrong, in words
left_out=()         # what there was no time for
commands=()         # that run it alone
places=()           # "model, test", in the order of the table
predictions=()      # rows of a table
declare -A rates    # thousandths of tokens per second, by "model, test, who": one of each round
declare -A verdicts # by model

mkdir -p "$out"
: >"$out/log.txt"
folder=${MODEL_FOLDER:-$out/models}
trap '[ -n "${MODEL_FOLDER:-}" ] || rm -rf "$folder"' EXIT
trap 'limit=$SECONDS' INT

say() { echo "gpu: $* ($SECONDS s)" | tee -a "$out/log.txt" >&2; }

leave_out() {
  left_out+=("$1")
  [[ " ${commands[*]} " == *" $alone "* ]] || commands+=("$alone")
}

# Runs a command in the time that is left. It is asked to end as by Ctrl-C: then the program writes down what it has.
piece() { # piece WHAT SECONDS OUTPUT COMMAND... [--report FILE]
  local what=$1 most=$2 output=$3 code=0 begin=$SECONDS report=
  shift 3
  [ "${*: -2:1}" != --report ] || report=${*: -1}
  # What an earlier run left is no result of this one.
  rm -f "$output" ${report:+"$report"}
  [ "$most" -lt $((limit - begin)) ] || most=$((limit - begin))
  [ "$most" -gt 0 ] || { leave_out "$what" && return 124; }
  say "$what"
  timeout --foreground -s INT -k 10 "$most" "$@" >"$output" 2>>"$out/log.txt" || code=$?
  if [ "$code" = 0 ]; then
    [ -n "$report" ] && [ ! -s "$report" ] || return 0
    failed+=("$what: no report was written")
    return 1
  elif [ $((SECONDS - begin)) -ge "$most" ] || [ "$SECONDS" -ge "$limit" ]; then
    leave_out "$what, broken off after $((SECONDS - begin)) s"
  elif [ "$code" != 6 ]; then # wrong numbers are told by who asked for the check
    failed+=("$what: exit code $code, $(tail -n 1 "$out/log.txt" | cut -c -160)")
  fi
  return "$code"
}

# Whether the numbers are right. What was found wrong before a check was broken off is no less wrong.
check() { # check WHAT SECONDS NAME OPTIONS...
  local base=$out/$3-verify code=0
  piece "$1" "$2" "$base.txt" "$program" verify -a "$adapter" "${@:4}" --report "$base.json" || code=$?
  verdicts[$3]=unknown
  [ "$code" != 0 ] || verdicts[$3]=right
  if [ "$code" = 6 ] || { [ -f "$base.json" ] && [[ $(<"$base.json") == *'"verdict": "wrong"'* ]]; }; then
    verdicts[$3]=WRONG
    failed+=("$1: WRONG NUMBERS, see $3-verify.txt")
  fi
}

# Takes the rates from lines of JSON, one for each test, of either program.
take_rates() { # take_rates NAME WHO <FILE
  local line rate prompt new place
  field() { [[ $line =~ \"$1\":\ *([0-9.]+) ]] && echo "${BASH_REMATCH[1]}"; }
  while read -r line; do
    rate=$(field tokens_per_s || field avg_ts) && prompt=$(field n_prompt) && new=$(field n_gen) || continue
    case $prompt/$new in
      0/*) place="$1, tg$new" ;;
      */0) place="$1, pp$prompt" ;;
      *) place="$1, pp$prompt+tg$new" ;;
    esac
    place+=" @ d$(field n_depth || echo 0)"
    [[ " ${!rates[*]}" == *" $place, "* ]] || places+=("$place")
    rates["$place, $2"]+=" $(printf %.0f "${rate}e3")"
  done
}

# Takes from a report what it predicts for the steps that were measured.
take_predictions() { # take_predictions NAME <REPORT
  local line key value what times before= tokens=0 depth=0 measured=0 ms=0 low=0
  while read -r line; do
    [[ $line =~ ^\"([a-z_]+)\":\ ([0-9.]+) ]] || continue
    key=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
    case $key in
      n_tokens) tokens=$value ;;
      depth) depth=$value ;;
      measured_depth) measured=$value ;;
      ms) ms=$value ;;
      low_ms) low=$value ;;
      high_ms)
        [ "$depth" = "$measured" ] || continue
        what="$tokens of a prompt @ d$depth" times=
        if [ "$tokens" = 1 ]; then
          what="a token @ d$depth" times=$(ratio "$(printf %.0f "${ms}e3")" "$before")
          before=$(printf %.0f "${ms}e3")
        fi
        predictions+=("$(printf '| %s | %s | %.2f | %.2f to %.2f | %s |' "$1" "$what" "$ms" "$low" "$value" "$times")")
        ;;
    esac
  done
}

# Two whole numbers as a quotient; nothing where one is missing.
ratio() { [ -z "$1" ] || [ "${2:-0}" = 0 ] || printf %.2f "$((1000 * $1 / $2))e-3"; }

median() {
  local sorted
  [ $# -gt 0 ] || return 0
  mapfile -t sorted < <(printf '%s\n' "$@" | sort -n)
  echo $(((sorted[($# - 1) / 2] + sorted[$# / 2]) / 2))
}

# Room for tokens that is enough for each of the tests: all of their numbers together. One for all that is done with a model, so
# that what is tuned is what is checked and timed.
room_for() {
  local n sum=0
  for n in ${*//[!0-9]/ }; do sum=$((sum + n)); done
  echo "$sum"
}

# A turn of one program.
turn() { # turn WHO ROUND
  local base=$out/$name-$1-$2 how=kept command
  # What could not be written can be made on the adapter, but not by another program.
  [ "$1" != llama.cpp ] || [ "$source" = "$file" ] || return 0
  [ "$1" = tuned ] || how=off
  command=("${bench[@]}" -m "$source" "${tests[@]}" --tune "$how" -o jsonl --report "$base.json")
  [ "$1" != llama.cpp ] || command=("$LLAMA_BENCH" -m "$source" "${tests[@]}" -ngl 99 -fa 1 -o jsonl)
  piece "timing $model, $1, round $2" "$limit" "$base.jsonl" "${command[@]}" || true
  [ ! -f "$base.jsonl" ] || take_rates "$name" "$1" <"$base.jsonl"
}

# All that is done with a model, in its share of the time.
measure() { # measure MODEL SECONDS
  local model=$1 share_ends=$((SECONDS + $2)) source=synthetic:$1 file=$folder/$name.gguf whole=$out/$name-whole
  local is_cut=no room bench round who
  [[ $model != *layers=* ]] || is_cut=yes
  room=$(room_for "${tests[@]}")
  [ "$is_cut" = no ] || room=$(room_for "${tests[@]}" "${whole_tests[@]}")
  bench=("$program" bench -a "$adapter" -c "$room" --no-probe --no-check)
  if [ -n "${LLAMA_BENCH:-}" ]; then
    mkdir -p "$folder"
    if [ -f "$file" ] || piece "writing $model" "$limit" "$whole.txt" "$program" synthesize "synthetic:$model" "$file"; then
      source=$file
    fi
  fi
  piece "tuning to $model" "${TUNE_SECONDS:-30}" "$out/$name-tuned.txt" "$program" tune -m "$source" -a "$adapter" -c "$room" \
    --export "$out/tuning.json" --report "$out/$name-tuned.json" || true
  check "checking $model" "${CHECK_SECONDS:-30}" "$name" -m "$source" -c "$room" --sampled --no-kernels
  if [ "$is_cut" = yes ]; then
    piece "predicting the whole of $model" "$limit" "$whole.txt" \
      "${bench[@]}" -m "synthetic:$model" "${whole_tests[@]}" --tune kept --report "$whole.json" || true
    [ ! -f "$whole.json" ] || take_predictions "$name" <"$whole.json"
  fi
  for round in $(seq "${ROUNDS:-2}"); do
    if [ "$SECONDS" -ge "$limit" ] || { [ "$round" != 1 ] && [ "$SECONDS" -ge "$share_ends" ]; }; then
      leave_out "timing $model, from round $round on"
      break
    fi
    for who in "${turns[@]}"; do turn "$who" "$round"; done
    # Whoever was first is the last now: a clock or a temperature that changes with time favours none.
    turns=("${turns[@]:1}" "${turns[0]}")
  done
  [ -n "${MODEL_FOLDER:-}" ] || rm -f "$file"
}

list() { # list HEADING LINES...
  [ $# -gt 1 ] || return 0
  printf '\n%s:\n' "$1"
  printf -- '- %s\n' "${@:2}"
}

table() {
  local place name who
  local -A at shown
  printf 'Every kernel, and the embedded model: numbers %s.\n\n' "${verdicts[kernels]:-unknown}"
  echo "| model | numbers | test | tuned, tokens/s | untuned | llama.cpp | tuned / untuned | tuned / llama.cpp | rounds |"
  echo "|---|---|---|---:|---:|---:|---:|---:|---:|"
  for place in "${places[@]}"; do
    name=${place%%, *}
    for who in tuned untuned llama.cpp; do
      # shellcheck disable=SC2086  # numbers with blanks between
      at[$who]=$(median ${rates["$place, $who"]:-})
      shown[$who]=${at[$who]:+$(printf %.1f "${at[$who]}e-3")}
    done
    echo "| $name | ${verdicts[$name]} | ${place#*, } | ${shown[tuned]} | ${shown[untuned]} | ${shown[llama.cpp]} |" \
      "$(ratio "${at[tuned]}" "${at[untuned]}") | $(ratio "${at[tuned]}" "${at[llama.cpp]}") |" \
      "$(wc -w <<<"${rates["$place, tuned"]:-}") |"
  done
  if [ ${#predictions[@]} -gt 0 ]; then
    printf '\n%s\n%s\n' "| the whole, predicted from | step | ms | range | times the one above |" "|---|---|---:|---|---:|"
    printf '%s\n' "${predictions[@]}"
  fi
  list "Left out for want of time" "${left_out[@]}"
  list "What was left out, alone" "${commands[@]}"
  list "FAILED" "${failed[@]}"
}

alone="$program verify -a $adapter"
piece "adapters" 60 "$out/adapters.txt" "$program" adapters --probe -a "$adapter" --report "$out/adapters.json" || true
[ "${KERNEL_SECONDS:-60}" = 0 ] || check "every kernel, and the embedded model" "${KERNEL_SECONDS:-60}" kernels
for i in "${!models[@]}"; do
  name=${models[i]//[!a-zA-Z0-9._-]/-}
  alone="KERNEL_SECONDS=0 MODELS=${models[i]} HEADSTART=$program ADAPTER='$adapter'"
  alone+="${LLAMA_BENCH:+ LLAMA_BENCH=$LLAMA_BENCH} bash ${BASH_SOURCE[0]} $out/$name"
  if [ "$SECONDS" -lt "$limit" ]; then
    measure "${models[i]}" $(((limit - SECONDS) / (${#models[@]} - i)))
  else
    leave_out "${models[i]}"
  fi
done
table | tee "$out/table.md"
say "done: $out"
[ ${#failed[@]} = 0 ]
