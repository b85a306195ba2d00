#!/usr/bin/env bash
# Configures when needed and builds targets of one preset:  build.sh PRESET [TARGET…]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$PELTON_ROOT"
preset=$1
shift
[ -f "build/$preset/build.ninja" ] || tools/setup/configure.sh "$preset"  # else ninja sees to it
targets=()
[ $# -gt 0 ] && targets=(--target "$@")
exec cmake --build "build/$preset" "${targets[@]}"
