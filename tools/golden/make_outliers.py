#!/usr/bin/env python3
"""Writes a model whose activations have outlier channels, for outliers.py.

Usage: make_outliers.py MODEL.gguf SCALE OUT.gguf

In every layer 1 % of the channels that a norm gives are multiplied by SCALE, and divided out in the
matrices that read them, all in fp32; then these matrices are quantised again as they were. In exact
arithmetic nothing would change. Real models have such channels; an engine that rounds activations by
their largest loses the others. Scale 1 gives the file to compare with.
"""
import re
import sys

import gguf
import numpy as np

SHARE = 0.01
SEED = 11
READERS = {"attn_norm": ("attn_q", "attn_k", "attn_v"), "ffn_norm": ("ffn_gate", "ffn_up")}


def factors(reader, scale):
    """Of each tensor's columns: tensor name → [columns]."""
    rng = np.random.default_rng(SEED)
    out = {}
    for t in reader.tensors:
        at = re.fullmatch(r"(blk\.\d+)\.(attn_norm|ffn_norm)\.weight", t.name)
        if not at:
            continue
        factor = np.ones(t.shape[0], dtype=np.float32)
        factor[rng.choice(t.shape[0], max(1, round(SHARE * t.shape[0])), replace=False)] = scale
        out[t.name] = factor
        for matrix in READERS[at[2]]:
            out[f"{at[1]}.{matrix}.weight"] = 1 / factor
    return out


def copy_metadata(reader, writer):
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        sub = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=sub)


def main():
    path, scale, out = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(out, reader.fields["general.architecture"].contents())
    copy_metadata(reader, writer)
    changed = factors(reader, scale)
    for t in reader.tensors:
        data = t.data
        if t.name in changed:
            shape = tuple(int(d) for d in reversed(t.shape))
            values = gguf.dequantize(t.data, t.tensor_type).astype(np.float32).reshape(shape)
            data = gguf.quantize(values * changed[t.name], t.tensor_type)
        writer.add_tensor(t.name, data, raw_dtype=t.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{out}: {len(changed)} tensors changed, scale {scale:g}")


if __name__ == "__main__":
    main()
