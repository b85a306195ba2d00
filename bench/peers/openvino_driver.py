"""Runs inside the peers' Python environment: loads a model into OpenVINO GenAI and measures as often
as it is asked.  openvino_driver.py FILE.gguf THREADS [KEY=VALUE …]

Reads one JSON object a line, {"streams": N, "prompt": tokens, "output": tokens, "ids": [low, high],
"seed": N}, and writes one: {"prefill": tokens/s} when output is 1, else {"decode": tokens/s}.
Decoding is the difference of two runs, of one token and of 1 + output, so that no prefill is in it.
"""
import json
import random
import sys
import time


def main() -> int:
    import numpy
    import openvino
    import openvino_genai

    path, threads, *settings = sys.argv[1:]
    config = {"INFERENCE_NUM_THREADS": int(threads), "NUM_STREAMS": 1}
    config.update(pair.split("=", 1) for pair in settings)
    started = time.monotonic()
    pipeline = openvino_genai.LLMPipeline(path, "CPU", **config)
    print(json.dumps({"ready_s": time.monotonic() - started,
                      "version": openvino_genai.__version__}), flush=True)

    def generate(ask: dict, tokens: int) -> float:
        rng = random.Random(ask["seed"])
        low, high = ask["ids"]
        ids = numpy.array([[rng.randint(low, high) for _ in range(ask["prompt"])]
                           for _ in range(ask["streams"])], dtype=numpy.int64)
        generation = openvino_genai.GenerationConfig()
        generation.max_new_tokens = tokens
        generation.ignore_eos = True
        generation.do_sample = False
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids),
                                                openvino.Tensor(numpy.ones_like(ids)))
        begin = time.monotonic()
        result = pipeline.generate(inputs, generation)
        seconds = time.monotonic() - begin
        made = [len(row) for row in result.tokens]
        assert made == [tokens] * ask["streams"], f"asked for {tokens} tokens, got {made}"
        return seconds

    for line in sys.stdin:
        ask = json.loads(line)
        first = generate(ask, 1)
        if ask["output"] <= 1:
            answer = {"prefill": ask["streams"] * ask["prompt"] / first}
        else:
            whole = generate(ask, 1 + ask["output"])
            answer = {"decode": ask["streams"] * ask["output"] / max(1e-9, whole - first)}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
