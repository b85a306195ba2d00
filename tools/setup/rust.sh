#!/usr/bin/env bash
# Builds the Rust workspace (rust/) and prints the folder that holds libpelton_rust.a; with --path
# it only prints where that is.
#
# Dependencies compile once a Cargo.lock; finished libraries are kept by the hash of the sources,
# so clones with different sources share the former and never meet in the latter.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$PELTON_ROOT/rust"
lock_key=$(content_key Cargo.lock)
source_key=$(find . -type f -not -path './target/*' \( -name '*.rs' -o -name '*.toml' -o -name '*.lock' \) -print0 |
  LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
target_dir=$PELTON_CACHE/rust/$lock_key
lib_dir=$target_dir/lib/$source_key
if [ "${1:-}" != --path ] && [ ! -f "$lib_dir/libpelton_rust.a" ]; then
  mkdir -p "$lib_dir"
  exec 9>"$target_dir/.lock"
  flock 9
  if [ ! -f "$lib_dir/libpelton_rust.a" ]; then
    cargo build --release --locked --target-dir "$target_dir" >&2
    cp "$target_dir/release/libpelton_rust.a" "$lib_dir/libpelton_rust.a.partial"
    mv "$lib_dir/libpelton_rust.a.partial" "$lib_dir/libpelton_rust.a"
  fi
fi
echo "$lib_dir"
