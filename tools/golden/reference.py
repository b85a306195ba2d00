"""Loads a GGUF file into `transformers` models in fp32, on the dequantised weights.

The mapping of names and of the rotary layout is written out here and checked tensor by tensor, so
that the reference does not depend on transformers' own GGUF reader (which also wants accelerate).
"""
import os

import gguf
import numpy as np
import torch
import transformers

torch.set_num_threads(int(os.environ.get("GOLDEN_THREADS", "2")))
torch.manual_seed(0)

COMMON = {
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
    "attn_norm.weight": "input_layernorm.weight",
}
LLAMA = COMMON | {"ffn_norm.weight": "post_attention_layernorm.weight"}
GEMMA3 = COMMON | {
    "ffn_norm.weight": "pre_feedforward_layernorm.weight",
    "post_attention_norm.weight": "post_attention_layernorm.weight",
    "post_ffw_norm.weight": "post_feedforward_layernorm.weight",
    "attn_q_norm.weight": "self_attn.q_norm.weight",
    "attn_k_norm.weight": "self_attn.k_norm.weight",
}
GEMMA2 = {k: v for k, v in GEMMA3.items() if "attn_q_norm" not in k and "attn_k_norm" not in k}
QWEN2 = LLAMA | {f"attn_{x}.bias": f"self_attn.{x}_proj.bias" for x in "qkv"}
QWEN3 = LLAMA | {f"attn_{x}_norm.weight": f"self_attn.{x}_norm.weight" for x in "qk"}
OLMO2 = {k: v for k, v in GEMMA3.items() if k not in ("attn_norm.weight", "ffn_norm.weight")}
PHI3 = {
    "attn_qkv.weight": "self_attn.qkv_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_up.weight": "mlp.gate_up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
    "attn_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
}
NAMES = {"llama": LLAMA, "gemma2": GEMMA2, "gemma3": GEMMA3, "olmo2": OLMO2, "phi3": PHI3, "qwen2": QWEN2,
         "qwen3": QWEN3}


def to_gguf_rows(w, heads):
    """Rows of a q or k projection, from transformers' half-split rotary order to llama's pairs."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def from_gguf_rows(w, heads):
    """The inverse of to_gguf_rows."""
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


class File:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.meta = {k: f.contents() for k, f in reader.fields.items()}
        self.tensors = {t.name: t for t in reader.tensors}
        self.arch = self.meta["general.architecture"]

    def key(self, name, default=None):
        return self.meta.get(f"{self.arch}.{name}", default)

    def array(self, name):
        t = self.tensors[name]
        shape = tuple(int(d) for d in reversed(t.shape))
        return np.asarray(gguf.dequantize(t.data, t.tensor_type), dtype=np.float32).reshape(shape)


def llama_config(f):
    heads = f.key("attention.head_count")
    dim = f.key("embedding_length")
    return transformers.LlamaConfig(
        vocab_size=int(f.tensors["token_embd.weight"].shape[1]), hidden_size=dim,
        intermediate_size=f.key("feed_forward_length"), num_hidden_layers=f.key("block_count"),
        num_attention_heads=heads, num_key_value_heads=f.key("attention.head_count_kv", heads),
        head_dim=f.key("attention.key_length", dim // heads),
        max_position_embeddings=f.key("context_length"),
        rms_norm_eps=f.key("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": f.key("rope.freq_base", 10000.0)},
        tie_word_embeddings="output.weight" not in f.tensors, attn_implementation="eager")


def gemma3_config(f):
    layers = f.key("block_count")
    return transformers.Gemma3TextConfig(
        vocab_size=int(f.tensors["token_embd.weight"].shape[1]),
        hidden_size=f.key("embedding_length"), intermediate_size=f.key("feed_forward_length"),
        num_hidden_layers=layers, num_attention_heads=f.key("attention.head_count"),
        num_key_value_heads=f.key("attention.head_count_kv"),
        head_dim=f.key("attention.key_length"), query_pre_attn_scalar=f.key("attention.key_length"),
        max_position_embeddings=f.key("context_length"),
        rms_norm_eps=f.key("attention.layer_norm_rms_epsilon"),
        sliding_window=f.key("attention.sliding_window"),
        # Five layers of local attention, then one that sees everything (Gemma 3 report, section 2).
        layer_types=["full_attention" if (i + 1) % 6 == 0 else "sliding_attention"
                     for i in range(layers)],
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": f.key("rope.freq_base")},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
        tie_word_embeddings=True, attn_implementation="eager")


def load(path):
    """Returns (model in fp32, File)."""
    f = File(path)
    if f.arch == "llama":
        config, names, shift = llama_config(f), LLAMA, 0.0
        model = transformers.LlamaForCausalLM(config)
    else:
        # The file stores gemma's norm weights with the 1 already added.
        config, names, shift = gemma3_config(f), GEMMA3, 1.0
        model = transformers.Gemma3ForCausalLM(config)
    state = {}
    used = set()

    def take(name):
        used.add(name)
        return f.array(name)

    state["model.embed_tokens.weight"] = take("token_embd.weight")
    state["model.norm.weight"] = take("output_norm.weight") - shift
    state["lm_head.weight"] = (take("output.weight") if "output.weight" in f.tensors
                               else state["model.embed_tokens.weight"])
    for i in range(config.num_hidden_layers):
        for ours, theirs in names.items():
            w = take(f"blk.{i}.{ours}")
            if f.arch == "llama" and ours == "attn_q.weight":
                w = from_gguf_rows(w, config.num_attention_heads)
            if f.arch == "llama" and ours == "attn_k.weight":
                w = from_gguf_rows(w, config.num_key_value_heads)
            if "norm" in ours:
                w = w - shift
            state[f"model.layers.{i}.{theirs}"] = w
    extra = set(f.tensors) - used
    assert not extra, f"unused tensors: {sorted(extra)}"
    model.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in state.items()},
                          strict=True)
    return model.float().eval(), f


@torch.no_grad()
def logits(model, ids):
    """fp32 logits [tokens, vocabulary] of one sequence."""
    return model(torch.tensor([ids]), use_cache=False).logits[0].float()
