#!/usr/bin/env python3
"""Writes tiny random-weight models, one a family and feature, and transformers' fp32 logits of them.

Usage: make_tiny.py OUT_FOLDER     (format: tests/golden/README.md)

Each file is a whole GGUF model with a small byte-level (or SentencePiece-style) vocabulary, so that
it can also be served. The weights are scaled so that attention and gates do something.
"""
import os
import struct
import sys

import gguf
import numpy as np
import torch
import transformers

import reference

SEED = 11
VOCAB = 320
TOKENS = 112
TEMPLATE = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def byte_alphabet():
    """GPT-2's printable character for each of the 256 bytes, in byte order."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out, extra = [], 0
    for b in range(256):
        if b in keep:
            out.append(chr(b))
        else:
            out.append(chr(256 + extra))
            extra += 1
    return out


def byte_vocabulary(w):
    merges = ["t h", "Ġ t", "i n", "e r", "Ġ a", "Ġt h", "o n", "r e", "Ġ s", "a n", "Ġth e", "a t", "o r",
              "i s", "Ġ w", "e n", "in g", "Ġ o", "a r", "e s"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    kinds = [3] * 3
    body = byte_alphabet() + [m.replace(" ", "") for m in merges]
    tokens += body + [f"<|spare{i}|>" for i in range(VOCAB - 3 - len(body))]
    kinds += [1] * len(body) + [3] * (VOCAB - 3 - len(body))
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges(merges)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)


def piece_vocabulary(w):
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    kinds = [3, 3, 3, 2, 3, 3]
    scores = [-1000.0] * 6
    tokens += [f"<0x{b:02X}>" for b in range(256)]
    kinds += [6] * 256
    scores += [0.0] * 256
    pieces = ["th", "▁the", "▁t", "in", "an", "er", "on", "▁a", "he"]
    pieces += [c for c in "▁etaoinshrdlucmfwypvbgkjqxz.,'"]
    tokens += pieces + [f"<unused{i}>" for i in range(VOCAB - len(tokens) - len(pieces))]
    scores += [-float(i) for i in range(len(pieces))]
    kinds += [1] * len(pieces)
    kinds += [3] * (VOCAB - len(kinds))
    scores += [-1000.0] * (VOCAB - len(scores))
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list(tokens)
    w.add_token_scores(scores)
    w.add_token_types(kinds)
    w.add_bos_token_id(2)
    w.add_eos_token_id(1)
    w.add_unk_token_id(3)
    w.add_add_bos_token(True)
    w.add_add_space_prefix(False)


def randomise(model, gemma):
    generator = torch.Generator().manual_seed(SEED)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.dim() == 1:
            p.data = 0.1 * noise + (0.0 if gemma else 1.0)
        elif "embed" in name:
            p.data = noise * (0.25 if gemma else 0.5)
        else:
            p.data = noise * 1.4 / p.shape[1] ** 0.5


def write(path, model, arch, vocabulary, more):
    c = model.config
    w = gguf.GGUFWriter(path, arch)
    w.add_name("tiny " + os.path.basename(path))
    w.add_block_count(c.num_hidden_layers)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    w.add_key_length(head_dim)
    w.add_value_length(head_dim)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    vocabulary(w)
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    names, shift = reference.NAMES[arch], 1.0 if arch.startswith("gemma") else 0.0
    w.add_tensor("token_embd.weight", state["model.embed_tokens.weight"])
    w.add_tensor("output_norm.weight", state["model.norm.weight"] + np.float32(shift))
    if not c.tie_word_embeddings:
        w.add_tensor("output.weight", state["lm_head.weight"])
    for i in range(c.num_hidden_layers):
        for ours, theirs in names.items():
            t = state[f"model.layers.{i}.{theirs}"]
            if arch == "llama" and ours == "attn_q.weight":
                t = reference.to_gguf_rows(t, c.num_attention_heads)
            if arch == "llama" and ours == "attn_k.weight":
                t = reference.to_gguf_rows(t, c.num_key_value_heads)
            if "norm" in ours:
                t = t + np.float32(shift)
            w.add_tensor(f"blk.{i}.{ours}", np.ascontiguousarray(t))
    more(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def finish(folder, name, model, arch, vocabulary, more):
    model = model.float().eval()
    randomise(model, arch.startswith("gemma"))
    model.tie_weights()
    path = os.path.join(folder, f"tiny.{name}.gguf")
    write(path, model, arch, vocabulary, more)
    ids = torch.randint(0, VOCAB, (TOKENS,), generator=torch.Generator().manual_seed(SEED + 1)).tolist()
    logits = reference.logits(model, ids).numpy()
    with open(os.path.join(folder, f"tiny.{name}.logits.bin"), "wb") as out:
        out.write(b"PLTNLGT1" + struct.pack("<II", TOKENS, VOCAB) + np.asarray(ids, "<u4").tobytes())
        out.write(logits.astype("<f4").tobytes())
    print(f"{name}: {os.path.getsize(path)} bytes, logits in [{logits.min():.2f}, {logits.max():.2f}]")


def llama3_factors(head_dim, theta, factor, low, high, original):
    """The divisor of each inverse frequency (Llama 3.1 model card; rope_freqs.weight in GGUF)."""
    out = []
    for i in range(head_dim // 2):
        wavelength = 2 * np.pi * theta ** (2 * i / head_dim)
        smooth = (original / wavelength - low) / (high - low)
        if wavelength < original / high:
            out.append(1.0)
        elif wavelength > original / low:
            out.append(factor)
        else:
            out.append(1 / ((1 - smooth) / factor + smooth))
    return np.asarray(out, dtype=np.float32)


def main():
    folder = sys.argv[1]
    base = {"vocab_size": VOCAB, "rms_norm_eps": 1e-5, "max_position_embeddings": 512, "attn_implementation": "eager",
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    plain = {"rope_type": "default", "rope_theta": 10000.0}

    config = transformers.LlamaConfig(**base, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
                                      num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                                      rope_parameters=plain, tie_word_embeddings=False)
    finish(folder, "llama", transformers.LlamaForCausalLM(config), "llama", byte_vocabulary,
           lambda w: w.add_rope_freq_base(10000.0))

    scaling = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    config = transformers.LlamaConfig(**base, hidden_size=96, intermediate_size=64, num_hidden_layers=2,
                                      num_attention_heads=3, num_key_value_heads=1, head_dim=32,
                                      rope_parameters=scaling, tie_word_embeddings=True)

    def llama3_more(w):
        w.add_rope_freq_base(10000.0)
        w.add_rope_dimension_count(32)
        w.add_tensor("rope_freqs.weight", llama3_factors(32, 10000.0, 8.0, 1.0, 4.0, 64))
    finish(folder, "llama3", transformers.LlamaForCausalLM(config), "llama", byte_vocabulary, llama3_more)

    config = transformers.LlamaConfig(**base, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                                      num_attention_heads=4, num_key_value_heads=4, head_dim=16,
                                      rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
                                      tie_word_embeddings=True)

    def linear_more(w):
        w.add_rope_freq_base(10000.0)
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(4.0)
    finish(folder, "llama-linear", transformers.LlamaForCausalLM(config), "llama", byte_vocabulary, linear_more)

    # Heads wider than the model divided by them, as in Mistral Nemo, and the window of Mistral 7B v0.1.
    config = transformers.MistralConfig(**base, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                                        num_attention_heads=4, num_key_value_heads=1, head_dim=24,
                                        sliding_window=40, rope_parameters=plain | {"rope_theta": 1e6},
                                        tie_word_embeddings=False)

    def mistral_more(w):
        w.add_rope_freq_base(1e6)
        w.add_sliding_window(40)
    finish(folder, "mistral", transformers.MistralForCausalLM(config), "llama", byte_vocabulary, mistral_more)

    base |= {"rms_norm_eps": 1e-6, "bos_token_id": 2, "eos_token_id": 1}
    layers = 7
    config = transformers.Gemma3TextConfig(
        **base, hidden_size=64, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, query_pre_attn_scalar=32, sliding_window=24,
        layer_types=["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(layers)],
        rope_parameters={"full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                         "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
        tie_word_embeddings=True)

    def gemma_more(w):
        w.add_rope_freq_base(1e6)
        w.add_sliding_window(24)
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(8.0)
    finish(folder, "gemma3", transformers.Gemma3ForCausalLM(config), "gemma3", piece_vocabulary, gemma_more)

    layers = 3
    config = transformers.Gemma2Config(
        **base, hidden_size=64, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, head_dim=24, query_pre_attn_scalar=24, sliding_window=24,
        attn_logit_softcapping=4.0, final_logit_softcapping=3.0,
        layer_types=["full_attention" if i % 2 else "sliding_attention" for i in range(layers)],
        rope_parameters=plain, tie_word_embeddings=True)

    def gemma2_more(w):
        w.add_rope_freq_base(10000.0)
        w.add_sliding_window(24)
        w.add_attn_logit_softcapping(4.0)
        w.add_final_logit_softcapping(3.0)
    finish(folder, "gemma2", transformers.Gemma2ForCausalLM(config), "gemma2", piece_vocabulary, gemma2_more)

    base |= {"bos_token_id": 1, "eos_token_id": 2}
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2}
    config = transformers.Qwen2Config(**base, **shape, rope_parameters=plain | {"rope_theta": 1e6},
                                      use_sliding_window=False, tie_word_embeddings=True)
    finish(folder, "qwen2", transformers.Qwen2ForCausalLM(config), "qwen2", byte_vocabulary,
           lambda w: w.add_rope_freq_base(1e6))
    config = transformers.Qwen3Config(**base, **shape, head_dim=24, rope_parameters=plain | {"rope_theta": 1e6},
                                      use_sliding_window=False, tie_word_embeddings=False)
    finish(folder, "qwen3", transformers.Qwen3ForCausalLM(config), "qwen3", byte_vocabulary,
           lambda w: w.add_rope_freq_base(1e6))
    config = transformers.Olmo2Config(**base, **shape, rope_parameters=plain | {"rope_theta": 5e5},
                                      tie_word_embeddings=False)
    finish(folder, "olmo2", transformers.Olmo2ForCausalLM(config), "olmo2", byte_vocabulary,
           lambda w: w.add_rope_freq_base(5e5))

    # The window of Phi-3 mini 4k; then the part of each head and the factors of Phi-4 mini.
    config = transformers.Phi3Config(**base, **shape, sliding_window=40, rope_parameters=plain,
                                     tie_word_embeddings=False)

    def phi3_more(w):
        w.add_rope_freq_base(10000.0)
        w.add_sliding_window(40)
    finish(folder, "phi3", transformers.Phi3ForCausalLM(config), "phi3", byte_vocabulary, phi3_more)

    original, rotary = 256, 12
    short = [1.0 + 0.25 * i for i in range(rotary // 2)]
    long = [4.0 + i for i in range(rotary // 2)]
    config = transformers.Phi3Config(
        **base, **shape, sliding_window=None, tie_word_embeddings=True, partial_rotary_factor=0.75,
        original_max_position_embeddings=original,
        rope_parameters=plain | {"rope_type": "longrope", "short_factor": short, "long_factor": long,
                                 "partial_rotary_factor": 0.75,
                                 "original_max_position_embeddings": original})
    ratio = config.max_position_embeddings / original

    def phi3_long_more(w):
        w.add_rope_freq_base(10000.0)
        w.add_rope_dimension_count(rotary)
        w.add_rope_scaling_orig_ctx_len(original)
        w.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(ratio) / np.log(original))))
        w.add_tensor("rope_factors_short.weight", np.asarray(short, dtype=np.float32))
        w.add_tensor("rope_factors_long.weight", np.asarray(long, dtype=np.float32))
    finish(folder, "phi3-long", transformers.Phi3ForCausalLM(config), "phi3", byte_vocabulary, phi3_long_more)


if __name__ == "__main__":
    main()
