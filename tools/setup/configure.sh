#!/usr/bin/env bash
# Configures a preset, or brings an old configuration up to date:  configure.sh PRESET
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$PELTON_ROOT"
preset=$1
mkdir -p "build/$preset"
if [ -f "build/$preset/build.ninja" ] && ninja -C "build/$preset" build.ninja >"build/$preset/configure.log" 2>&1; then
  exit 0
fi
echo "  configuring $preset …"
cmake --preset "$preset" >"build/$preset/configure.log" 2>&1 ||
  { tail -n 30 "build/$preset/configure.log" >&2; exit 1; }
