"""The arithmetic and the texts of the comparison; nothing is measured here."""
import json
import pathlib
import re
import sys
import threading
import time
import xml.etree.ElementTree

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import curves  # noqa: E402
import engine  # noqa: E402
import llama_engine  # noqa: E402
import machine  # noqa: E402
import models  # noqa: E402
import pelton_engine  # noqa: E402
import plots  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
import run  # noqa: E402
import stats  # noqa: E402


def test_rounds_go_there_and_back():
    assert stats.turns(["a", "b"], 3) == [["a", "b"], ["b", "a"], ["a", "b"]]
    assert stats.turns(["a", "b", "c"], 2)[1] == ["c", "b", "a"]


def test_quartiles_and_wide_spreads():
    assert stats.quartiles([4.0]) == (4.0, 4.0, 4.0)
    assert stats.quartiles([1, 2, 3, 4, 5]) == (2, 3, 4)
    assert not stats.Spread(0.93, 1.0, 1.07).wide
    assert stats.Spread(0.92, 1.0, 1.08).wide


def test_ratios_are_of_the_same_round_and_above_one_when_ours_is_better():
    assert stats.ratios([10, 20], [5, 5]) == [2, 4]
    assert stats.ratios([2.0], [4.0], lower_is_better=True) == [2.0]
    assert stats.ratios([10, None, 30], [5, 5, None]) == [2]


def test_every_row_of_the_issue_is_there_once():
    ids = [row.id for job in rows.JOBS for row in job.rows]
    assert len(ids) == len(set(ids))
    for model in ("smollm2", "llama-1b-q4_0"):
        for what in ("prefill", "decode-1", "decode-8", "decode-32"):
            assert f"{model}/{what}" in ids
    for other in ("llama-1b-q8_0/prefill", "llama-1b-bf16/decode-1", "llama-1b-q4_k_m/prefill",
                  "gemma3/decode-1", "smollm2/depth-1", "smollm2/depth-8", "smollm2/repeat",
                  "llama-1b-q4_0/start", "smollm2/avx2/prefill", "smollm2/avx512/decode-1"):
        assert other in ids
    assert all(job.model in models.TITLES for job in rows.JOBS)
    assert all(set(row.targets) <= set(job.peers) for job in rows.JOBS for row in job.rows)


def test_only_and_quick_choose():
    picked = rows.chosen(re.compile("decode-32"), False)
    assert [r.id for job in picked for r in job.rows] == ["smollm2/decode-32", "llama-1b-q4_0/decode-32"]
    assert all(job.quick for job in rows.chosen(None, True))
    assert len(rows.chosen(None, False)) == len(rows.JOBS)


def entry(**fields):
    return {"date": "2026-01-01", "commit": "abc", "threads": 2, "rounds": 3, "commands": ["x --y"],
            "peers": ["llama.cpp"], "samples": {}, "not_run": {}, **fields}


LIMITS = {"threads": 2, "parallel_region_us": 0.5,
          "read": [{"bytes": 1 << 20, "pages": "huge", "threads": 2, "bytes_per_s": 3e10}],
          "multiply": [{"name": "avx2_fma_f32", "what": "AVX2 FMA, fp32", "threads": 2, "ops_per_s": 2e11}]}


def table(results, row):
    text = report.markdown(results, [])
    return next(line for line in text.splitlines() if row.what in line and line.startswith("|"))


def test_a_losing_row_stays_and_says_so():
    row = rows.JOBS[0].rows[0]
    results = report.merge({"machines": {}}, "CPU", LIMITS, {
        row.id: entry(samples={"pelton": [50.0, 52.0, 51.0, 51.0, 51.0],
                                       "llama.cpp": [100.0, 104.0, 102.0, 102.0, 102.0]})}, {})
    line = table(results, row)
    assert "**0.50**" in line and "**not met**" in line and "wide" not in line


def test_a_row_that_did_not_run_says_why():
    row = rows.JOBS[0].rows[0]
    results = report.merge({"machines": {}}, "CPU", None, {
        row.id: entry(samples={"pelton": [50.0]}, not_run={"llama.cpp": "no | such\nthing"})}, {})
    assert "not run: no / such thing" in table(results, row)


def test_wide_spreads_are_marked():
    row = rows.JOBS[0].rows[0]
    results = report.merge({"machines": {}}, "CPU", None, {
        row.id: entry(samples={"pelton": [50.0, 80.0, 120.0], "llama.cpp": [10.0, 10.0, 10.0]})}, {})
    line = table(results, row)
    assert "*wide*" in line and "3 of 5 rounds" in line and "met" not in line  # too few to say so


