#!/usr/bin/env bash
# Configures when needed and builds targets of one preset:  build.sh PRESET [TARGET…]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$PELTON_ROOT"
preset=$1
shift
tools/setup/configure.sh "$preset"
targets=()
[ $# -gt 0 ] && targets=(--target "$@")
exec cmake --build "build/$preset" "${targets[@]}"
