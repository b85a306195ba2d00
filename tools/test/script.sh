#!/usr/bin/env bash
# Runs one script test:  script.sh NEEDS FILE [ARGS…]   (NEEDS separated by commas; see cmake/Test.cmake)
# Exit 77, which ctest shows as not run, when something it needs is absent.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../setup/paths.sh"
needs=$1 file=$2
shift 2
not_run() { echo "not run: $1"; exit 77; }
for need in ${needs//,/ }; do
  case $need in
    smollm2) [ -f "$PELTON_MODEL_SMOLLM2" ] || not_run "no $PELTON_MODEL_SMOLLM2 (make test gets it)" ;;
    gemma3) [ -f "$PELTON_MODEL_GEMMA3" ] || not_run "no $PELTON_MODEL_GEMMA3 (make test gets it)" ;;
    node)
      command -v node >/dev/null || not_run "no node"
      folder=$(dirname "$file")
      if [ "${file##*.}" = mjs ]; then
        [ -d "$(node_modules_of "$folder")" ] || not_run "no Node packages (make test gets them)"
        ln -sfn "$(node_modules_of "$folder")" "$folder/node_modules"
      fi
      ;;
    /*) [ -e "$need" ] || not_run "no $need" ;;
    *) command -v "$need" >/dev/null || not_run "no $need" ;;
  esac
done
export PELTON_PACKED_CACHE=off  # tests leave nothing in the folders of the user
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$PELTON_ROOT/tests${PYTHONPATH:+:$PYTHONPATH}"
python=$PELTON_VENV/bin/python
unset PELTON_ROOT PELTON_VENV # the program warns of PELTON_* that it does not know
case $file in
  *.py) [ -x "$python" ] || not_run "no Python environment (make test makes it)" ;;&
  */test_*.py) exec "$python" -m pytest -q -p no:cacheprovider "$file" "$@" ;;
  *.py) exec "$python" "$file" "$@" ;;
  *.mjs | *.js) exec node "$file" "$@" ;;
  *) exec "$file" "$@" ;;
esac