def test_a_new_run_replaces_what_it_measured_and_nothing_else():
    a, b = rows.JOBS[0].rows
    results = report.merge({"machines": {}}, "CPU", LIMITS, {a.id: entry(samples={"pelton": [1.0]}),
                                                             b.id: entry(samples={"pelton": [2.0]})}, {})
    report.merge(results, "CPU", None, {a.id: entry(samples={"pelton": [3.0]}),
                                        b.id: entry(not_run={"pelton": "no time"})}, {})
    report.merge(results, "other CPU", None, {a.id: entry(samples={"pelton": [9.0]})}, {})
    kept = results["machines"]["CPU"]
    assert kept["rows"][a.id]["samples"] == {"pelton": [3.0]}
    assert kept["rows"][b.id]["samples"] == {"pelton": [2.0]}
    assert kept["limits"] == LIMITS
    kept["rows"][a.id]["load_share"] = 0.021
    assert "at most 2.1 % of a CPU" in report.markdown(results, [])
    assert "other CPU" in report.markdown(results, [])


def test_only_the_generated_part_of_the_page_changes():
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    part = f"{report.BEGIN}\nnew\n{report.END}"
    assert report.insert(page, part) == f"before\n{part}\nafter\n"
    with pytest.raises(ValueError):
        report.insert("no markers", part)


def test_the_page_in_the_tree_is_what_the_results_give():
    page = (HERE.parents[1] / "docs" / "performance.md").read_text()
    results = report.load(HERE / "results.json")
    if results["machines"]:
        folder = HERE.parents[1] / "docs"
        pictures = [(t, n) for t, n in curves.pictures(results) if (folder / n).exists()]
        assert report.insert(page, report.markdown(results, pictures)) == page
    assert report.BEGIN in page and report.END in page


def test_charts_are_svg_with_a_line_for_each_series():
    svg = plots.chart("title", "x", "y", {"a": [(1, 1.0), (64, 30.5)], "b": [(1, 2.0), (64, 31.0)]})
    root = xml.etree.ElementTree.fromstring(svg)
    lines = [e for e in root.iter() if e.tag.endswith("polyline")]
    assert len(lines) == 2 and all(len(e.get("points").split()) == 2 for e in lines)
    assert plots.nice_step(64, 8) == 10 and plots.nice_step(8192, 8) == 2000 and plots.nice_step(0.4, 5) == 0.1


class Told(run.Context):
    def __init__(self):
        super().__init__({"PELTON_CACHE": "/c"}, 2, pathlib.Path("pelton"), pathlib.Path("load"))
        self.llama = pathlib.Path("llama")


def test_answers_of_the_programs_become_figures(monkeypatch):
    job = next(j for j in rows.JOBS if j.name == "smollm2 process")
    ours = {"results": [{"name": "prefill 512", "streams": 1, "tokens_per_s": 700.0},
                        {"name": "decode 1 stream", "streams": 1, "tokens_per_s": 90.0}]}
    monkeypatch.setattr(pelton_engine, "output_of", lambda argv, env=None: json.dumps(ours))
    assert pelton_engine.BenchSession(Told(), "m", job).measure() == {
        "smollm2/prefill": 700.0, "smollm2/decode-1": 90.0}
    theirs = [{"n_prompt": 16, "n_gen": 0, "samples_ts": [1.0]},
              {"n_prompt": 512, "n_gen": 0, "samples_ts": [300.0, 100.0, 900.0]},
              {"n_prompt": 0, "n_gen": 64, "samples_ts": [80.0]}]
    monkeypatch.setattr(llama_engine, "output_of", lambda argv, env=None: json.dumps(theirs))
    assert llama_engine.BenchSession(Told(), "m", job, pathlib.Path("l")).measure() == {
        "smollm2/prefill": 300.0, "smollm2/decode-1": 80.0}
    deep = next(j for j in rows.JOBS if j.way == "depth")
    lines = 'text\n{"pl": 1, "speed_tg": 5.0}\n{"pl": 8, "speed_tg": 9.0}\n'
    monkeypatch.setattr(llama_engine, "output_of", lambda argv, env=None: lines)
    assert llama_engine.DepthSession(Told(), "m", deep).measure() == {
        "smollm2/depth-1": 5.0, "smollm2/depth-8": 9.0}


def test_speculation_is_off_but_for_its_own_row(monkeypatch):
    job = next(j for j in rows.JOBS if j.name == "smollm2 server")
    for help_text, has in (("--speculation MODE", True), ("--threads N", False)):
        monkeypatch.setattr(pelton_engine, "serve_options", lambda binary, text=help_text: text)
        words = pelton_engine.serve_command(Told(), "m", job, 1, "off")
        assert ("--speculation" in words) == has
    assert "--spec-type" not in llama_engine.serve_command(Told(), "m", job, 1)
    repeat = next(j for j in rows.JOBS if j.way == "repeat")
    with pytest.raises(engine.NotRun):
        pelton_engine.Pelton().open(Told(), "m", repeat)
    assert "--spec-type" in llama_engine.serve_command(Told(), "m", repeat, 1)


