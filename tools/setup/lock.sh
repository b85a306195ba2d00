#!/usr/bin/env bash
# Writes requirements-NAME.txt (every package pinned, with hashes) from requirements-NAME.in, for
# each NAME given (default: test peers).
set -euo pipefail
touch "$(dirname "${BASH_SOURCE[0]}")/requirements-test.txt"
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
venv=$PELTON_CACHE/venv/lock
[ -x "$venv/bin/pip-compile" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q 'pip-tools==7.5.0' 'pip<25.3'; }
cd "$setup_dir"
[ $# -gt 0 ] || set -- test peers
for name in "$@"; do
  "$venv/bin/pip-compile" -q --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
    --no-emit-trusted-host --strip-extras --output-file "requirements-$name.txt" "requirements-$name.in"
done
