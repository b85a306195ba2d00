"""The rows of the table: what is measured, with which model, beside whom, and what Pelton is to
reach there. A job is what one start of each engine can measure; its rows are taken together."""
from dataclasses import dataclass, field

OPENVINO = ("openvino", "openvino-f32")
VLLM = ("vllm",)


@dataclass(frozen=True)
class Row:
    id: str
    what: str               # as the table calls it
    kind: str               # prefill, decode: tokens/s; start: seconds
    streams: int = 1
    prompt: int = 512       # tokens; of prefill, or before decoding
    output: int = 64        # tokens of each stream
    depth: int = 0          # tokens in the context before
    targets: dict = field(default_factory=dict)  # peer → ratio to reach (the demand)

    @property
    def lower_is_better(self) -> bool:
        return self.kind == "start"


@dataclass(frozen=True)
class Job:
    model: str              # a name of models.py
    way: str                # process, server, depth, repeat, start; avx2, avx512: process, held to that
    rows: tuple
    peers: tuple
    quick: bool = False     # part of --quick

    @property
    def name(self) -> str:
        return f"{self.model} {self.way}"


def _pair(model: str, prefill: dict, one: dict, output: int = 64) -> tuple:
    return (Row(f"{model}/prefill", "prefill of 512", "prefill", targets=prefill),
            Row(f"{model}/decode-1", "one stream", "decode", prompt=0, output=output, targets=one))


def _streams(model: str, eight: dict, thirty_two: dict, output: int) -> tuple:
    return (Row(f"{model}/decode-8", "8 streams", "decode", 8, prompt=16, output=output, targets=eight),
            Row(f"{model}/decode-32", "32 streams", "decode", 32, prompt=16, output=output,
                targets=thirty_two))


LLAMA_CPP_PAIR = ({"llama.cpp": 5.0}, {"llama.cpp": 1.1})
DEPTH = 8192 - 32  # so that depth and output together are 8,192

JOBS = (
    Job("smollm2", "process",
        _pair("smollm2", {"llama.cpp": 5.0, "vllm": 1.3}, {"llama.cpp": 1.25, "openvino": 2.5}),
        ("llama.cpp", *OPENVINO, *VLLM), quick=True),
    Job("smollm2", "server",
        _streams("smollm2", {"llama.cpp": 2.2, "openvino-f32": 1.4}, {"llama.cpp": 3.5, "vllm": 1.6}, 48),
        ("llama.cpp", *OPENVINO, *VLLM), quick=True),
    Job("llama-1b-q4_0", "process",
        _pair("llama-1b-q4_0", {"llama.cpp": 6.0, "vllm": 1.4}, {"llama.cpp": 1.25, "openvino": 1.25}, 32),
        ("llama.cpp", *OPENVINO, *VLLM), quick=True),
    Job("llama-1b-q4_0", "server",
        _streams("llama-1b-q4_0", {"llama.cpp": 3.0, "openvino": 1.4}, {"llama.cpp": 4.0, "vllm": 1.6}, 48),
        ("llama.cpp", *OPENVINO, *VLLM)),
    Job("smollm2", "depth",
        (Row("smollm2/depth-1", "one stream, 8,192 tokens of context", "decode", 1, 0, 32, DEPTH,
             {"llama.cpp": 1.25}),
         Row("smollm2/depth-8", "8 streams, 8,192 tokens of context each", "decode", 8, 0, 32, DEPTH,
             {"llama.cpp": 2.0})),
        ("llama.cpp",)),
    *(Job("smollm2", isa,
          (Row(f"smollm2/{isa}/prefill", f"prefill of 512, {title} only on both sides", "prefill",
               targets={"llama.cpp": 1.3}),
           Row(f"smollm2/{isa}/decode-1", f"one stream, {title} only on both sides", "decode", prompt=0,
               targets={"llama.cpp": 1.1})), ("llama.cpp",))
      for isa, title in (("avx2", "AVX2"), ("avx512", "AVX-512"))),
    Job("smollm2", "repeat",
        (Row("smollm2/repeat", "self-repeating text, one stream, speculation on", "decode", 1, 0, 160,
             targets={"pelton, speculation off": 2.0}),),
        ("pelton, speculation off", "llama.cpp")),
    Job("llama-1b-q4_0", "start",
        (Row("llama-1b-q4_0/start", "exec to first accepted request", "start",
             targets={"llama.cpp": 1.0, "vllm": 20.0}),),
        ("llama.cpp", *VLLM)),
    Job("gemma3", "process", _pair("gemma3", *LLAMA_CPP_PAIR), ("llama.cpp",), quick=True),
    Job("llama-1b-q8_0", "process", _pair("llama-1b-q8_0", *LLAMA_CPP_PAIR, 32), ("llama.cpp",)),
    Job("llama-1b-q4_k_m", "process", _pair("llama-1b-q4_k_m", *LLAMA_CPP_PAIR, 32), ("llama.cpp",)),
    Job("llama-1b-bf16", "process", _pair("llama-1b-bf16", *LLAMA_CPP_PAIR, 16), ("llama.cpp",)),
)


def chosen(only, quick: bool, jobs=JOBS) -> list:
    """Jobs with the rows whose id matches `only` (a compiled pattern or None)."""
    out = []
    for job in jobs:
        if quick and not job.quick and only is None:
            continue
        rows = tuple(r for r in job.rows if only is None or only.search(r.id))
        if rows:
            out.append(Job(job.model, job.way, rows, job.peers, job.quick))
    return out
