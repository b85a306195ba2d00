#!/usr/bin/env bash
# Builds llama.cpp for this machine from the pinned source package of its Python bindings, and
# prints the folder of its programs. Some ten minutes of CPU, once.
#
#   build.sh [native|avx2|avx512]   native: all that this CPU has; the others: no more than that
#
# clang, because g++ 12 miscompiles its AMX tile set-up (the program dies on CPUs that have AMX);
# its own thread pool instead of OpenMP.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/setup/paths.sh"
lock=$PELTON_ROOT/tools/setup/requirements-bench.txt
peer=$PELTON_CACHE/peers/llama.cpp-$(sed -n 's/.*sha256:\([0-9a-f]\{12\}\).*/\1/p' "$lock")
isa=${1:-native}
case $isa in
  native) flags=(-DGGML_NATIVE=ON) ;;
  avx2) flags=(-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON) ;;
  avx512) flags=(-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON
    -DGGML_AVX512=ON -DGGML_AVX512_VBMI=ON -DGGML_AVX512_VNNI=ON) ;;
  *) echo "build.sh: native, avx2 or avx512, not $isa" >&2; exit 2 ;;
esac
build=$peer/build
[ "$isa" = native ] || build=$peer/build-$isa
programs=(llama-bench llama-batched-bench llama-server llama-perplexity)
if [ ! -f "$build/.ready" ]; then
  mkdir -p "$peer/src" "$build"
  pip=$PELTON_CACHE/venv/fetch/bin/pip
  [ -x "$pip" ] || python3 -m venv "$PELTON_CACHE/venv/fetch"
  if [ ! -f "$peer/src/CMakeLists.txt" ]; then
    echo "  llama.cpp: download …" >&2
    rm -rf "$peer/download"
    # pip checks the hash; of the package it runs no more than what names its version.
    "$pip" download -q --progress-bar off --no-deps --no-binary=llama-cpp-python --require-hashes \
      -d "$peer/download" -r "$lock" >&2
    archive=$(echo "$peer"/download/*.tar.gz)
    tar -xzf "$archive" -C "$peer/src" --strip-components=3 --wildcards '*/vendor/llama.cpp'
    rm -rf "$peer/download"
  fi
  echo "  llama.cpp: configure and build (log: $build.log) …" >&2
  {
    cmake -G Ninja -S "$peer/src" -B "$build" -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_C_COMPILER=clang-16 -DCMAKE_CXX_COMPILER=clang++-16 "${flags[@]}" -DGGML_OPENMP=OFF \
      -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
      -DBUILD_SHARED_LIBS=OFF
    for program in "${programs[@]}"; do nice -n 10 ninja -C "$build" "$program"; done
    touch "$build/.ready"
  } >"$build.log" 2>&1 || { tail -n 30 "$build.log" >&2; exit 1; }
fi
echo "$build/bin"
