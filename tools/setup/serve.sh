#!/usr/bin/env bash
# What `make serve` starts once everything is built. MODEL and PORT come from the environment.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
# What scripts export for themselves is nothing to the program, which warns of PELTON_* it does not know.
exec env -u PELTON_ROOT -u PELTON_VENV "$PELTON_BIN" serve --model "${MODEL:-smollm2=$PELTON_MODEL_SMOLLM2}" --host 127.0.0.1 --port "${PORT:-8080}"
