#!/usr/bin/env bash
# The Rust workspace's own tests, with the dependencies that set-up has built already.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../setup/paths.sh"
cd "$PELTON_ROOT/rust"
target_dir=$PELTON_CACHE/rust/$(content_key Cargo.lock)
mkdir -p "$target_dir"
exec 9>"$target_dir/.lock"
flock 9
cargo test --release --locked --target-dir "$target_dir"
