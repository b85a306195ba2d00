#!/usr/bin/env bash
# Makes the Python environment of the peers (OpenVINO GenAI), once, under PELTON_CACHE, and prints its
# folder. Packages and hashes: tools/setup/requirements-peers.txt.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/setup/paths.sh"
lock=$PELTON_ROOT/tools/setup/requirements-peers.txt
venv=$PELTON_CACHE/venv/peers-$(content_key "$lock")
if [ ! -f "$venv/.ready" ]; then
  echo "  Python environment of the peers …" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --progress-bar off --require-hashes --only-binary=:all: -r "$lock" >&2
  touch "$venv/.ready"
fi
echo "$venv"
