#!/usr/bin/env python3
"""Writes src/ground/tensor/testdata/dequant.txt: blocks of every weight type Pelton reads, and the
fp32 values that the Python package `gguf` (0.19.0, pip) gives for them.

    python3 tools/golden/dequant.py > src/ground/tensor/testdata/dequant.txt

A line is "TYPE hex-of-the-blocks hex-of-the-little-endian-fp32-values". Blocks are random bytes from
a fixed seed, with the fp16 scales replaced by values a model could have, and among them negative
ones, zero, subnormals and the largest finite one.
"""
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

# Type -> byte offsets of the fp16 fields of a block.
HALVES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}
ODD_SCALES = [0.0, -0.0, -0.0117, 6e-8, -5.5e-5, 65504.0]


def main() -> None:
    rng = np.random.default_rng(20240817)
    for kind in [T.F32, T.F16, T.BF16, *HALVES]:
        elems, size = GGML_QUANT_SIZES[kind]
        count = 256 // elems if elems < 256 else 3
        blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for block in range(count):
            for field, offset in enumerate(HALVES.get(kind, [])):
                odd = block + field
                scale = ODD_SCALES[odd] if odd < len(ODD_SCALES) and elems < 256 else rng.normal(0, 0.02)
                if elems == 256 and block == 2:
                    scale = -6e-8
                blocks[block, offset:offset + 2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
        raw = blocks.reshape(-1)
        values = dequantize(raw if elems > 1 else raw.view(np.float32) if kind == T.F32
                            else raw.view(np.float16) if kind == T.F16 else raw, kind)
        values = np.asarray(values, dtype="<f4").reshape(-1)
        assert values.size == count * elems, (kind, values.size)
        sys.stdout.write(f"{kind.name} {raw.tobytes().hex()} {values.tobytes().hex()}\n")


if __name__ == "__main__":
    main()
