#!/usr/bin/env bash
# Runs one fuzz target:  fuzz.sh PROGRAM NAME [libFuzzer options]
# FUZZ_SECONDS (10) says how long. New inputs go to build/fuzz/found/NAME, a failing one to
# build/fuzz/failures; FUZZ_KEEP=1 merges what adds coverage into fuzz/corpus/NAME.
# Executions are added up in build/fuzz/executions.tsv.
set -euo pipefail
program=$1 name=$2
shift 2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seeds=$root/fuzz/corpus/$name
work=$root/build/fuzz
found=$work/found/$name
mkdir -p "$seeds" "$found" "$work/failures" "$work/log"
seconds=${FUZZ_SECONDS:-10}
log=$work/log/$name.log
status=0
"$program" "$@" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2560 -malloc_limit_mb=1024 \
  -print_final_stats=1 -verbosity=1 -artifact_prefix="$work/failures/$name-" "$found" "$seeds" >"$log" 2>&1 || status=$?
executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
printf '%s\t%s\t%s\n' "$name" "${executions:-0}" "$seconds" >>"$work/executions.tsv"
if [ "$status" != 0 ]; then
  tail -n 60 "$log"
  echo "fuzz target $name failed; the input lies in build/fuzz/failures"
  exit "$status"
fi
if [ "${FUZZ_KEEP:-0}" = 1 ]; then
  "$program" "$@" -merge=1 "$seeds" "$found" >>"$log" 2>&1
fi
echo "$name: ${executions:-0} executions in $seconds s, $(find "$found" -type f | wc -l) new inputs"
