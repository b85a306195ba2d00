"""A tiny Hugging Face folder of random weights: the files of a byte-level Llama, in memory."""
import json
import random
import struct


def letters():
    """GPT-2's printable character for each byte."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out, extra = [], 0
    for b in range(256):
        out.append(chr(b) if b in keep else chr(256 + extra))
        extra += b not in keep
    return out


def tokenizer():
    names = letters() + ["th", "Ġth", "Ġthe"]
    specials = ["<|begin|>", "<|im_start|>", "<|im_end|>"]
    return {
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(names)},
                  "merges": ["t h", "Ġ th", "Ġth e"], "ignore_merges": False, "byte_fallback": False},
        "added_tokens": [{"id": len(names) + i, "content": s, "special": True, "lstrip": False,
                          "rstrip": False, "single_word": False, "normalized": False}
                         for i, s in enumerate(specials)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}}


def safetensors(tensors):
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        # BF16: the upper half of a float's bits.
        raw = b"".join(struct.pack("<f", v)[2:] for v in values)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def files(shards=1, dim=64, hidden=96, layers=2, heads=4, kv_heads=2):
    """{name: bytes} of the folder."""
    rng = random.Random(5)
    vocab = 272

    def matrix(rows, columns, scale=0.2):
        return [rows, columns], [rng.gauss(0, scale) for _ in range(rows * columns)]

    def norm():
        return [dim], [1.0] * dim
    width = dim // heads * kv_heads
    tensors = {"model.embed_tokens.weight": matrix(vocab, dim, 1.0), "model.norm.weight": norm()}
    for i in range(layers):
        layer = f"model.layers.{i}."
        tensors |= {layer + "input_layernorm.weight": norm(), layer + "post_attention_layernorm.weight": norm(),
                    layer + "self_attn.q_proj.weight": matrix(dim, dim),
                    layer + "self_attn.k_proj.weight": matrix(width, dim),
                    layer + "self_attn.v_proj.weight": matrix(width, dim),
                    layer + "self_attn.o_proj.weight": matrix(dim, dim),
                    layer + "mlp.gate_proj.weight": matrix(hidden, dim),
                    layer + "mlp.up_proj.weight": matrix(hidden, dim),
                    layer + "mlp.down_proj.weight": matrix(dim, hidden)}
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": dim, "intermediate_size": hidden,
              "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
              "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "tie_word_embeddings": True, "vocab_size": vocab, "torch_dtype": "bfloat16", "hidden_act": "silu"}
    template = ("{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
                "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
    out = {"config.json": json.dumps(config).encode(),
           "tokenizer.json": json.dumps(tokenizer(), ensure_ascii=False).encode(),
           "tokenizer_config.json": json.dumps({"bos_token": "<|begin|>", "eos_token": "<|im_end|>",
                                                "chat_template": template}).encode(),
           "generation_config.json": json.dumps({"do_sample": True, "temperature": 0.5, "top_k": 20,
                                                 "eos_token_id": [261]}).encode()}
    if shards == 1:
        return out | {"model.safetensors": safetensors(tensors)}
    names, parts = {}, [{} for _ in range(shards)]
    for i, (name, tensor) in enumerate(tensors.items()):
        parts[i % shards][name] = tensor
        names[name] = f"model-{i % shards + 1:05}-of-{shards:05}.safetensors"
    for i, part in enumerate(parts):
        out[f"model-{i + 1:05}-of-{shards:05}.safetensors"] = safetensors(part)
    out["model.safetensors.index.json"] = json.dumps({"metadata": {}, "weight_map": names}).encode()
    return out
