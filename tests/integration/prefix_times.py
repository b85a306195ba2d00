"""Ten turns over a system prompt of some 3,600 tokens on the 1B shape, and a restart: times to the first
token beside the first turn's. Long; on a quiet machine."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness import Server, StreamReader, request  # noqa: E402

TURNS = 10
SHARE, SHARE_AFTER_RESTART = 0.10, 0.20


def first_token_s(server, messages):
    begin = time.monotonic()
    stream = StreamReader(server, "/v1/chat/completions",
                          {"messages": messages, "stream": True, "max_tokens": 24, "temperature": 0,
                           "ignore_eos": True}, timeout=600)
    first, text = None, ""
    for event in stream.events():
        for choice in event.get("choices", []):
            piece = choice.get("delta", {}).get("content")
            if piece:
                first = first or time.monotonic() - begin
                text += piece
    stream.close()
    return first, text


def main():
    binary = pathlib.Path(os.environ["PELTON_BIN"])
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/1b.gguf"
        shape = os.environ.get("PREFIX_TEST_SHAPE", "llama-3.2-1b")
        subprocess.run([binary.parent / "pelton-generate", "--shape", shape, "--type", "Q4_0", model],
                       check=True, timeout=600)
        state = f"{folder}/state"
        options = ["--ctx", "8192", "--state-dir", state]
        times = []
        # The generated vocabulary has a token a byte.
        messages = [{"role": "system", "content": ("The rules of this house, in order. " * 110)[:3600]}]

        def turn(server, number):
            messages.append({"role": "user", "content": f"Question {number}?"})
            first, text = first_token_s(server, messages)
            messages.append({"role": "assistant", "content": text})
            times.append(first)
            print(f"turn {number}: first token after {first:.3f} s ({first / times[0]:.1%} of the first)",
                  flush=True)

        with Server(f"m={model}", *options, ready_s=300) as server:
            request(server, "POST", "/v1/completions", {"prompt": "warm", "max_tokens": 2}, timeout=120)
            for number in range(1, TURNS + 1):
                turn(server, number)
        with Server(f"m={model}", *options, ready_s=300) as server:
            request(server, "POST", "/v1/completions", {"prompt": "warm", "max_tokens": 2}, timeout=120)
            turn(server, TURNS + 1)
    slow = [i + 1 for i, t in enumerate(times[1:TURNS], 1) if t > SHARE * times[0]]
    if slow or times[TURNS] > SHARE_AFTER_RESTART * times[0]:
        sys.exit(f"too slow: turns {slow}, after the restart {times[TURNS] / times[0]:.1%}")


main()
