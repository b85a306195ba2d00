"""`pelton bench` on a small generated model: the rows asked for, and figures that fit together."""
import json
import os
import pathlib
import subprocess

import pytest

PELTON = pathlib.Path(os.environ["PELTON_BIN"])
ENV = {k: v for k, v in os.environ.items() if not k.startswith("PELTON_")}


def bench(*words, code=0):
    done = subprocess.run([PELTON, "bench", *map(str, words)], capture_output=True, text=True,
                          timeout=120, env=ENV)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "tiny.gguf"
    subprocess.run([PELTON.with_name("pelton-generate"), "--shape", "tiny", "--type", "Q4_0", path],
                   check=True, capture_output=True)
    return path


def test_every_depth_and_number_of_streams_is_a_row(model):
    got = json.loads(bench("--model", model, "--prompt", 32, "--generate", 4, "--streams", "1,3",
                           "--depth", "0,40", "--repeats", 2, "--threads", 2, "--json").stdout)
    rows = [(r["kind"], r["streams"], r["depth"], r["tokens"]) for r in got["results"]]
    assert rows == [("prefill", 1, 0, 32), ("prefill", 1, 40, 32), ("decode", 1, 0, 4), ("decode", 1, 40, 4),
                    ("decode", 3, 0, 12), ("decode", 3, 40, 12)]
    for row in got["results"]:
        assert row["tokens_per_s"] > 0 and len(row["runs"]) == 2
        if row["kind"] == "decode":
            assert row["ms_per_step"] == pytest.approx(1e3 * row["streams"] / row["tokens_per_s"])
            assert "share_of_read" not in row


def test_shares_are_of_limits_measured_in_the_same_run(model):
    got = json.loads(bench("--model", model, "--prompt", 32, "--generate", 4, "--repeats", 1, "--shares",
                           "--threads", 1, "--json").stdout)
    prefill, decode = got["results"]
    # tiny: 2 layers of 256 x (256 + 2 * 128 + 256) + 3 * 256 * 512 weights, a head of 512 x 256
    ops = 2 * (32 * 2 * (256 * (256 + 128 + 128 + 256) + 3 * 256 * 512) + 512 * 256)
    assert prefill["ops_per_s"] == pytest.approx(ops * prefill["tokens_per_s"] / 32)
    for name, peak in got["peak_ops_per_s"].items():
        assert prefill["share_of_peak"][name] == pytest.approx(prefill["ops_per_s"] / peak)
    assert decode["share_of_read"] == pytest.approx(decode["bytes_per_s"] / got["read_bytes_per_s"])
    assert decode["weight_reads_per_step"] == pytest.approx(
        decode["ms_per_step"] * 1e-3 * got["read_bytes_per_s"] / got["step_bytes"])


@pytest.mark.parametrize("words", [("--streams", "0"), ("--streams", "1025"), ("--streams", "1,"),
                                   ("--depth", "-1"), ("--depth", "131073"), ("--depth", "x")])
def test_numbers_out_of_range_are_refused(model, words):
    assert f"{words[0]} must be whole numbers" in bench("--model", model, *words, code=1).stderr


def test_the_table_names_every_row(model):
    text = bench("--model", model, "--prompt", 16, "--generate", 2, "--streams", 2, "--repeats", 1).stdout
    assert "prefill 16 " in text and "decode 2 streams" in text
