#!/bin/bash
# Remakes every file of tests/golden from the two models. About ten minutes on two cores.
#   tools/golden/make_all.sh SMOLLM2.gguf GEMMA3.gguf [OUT_FOLDER]
# The Python environment lives in $PELTON_CACHE/venv-golden and is made when it is missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
smollm2=$(realpath "$1"); gemma3=$(realpath "$2"); out=$(realpath "${3:-$here/../../tests/golden}")
source "$here/python.sh"
if [ ! -d "$out/text" ]; then mkdir -p "$out"; cp -r "$here/../../tests/golden/text" "$out/text"; fi
cd "$here"
"$python" make_tokens.py "$smollm2" "$gemma3" "$out"
"$python" make_tiny.py "$out"
"$python" make_logits.py "$smollm2" smollm2 "$out"
"$python" make_logits.py "$gemma3" gemma3 "$out"
"$python" make_greedy.py "$smollm2" smollm2 "$out"
"$python" make_greedy.py "$gemma3" gemma3 "$out"