def test_both_sides_get_the_same_threads_streams_and_context():
    job = next(j for j in rows.JOBS if j.name == "smollm2 depth")
    ours = list(map(str, pelton_engine.bench_command(Told(), "m", job)))
    theirs = list(map(str, llama_engine.DepthSession(Told(), "m", job).commands[0]))
    assert ours[ours.index("--depth") + 1] == theirs[theirs.index("-npp") + 1] == "8160"
    assert ours[ours.index("--streams") + 1] == theirs[theirs.index("-npl") + 1] == "1,8"
    assert ours[ours.index("--generate") + 1] == theirs[theirs.index("-ntg") + 1]
    assert ours[ours.index("--threads") + 1] == theirs[theirs.index("-t") + 1]


def test_packed_weights_are_kept_for_starts_alone_and_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(pelton_engine, "serve_options", lambda binary: "--packed-cache DIR|off")
    server = next(j for j in rows.JOBS if j.way == "server")
    words = pelton_engine.serve_command(Told(), "m", server, 1, "off")
    assert words[words.index("--packed-cache") + 1] == "off"
    start = next(j for j in rows.JOBS if j.way == "start")
    words = pelton_engine.serve_command(Told(), "m", start, 1, "off")
    assert words[words.index("--packed-cache") + 1] == "/c/bench/packed"
    began = time.monotonic()
    pelton_engine.wait_settled(tmp_path / "none", limit_s=0.3, still_s=0.1)
    assert time.monotonic() - began >= 0.3  # nothing came
    writer = threading.Timer(0.2, lambda: (tmp_path / "a").write_text("x"))
    writer.start()
    pelton_engine.wait_settled(tmp_path, limit_s=20, still_s=0.2)
    assert (tmp_path / "a").exists()
    writer.join()


def test_rows_held_to_an_instruction_set_say_where_they_mean_nothing(monkeypatch):
    for flags, runs in ((set(), ()), ({"avx512f"}, ("avx2",)), ({"avx512f", "amx_tile"}, ("avx2", "avx512"))):
        monkeypatch.setattr(pelton_engine, "cpu_flags", lambda flags=flags: flags)
        for isa in pelton_engine.FORCED:
            job = next(j for j in rows.JOBS if j.way == isa)
            if isa in runs:
                session = pelton_engine.Pelton().open(Told(), "m", job)
                assert session.commands[0][0] == f"PELTON_FORCE_ISA={isa}"
            else:
                with pytest.raises(engine.NotRun, match="this CPU has"):
                    pelton_engine.Pelton().open(Told(), "m", job)


def test_an_engine_that_fails_leaves_the_others(monkeypatch):
    class Good(engine.Session):
        commands = [["good", "/c/file"]]

        def measure(self):
            return {"smollm2/prefill": 3.0, "smollm2/decode-1": 4.0}

    class Bad(engine.Session):
        def measure(self):
            raise RuntimeError("it fell")
    job = rows.JOBS[0]
    monkeypatch.setattr(models, "model_file", lambda name, env: "m")
    monkeypatch.setattr(run, "open_sessions", lambda *a: {"pelton": Good(), "llama.cpp": Bad()})
    got = run.measure_job(Told(), job, 3, None)["smollm2/prefill"]
    assert got["samples"] == {"pelton": [3.0, 3.0, 3.0]}
    assert got["not_run"] == {"llama.cpp": "it fell"}
    assert got["commands"] == ["good '$PELTON_CACHE/file'"] or "$PELTON_CACHE/file" in got["commands"][0]


def test_a_missing_model_is_a_reason(monkeypatch):
    def missing(name, env):
        raise RuntimeError("no model")
    monkeypatch.setattr(models, "model_file", missing)
    got = run.measure_job(Told(), rows.JOBS[0], 2, None)["smollm2/decode-1"]
    assert got["samples"] == {} and got["not_run"] == {"pelton": "no model"}


def test_a_full_disk_is_refused_before_writing(monkeypatch, tmp_path):
    usage = type("Usage", (), {"free": 3_000_000_000})()
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: usage)
    machine.need_disk(tmp_path, 900_000_000)
    with pytest.raises(RuntimeError, match="free"):
        machine.need_disk(tmp_path, 1_100_000_000)


def test_arguments():
    assert run.parse([]).rounds == 5 and run.parse(["--quick"]).rounds == 3
    assert run.parse(["--peers", "llama"]).no_write and run.parse(["--quick"]).no_write
    assert not run.parse(["--only", "decode"]).no_write
    for bad in (["--rounds", "-1"], ["--vllm-model", "x"], ["--only", "("]):
        with pytest.raises(SystemExit):
            run.parse(bad)
