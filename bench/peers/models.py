"""The model files: real ones from set-up, random ones of a published shape from pelton-generate."""
import json
from pathlib import Path

from machine import need_disk, output_of, say

# name → (what the table calls it, shape, type, bytes about)
GENERATED = {
    "llama-1b-q4_0": ("Llama-3.2-1B shape, Q4_0", "llama-3.2-1b", "Q4_0", 771_000_000),
    "llama-1b-q8_0": ("Llama-3.2-1B shape, Q8_0", "llama-3.2-1b", "Q8_0", 1_320_000_000),
    "llama-1b-q4_k_m": ("Llama-3.2-1B shape, Q4_K_M", "llama-3.2-1b", "Q4_K_M", 808_000_000),
    "llama-1b-bf16": ("Llama-3.2-1B shape, BF16", "llama-3.2-1b", "BF16", 2_480_000_000),
}
TITLES = {"smollm2": "SmolLM2-135M Q4_1", "gemma3": "Gemma-3-270M Q4_K_M",
          **{name: entry[0] for name, entry in GENERATED.items()}}
# Ids that are ordinary tokens in the file's vocabulary.
TOKEN_RANGE = {"smollm2": (1000, 40000), "gemma3": (1000, 40000)}
GENERATED_RANGE = (32, 126)


def token_range(name: str) -> tuple:
    return TOKEN_RANGE.get(name, GENERATED_RANGE)


def model_file(name: str, env: dict) -> Path:
    """Path of the file; made when it is not there yet. RuntimeError says what is missing."""
    real = {"smollm2": env["PELTON_MODEL_SMOLLM2"], "gemma3": env["PELTON_MODEL_GEMMA3"]}
    if name in real:
        if not Path(real[name]).exists():
            raise RuntimeError(f"no {real[name]} (make test gets it)")
        return Path(real[name])
    title, shape, kind, size = GENERATED[name]
    folder = Path(env["PELTON_CACHE"]) / "bench"
    path = folder / f"{shape}.{kind}.gguf"
    generator = Path(env["PELTON_BIN"]).with_name("pelton-generate")
    stamp = path.with_suffix(".json")
    wanted = {"shape": shape, "type": kind, "seed": 1, "vocabulary": 2}
    if path.exists() and stamp.exists() and json.loads(stamp.read_text()) == wanted:
        return path
    need_disk(folder, size)
    say(f"  {title}: writing {path.name}, {size / 1e9:.1f} GB …")
    part = path.with_suffix(".part")
    output_of([generator, "--shape", shape, "--type", kind, "--seed", 1, part])
    part.rename(path)
    stamp.write_text(json.dumps(wanted))
    return path
