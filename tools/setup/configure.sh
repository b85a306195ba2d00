#!/usr/bin/env bash
# Configures a preset unless that is done:  configure.sh PRESET   (ninja repeats it when needed)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$PELTON_ROOT"
preset=$1
[ -f "build/$preset/build.ninja" ] && exit 0
mkdir -p "build/$preset"
echo "  configuring $preset …"
cmake --preset "$preset" >"build/$preset/configure.log" 2>&1 ||
  { tail -n 30 "build/$preset/configure.log" >&2; exit 1; }
