#!/usr/bin/env python3
"""Writes the reference's greedy continuations of some prompts, with the gap at every step.

Usage: make_greedy.py MODEL.gguf NAME OUT_FOLDER     (format: tests/golden/README.md)
"""
import json
import os
import sys

import torch
from jinja2.sandbox import ImmutableSandboxedEnvironment

import make_logits
import reference
import tokenizers_ref

STEPS = 48
CHAT = [
    "What is the capital of France?", "Write a haiku about the sea.", "What is 17 + 25?",
    "Explain photosynthesis in two sentences.", "Give me three names for a cat.",
    "Translate 'good morning' into Spanish.", "Why is the sky blue?", "Who wrote Hamlet?",
    "Write a Python function that returns the larger of two numbers.",
    "List the planets of the solar system in order.", "What should I cook with eggs and tomatoes?",
    "Summarise: The cat sat on the mat. It was raining. The cat was happy to be inside.",
    "What is the difference between a lake and a sea?", "Tell me a short story about a robot.",
    "How many legs does a spider have?", "Is water wet? Answer yes or no and say why.",
    "Correct the grammar: She don't likes apples.", "Name a book by Jane Austen.",
    "How do I boil an egg?",
]
TALK = [{"role": "system", "content": "You are a terse assistant."},
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Hello, Ada."},
        {"role": "user", "content": "What is my name?"}]
PLAIN = [
    "The capital of France is", "Once upon a time, there was a", "Water boils at", "def fibonacci(n):\n",
    "The largest planet in the solar system is", "In 1969, the first human", "Roses are red,",
    "The recipe needs two eggs, a cup of flour and", "Dear Sir or Madam,\n\n", "1, 2, 3, 4, 5,",
    "The opposite of hot is", "Shakespeare wrote", "To be, or not to be,", "The chemical symbol for gold is",
    "Monday, Tuesday, Wednesday,", "She opened the door and", "import numpy as np\n",
    "Q: How many legs does a spider have?\nA:", "Le chat est", "The quick brown fox",
]


def chat_ids(f, messages):
    meta = f.meta
    tokens = meta["tokenizer.ggml.tokens"]
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    special = [t for t, kind in zip(tokens, meta["tokenizer.ggml.token_type"]) if int(kind) == 3]
    rendered = env.from_string(meta["tokenizer.chat_template"]).render(
        messages=messages, add_generation_prompt=True, bos_token=tokens[meta["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[meta["tokenizer.ggml.eos_token_id"]])
    tokenizer = tokenizers_ref.byte_bpe(meta)
    tokenizer.add_special_tokens(special)
    return rendered, tokenizer.encode(rendered).ids


@torch.no_grad()
def greedy(model, ids, stop):
    out, gaps, cache, feed = [], [], None, torch.tensor([ids])
    for _ in range(STEPS):
        step = model(feed, past_key_values=cache, use_cache=True)
        cache = step.past_key_values
        first = step.logits[0, -1].double().topk(2)
        out.append(int(first.indices[0]))
        gaps.append(round(float(first.values[0] - first.values[1]), 4))
        if out[-1] in stop:
            break
        feed = torch.tensor([[out[-1]]])
    return out, gaps


def main():
    path, name, folder = sys.argv[1:]
    model, f = reference.load(path)
    stop = {int(f.meta["tokenizer.ggml.eos_token_id"])}
    items = []
    if "tokenizer.chat_template" in f.meta:
        for messages in [[{"role": "user", "content": c}] for c in CHAT] + [TALK]:
            rendered, ids = chat_ids(f, messages)
            items.append({"messages": messages, "rendered": rendered, "prompt_ids": ids})
    else:
        for text in PLAIN:
            items.append({"text": text, "prompt_ids": make_logits.tokenize(f, text)})
    for item in items:
        item["ids"], item["gaps"] = greedy(model, item["prompt_ids"], stop)
        if f.meta["tokenizer.ggml.model"] == "gpt2":
            item["answer"] = tokenizers_ref.byte_bpe(f.meta).decode(item["ids"], skip_special_tokens=False)
        else:
            item["answer"] = tokenizers_ref.sentence_piece(f.meta).decode(item["ids"])
    with open(os.path.join(folder, f"greedy.{name}.json"), "w", encoding="utf-8") as out:
        out.write("[\n" + ",\n".join(json.dumps(i, ensure_ascii=False) for i in items) + "\n]\n")
    wide = sum(g > 0.3 for i in items for g in i["gaps"])
    print(f"{name}: {len(items)} prompts, {sum(len(i['ids']) for i in items)} steps, {wide} with a gap over 0.3")


if __name__ == "__main__":
    main()
