#!/usr/bin/env bash
# Every fuzz target for $1 seconds, one after another; keeps the inputs that add coverage.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools/setup/build.sh fuzz fuzzers
FUZZ_SECONDS=${1:-300} FUZZ_KEEP=1 ctest --test-dir build/fuzz -L fuzz -V | sed -n 's/^[0-9]*: //p'
awk -F'\t' '{n += $2; t += $3} END {printf "%d executions in %d s over all runs of this clone\n", n, t}' build/fuzz/executions.tsv
