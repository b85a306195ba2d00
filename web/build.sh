#!/usr/bin/env bash
# Builds web/dist from web/ and writes web/dist.sha256, which web/dist_test.py holds both against.
#
#   build.sh [FOLDER]   FOLDER: build there instead, and write no sums
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../tools/setup/paths.sh"
cd "$PELTON_ROOT/web"
modules=$(node_modules_of "$PWD")
if [ ! -f "$(dirname "$modules")/.ready" ]; then
  mkdir -p "$(dirname "$modules")"
  cp package.json package-lock.json "$(dirname "$modules")/"
  npm ci --prefix "$(dirname "$modules")" --ignore-scripts --no-audit --no-fund --cache "$PELTON_CACHE/npm"
  touch "$(dirname "$modules")/.ready"
fi
ln -sfn "$modules" node_modules
node_modules/.bin/tsc --noEmit
node_modules/.bin/vite build --logLevel warn --emptyOutDir --outDir "${1:-dist}"
[ $# -gt 0 ] || python3 dist_test.py --write
