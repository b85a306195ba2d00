#!/usr/bin/env bash
# One build as a test:  build_tree.sh PRESET TARGET…   The output goes to build/PRESET/build.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ! tools/setup/build.sh "$@" >"build/$1/build.log" 2>&1; then
  tail -n 60 "build/$1/build.log"
  exit 1
fi
tail -n 1 "build/$1/build.log"
