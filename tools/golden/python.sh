# Sourced: sets $python to the interpreter of $PELTON_CACHE/venv-golden, which is made when it is missing.
# $here is this folder.
cache=${PELTON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pelton}
python=$cache/venv-golden/bin/python
if [ ! -x "$python" ] || ! "$python" -c 'import torch, transformers, gguf, sentencepiece' 2>/dev/null; then
  echo "making $cache/venv-golden (torch is about 550 MB)"
  python3 -m venv "$cache/venv-golden"
  "$python" -m pip install --quiet --no-deps --require-hashes -r "$here/requirements.txt"
  "$python" "$here/stub_cuda.py"
fi
