"""Runs inside the peers' Python environment: loads a model into OpenVINO GenAI and measures as often
as it is asked.  openvino_driver.py FILE.gguf THREADS [KEY=VALUE …]

Reads one JSON object a line, {"streams": N, "prompt": tokens, "output": tokens, "ids": [low, high],
"seed": N}, and writes one: {"prefill": tokens/s} when output is 1, else {"decode": tokens/s}. Decoding
counts from the first token to the last, by the library's own time stamps.
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

    def generate(ask: dict) -> tuple:
        """Seconds of it all, and the time stamps of its steps in milliseconds."""
        rng = random.Random(ask["seed"])
        low, high = ask["ids"]
        ids = numpy.array([[rng.randint(low, high) for _ in range(ask["prompt"])]
                           for _ in range(ask["streams"])], dtype=numpy.int64)
        generation = openvino_genai.GenerationConfig()
        generation.max_new_tokens = ask["output"]
        generation.ignore_eos = True
        generation.do_sample = False
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids),
                                                openvino.Tensor(numpy.ones_like(ids)))
        begin = time.monotonic()
        result = pipeline.generate(inputs, generation)
        seconds = time.monotonic() - begin
        made = [len(row) for row in result.tokens]
        stamps = list(result.perf_metrics.raw_metrics.m_new_token_times)
        assert made == [ask["output"]] * ask["streams"] and len(stamps) == ask["output"], (made, stamps)
        return seconds, stamps

    for line in sys.stdin:
        ask = json.loads(line)
        seconds, stamps = generate(ask)
        if ask["output"] <= 1:
            answer = {"prefill": ask["streams"] * ask["prompt"] / seconds}
        else:
            steps = ask["output"] - 1
            answer = {"decode": ask["streams"] * steps / ((stamps[-1] - stamps[0]) * 1e-3)}
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
