# Sourced by every script of set-up and test: says where things lie. Creates nothing.
#
#   PELTON_ROOT            this clone
#   PELTON_CACHE           all that set-up makes; folders in it are keyed by lock-file hash
#   PELTON_BIN             the release binary
#   PELTON_VENV            Python environment of the tests
#   PELTON_MODEL_SMOLLM2   default model; PELTON_MODEL_GEMMA3: second model, for tests
PELTON_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PELTON_CACHE=${PELTON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pelton}
setup_dir=$PELTON_ROOT/tools/setup

# First 12 hex digits of the SHA-256 over the contents of the files named.
content_key() { cat "$@" | sha256sum | cut -c1-12; }

# Field $2 (1 = name) of the line of models.lock that begins with $1.
model_field() { awk -v n="$1" -v f="$2" '$1 == n {print $f}' "$setup_dir/models.lock"; }
# Where the Node packages of the folder $1 lie, which has a package-lock.json.
node_modules_of() { echo "$PELTON_CACHE/node/$(content_key "$1/package-lock.json")/node_modules"; }
model_path() { echo "$PELTON_CACHE/models/$(model_field "$1" 3 | cut -c1-12)/$(model_field "$1" 2)"; }

PELTON_BIN=${PELTON_BIN:-$PELTON_ROOT/build/release/bin/pelton}
PELTON_VENV=$PELTON_CACHE/venv/$(content_key "$setup_dir/requirements-test.txt")
PELTON_MODEL_SMOLLM2=${PELTON_MODEL_SMOLLM2:-$(model_path smollm2)}
PELTON_MODEL_GEMMA3=${PELTON_MODEL_GEMMA3:-$(model_path gemma3)}
export PELTON_ROOT PELTON_CACHE PELTON_BIN PELTON_VENV PELTON_MODEL_SMOLLM2 PELTON_MODEL_GEMMA3

if command -v ccache >/dev/null; then
  export CCACHE_DIR=${CCACHE_DIR:-$PELTON_CACHE/ccache}
  export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$PELTON_ROOT} CCACHE_NOHASHDIR=1
  export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-8G}
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_C_COMPILER_LAUNCHER=ccache
fi
