#!/usr/bin/env bash
# What `make serve` starts once everything is built. MODEL and PORT come from the environment.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
exec "$PELTON_BIN" serve --model "${MODEL:-smollm2=$PELTON_MODEL_SMOLLM2}" --host 127.0.0.1 --port "${PORT:-8080}"
