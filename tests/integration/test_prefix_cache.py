"""The prefix cache from outside: counts in usage and metrics, tenants, restart, files, `pelton cache`."""
import hashlib
import os
import pathlib
import stat
import subprocess

import pytest
from harness import Server, metric, request

CHAT = "/v1/chat/completions"
MODEL = os.environ["PELTON_MODEL_SMOLLM2"]
SYSTEM = " ".join(f"Rule {i}: answer number {i * 7} in few words." for i in range(20))


def ask(server, question, key=None, **more):
    body = {"messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}],
            "max_tokens": 8, "temperature": 0, **more}
    headers = {"authorization": f"Bearer {key}"} if key else {}
    reply = request(server, "POST", CHAT, body, headers, timeout=180)
    assert reply.status == 200, reply.body
    answer = reply.json()
    usage = answer["usage"]
    return answer["choices"][0]["message"]["content"], usage["prompt_tokens"], \
        usage["prompt_tokens_details"]["cached_tokens"]


def cache_command(state, *words):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PELTON_")}
    return subprocess.run([os.environ["PELTON_BIN"], "cache", *words, "--state-dir", str(state),
                           "--packed-cache", str(state / "packed")],
                          capture_output=True, text=True, timeout=60, env=env, check=False)


@pytest.fixture()
def state(tmp_path):
    return tmp_path / "state"


def serve(state, *options):
    return Server(f"smollm2={MODEL}", "--ctx", "1024", "--state-dir", str(state), *options,
                  ready_s=180)


def test_a_conversation_survives_a_restart_and_a_wipe_ends_it(state):
    with serve(state) as server:
        text, prompt, cached = ask(server, "What is two and two?")
        assert cached == 0 and prompt > 200
        again, _, cached = ask(server, "What is two and two?")
        assert cached == (prompt - 1) // 16 * 16
        assert again == text
        assert metric(server, "pelton_prefix_cache_hit_tokens_total") == cached
        assert metric(server, "vllm:prefix_cache_hits_total") == cached
        assert metric(server, "pelton_prefix_cache_queried_tokens_total") == 2 * prompt
        busy = cache_command(state, "wipe-prompts")
        assert busy.returncode == 1 and "in use" in busy.stderr
    folder = state / "prefix-cache"
    blocks = list((folder / "blocks").iterdir())
    assert len(blocks) == prompt // 16
    for path in [folder, folder / "blocks"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in [folder / "key", *blocks]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    with serve(state) as server:
        after, _, cached = ask(server, "What is two and two?")
        assert cached == (prompt - 1) // 16 * 16
        assert after == text
        assert metric(server, "pelton_prefix_disk_read_blocks_total") == cached // 16
        assert metric(server, "pelton_prefix_disk_damaged_files_total") == 0

    blocks[0].write_bytes(b"x" * 100)
    shown = cache_command(state, "show")
    assert shown.returncode == 0 and f"{len(blocks)} blocks" in shown.stdout
    assert cache_command(state, "wipe-prompts").returncode == 0
    assert not list((folder / "blocks").iterdir()) and not (folder / "key").exists()
    with serve(state) as server:
        assert ask(server, "What is two and two?")[2] == 0


def test_a_killed_server_leaves_what_it_had_written(state):
    server = serve(state)
    try:
        text, _, _ = ask(server, "Who are you?")
        server.kill()
    finally:
        server.kill()
        server.process.stdout.close()
    (state / "prefix-cache" / "blocks" / ".new").write_bytes(b"half a block")
    with serve(state) as server:
        after, prompt, cached = ask(server, "Who are you?")
        assert after == text
        assert 0 <= cached <= (prompt - 1) // 16 * 16
        assert metric(server, "pelton_prefix_disk_damaged_files_total") == 0


def test_tenants_find_their_own_only(state, tmp_path):
    keys = {name: f"key-of-{name}-0123456789" for name in ("left", "right")}
    config = tmp_path / "pelton.yaml"
    config.write_text("keys:\n" + "".join(
        f"  - {{tenant: {name}, sha256: {hashlib.sha256(key.encode()).hexdigest()}}}\n"
        for name, key in keys.items()))
    for _ in range(2):  # in memory; then after a restart from the disk
        with serve(state, "--config", str(config)) as server:
            ask(server, "What is two and two?", keys["left"])
            assert ask(server, "What is two and two?", keys["left"])[2] > 200
            if _ == 0:
                assert ask(server, "What is two and two?", keys["right"], max_tokens=1)[2] == 0
            else:
                assert ask(server, "Another one?", keys["right"], max_tokens=1)[2] > 200


@pytest.mark.parametrize("options", [["--prefix-cache-disk", "off"], ["--no-prefix-cache"]])
def test_off_writes_no_file(state, options):
    with serve(state, *options) as server:
        ask(server, "What is two and two?")
        cached = ask(server, "What is two and two?")[2]
        assert (cached > 0) == ("--no-prefix-cache" not in options)
    assert not list(pathlib.Path(state).glob("prefix-cache/blocks/*"))
