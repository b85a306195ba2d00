#!/usr/bin/env python3
"""Writes the reference's next-token distributions over the English texts of tests/golden/text.

Usage: make_logits.py MODEL.gguf NAME OUT_FOLDER     (format: tests/golden/README.md)
"""
import glob
import os
import struct
import sys

import numpy as np
import torch

import reference
import tokenizers_ref

HEAD = 64        # most likely tokens stored exactly
TAIL = 16        # further tokens drawn from what is left, in proportion to their probability
STEP = 2048      # stored gaps are in units of 1/2048 nat
ROWS = 64        # positions of full logits held at a time


def tokenize(f, text):
    bos = [f.meta["tokenizer.ggml.bos_token_id"]] if f.meta.get("tokenizer.ggml.add_bos_token") else []
    if f.meta["tokenizer.ggml.model"] == "gpt2":
        return bos + tokenizers_ref.byte_bpe(f.meta).encode(text).ids
    return bos + tokenizers_ref.sentence_piece(f.meta).encode(text)


def pack_ids(ids, wide):
    if wide:
        return b"".join(int(i).to_bytes(3, "little") for i in ids)
    return np.asarray(ids, dtype="<u2").tobytes()


@torch.no_grad()
def document(out, model, ids, wide, generator):
    hidden = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0, :-1]
    nll, tail_mass = 0.0, 0.0
    for start in range(0, hidden.shape[0], ROWS):
        lp = torch.log_softmax(model.lm_head(hidden[start:start + ROWS]).double(), dim=-1)
        head, head_ids = lp.topk(HEAD, dim=-1)
        rest = lp.exp()
        rest.scatter_(1, head_ids, 0.0)
        mass = rest.sum(dim=-1)
        tail_ids = torch.multinomial(rest, TAIL, replacement=True, generator=generator)
        tail = lp.gather(1, tail_ids)
        for r in range(lp.shape[0]):
            top = np.float32(head[r, 0].item())
            gaps = np.concatenate([head[r].numpy(), tail[r].numpy()])
            gaps = np.clip(np.rint((head[r, 0].item() - gaps) * STEP), 0, 65535).astype("<u2")
            actual = lp[r, ids[start + r + 1]].item()
            nll -= actual
            tail_mass += mass[r].item()
            out.write(struct.pack("<fff", actual, top, mass[r].item()))
            out.write(pack_ids(torch.cat([head_ids[r], tail_ids[r]]).tolist(), wide))
            out.write(gaps.tobytes())
    return nll, tail_mass


def main():
    path, name, folder = sys.argv[1:]
    model, f = reference.load(path)
    vocab = model.config.vocab_size
    wide = vocab > 65536
    generator = torch.Generator().manual_seed(7)
    texts = sorted(glob.glob(os.path.join(folder, "text", "*.txt")))
    nll, mass, positions = 0.0, 0.0, 0
    with open(os.path.join(folder, f"logits.{name}.bin"), "wb") as out:
        out.write(b"PLTNKLD1" + struct.pack("<IIIIII", len(texts), vocab, HEAD, TAIL, STEP, 3 if wide else 2))
        for text in texts:
            with open(text, encoding="utf-8") as t:
                ids = tokenize(f, t.read())
            out.write(struct.pack("<I", len(ids)) + np.asarray(ids, dtype="<u4").tobytes())
            a, b = document(out, model, ids, wide, generator)
            nll, mass, positions = nll + a, mass + b, positions + len(ids) - 1
    print(f"{name}: {positions} positions, perplexity {np.exp(nll / positions):.4f}, "
          f"mean mass outside the first {HEAD}: {mass / positions:.4f}")


if __name__ == "__main__":
    main()
