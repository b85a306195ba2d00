"""Several models in one process: load, unload, swap, idle, on demand; and one memory budget."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest
from harness import Server, StreamReader, metric, request, wait_for

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
SLOW_SIM = "sim:?rate=10&length=50"  # five seconds an answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A --model-dir, and beside it a file that must not be reached."""
    root = tmp_path_factory.mktemp("models")
    (root / "open").mkdir()
    shutil.copy(GOLDEN / "tiny.llama.gguf", root / "open/a.gguf")
    shutil.copy(GOLDEN / "tiny.llama3.gguf", root / "open/b.gguf")
    shutil.copy(GOLDEN / "tiny.llama.gguf", root / "secret.gguf")
    data = (root / "open/a.gguf").read_bytes()
    (root / "open/broken.gguf").write_bytes(data[:len(data) // 2])
    (root / "open/link.gguf").symlink_to(root / "secret.gguf")
    return root


def config(tmp_path, models):
    path = tmp_path / "pelton.yaml"
    path.write_text("models: " + json.dumps(models))
    return str(path)


def act(server, name, action, **body):
    return request(server, "POST", f"/v1/admin/models/{name}/{action}", body=body)


def view(server, name):
    models = request(server, "GET", "/v1/admin/models").json()["models"]
    return next(m for m in models if m["name"] == name)


def ask(server, model, max_tokens=4):
    return request(server, "POST", COMPLETIONS,
                   {"model": model, "prompt": [1, 2, 3], "max_tokens": max_tokens})


def stream(server, model):
    return StreamReader(server, CHAT, {"model": model, "stream": True, "max_tokens": 50,
                                       "messages": [{"role": "user", "content": "Hello"}]})


def test_a_model_is_added_unloaded_and_loaded_again(folder):
    with Server("first=sim:", "--model-dir", str(folder / "open")) as s:
        reply = act(s, "second", "load", path="a.gguf")
        assert reply.status == 200 and reply.json()["state"] == "ready", reply.body
        assert ask(s, "second").json()["usage"]["completion_tokens"] > 0
        steps = metric(s, 'pelton_steps_total{model="second"}')
        assert holders_of(s, "second") >= {"second/weights", "second/kv", "second/buffers"}
        assert act(s, "second", "load").json()["state"] == "ready"  # again is no error
        reply = act(s, "second", "unload")
        assert reply.json()["state"] == "unloaded"
        assert not holders_of(s, "second")
        refused = ask(s, "second")
        assert refused.status == 503 and "retry-after" in refused.headers
        listed = {m["id"]: m["state"] for m in request(s, "GET", "/v1/models").json()["data"]}
        assert listed == {"first": "ready", "second": "unloaded"}
        assert request(s, "GET", "/readyz").status == 200
        assert request(s, "GET", "/healthz").status == 200
        assert act(s, "second", "load").status == 200
        assert ask(s, "second").status == 200
        assert metric(s, 'pelton_steps_total{model="second"}') > steps  # goes on counting


def test_swap_drops_no_request(folder):
    with Server(f"m={SLOW_SIM}", "--model-dir", str(folder / "open")) as s:
        with stream(s, "m") as running:
            events = running.events()
            next(events)
            assert act(s, "m", "swap", path="b.gguf").status == 200
            models = request(s, "GET", "/v1/models").json()["data"]
            assert models[0]["meta"]["backend"] == "native"  # new requests go to the new one
            assert view(s, "m")["instances"] == 2
            assert ask(s, "m").status == 200
            assert len(list(events)) > 40 and running.done
        assert wait_for(lambda: view(s, "m")["instances"] == 1)
        assert act(s, "m", "swap", path="a.gguf").status == 200
        assert ask(s, "m").status == 200


def test_swaps_under_load_lose_nothing(folder):
    with Server(f"m={folder}/open/a.gguf", "--model-dir", str(folder / "open")) as s:
        statuses, stop = [], threading.Event()

        def keep_asking():
            while not stop.is_set():
                statuses.append(ask(s, "m", 16).status)

        threads = [threading.Thread(target=keep_asking) for _ in range(3)]
        for t in threads:
            t.start()
        for name in ("b.gguf", "a.gguf", "b.gguf", "a.gguf"):
            assert act(s, "m", "swap", path=name).status == 200
        stop.set()
        for t in threads:
            t.join()
        assert len(statuses) > 3 and set(statuses) == {200}, statuses
        assert wait_for(lambda: view(s, "m")["instances"] == 1)


def test_a_damaged_file_leaves_the_old_one_serving(folder):
    with Server(f"m={folder}/open/a.gguf", "--model-dir", str(folder / "open")) as s:
        reply = act(s, "m", "swap", path="broken.gguf", evict=True)
        assert reply.status in (400, 500), reply.body
        assert view(s, "m")["state"] == "ready" and view(s, "m")["path"].endswith("a.gguf")
        assert ask(s, "m").status == 200
        assert act(s, "new", "load", path="broken.gguf").status in (400, 500)
        assert view(s, "new")["state"] == "failed" and view(s, "new")["error"]
        assert ask(s, "new").status == 503
        assert "broken" not in ask(s, "new").error["message"]  # no file's name for users
        assert act(s, "new", "swap", path="b.gguf").status == 200


PATHS = ["../secret.gguf", "link.gguf", "/etc/passwd", "sim:?rate=1", "nothing.gguf", ".", "..",
         "..%2fsecret.gguf", "open/../../secret.gguf", "/proc/self/environ", "//etc/passwd"]


def test_no_path_leads_out_of_the_folders(folder):
    with Server("m=sim:", "--model-dir", str(folder / "open")) as s:
        texts = set()
        for path in [*PATHS, str(folder / "secret.gguf")]:
            for action in ("load", "swap"):
                reply = act(s, "m", action, path=path)
                assert reply.status == 403, (path, reply.body)
                texts.add(reply.error["message"])
        assert len(texts) == 1  # nobody learns which files exist
        for body in ('{"path": 1}', '{"path": ""}', '{"paht": "a.gguf"}', '[]', '{"evict": "yes"}',
                     '{"path": "a\\u0000.gguf"}', "{"):
            reply = request(s, "POST", "/v1/admin/models/m/load", body=body,
                            headers={"content-type": "application/json"})
            assert reply.status == 400, body
        assert act(s, "none", "unload").status == 404
        assert act(s, "none", "swap").status == 404
        assert act(s, "a%20b", "load", path="a.gguf").status in (400, 404)
    with Server("m=sim:") as s:  # without folders no path at all
        assert act(s, "x", "load", path=str(folder / "open/a.gguf")).status == 403
        assert act(s, "m", "swap").status == 200  # its own file is its own


def test_a_request_loads_on_demand_and_sees_progress(tmp_path):
    models = [{"name": "m", "path": "sim:?rate=1000&length=5&load_ms=2600", "on_demand": True}]
    with Server([], "--config", config(tmp_path, models)) as s:
        assert view(s, "m")["state"] == "unloaded"
        whole = []
        other = threading.Thread(target=lambda: whole.append(ask(s, "m")))
        with stream(s, "m") as waiting:
            other.start()
            assert wait_for(lambda: view(s, "m")["requests_waiting"] == 2)
            lines = list(waiting.lines())
            assert waiting.status == 200
        comments = [line for line in lines if line.startswith(": loading the model")]
        assert comments and comments[-1].endswith("%") and lines[-1] == "data: [DONE]", lines
        other.join()
        assert whole[0].status == 200
        assert view(s, "m")["requests_waiting"] == 0


def test_ollamas_clients_wait_for_a_load_and_see_that_it_goes_on(tmp_path):
    models = [{"name": "m", "path": "sim:?rate=1000&length=5&load_ms=2600", "on_demand": True}]
    body = {"model": "m:latest", "prompt": "Hello"}
    with Server([], "--config", config(tmp_path, models)) as s:
        loaded = []
        other = threading.Thread(target=lambda: loaded.append(request(s, "POST", "/api/generate", {"model": "m"})))
        other.start()
        with StreamReader(s, "/api/generate", body) as waiting:
            pieces = [json.loads(line) for line in waiting.lines()]
        other.join()
        assert pieces[0]["response"] == "" and not pieces[0]["done"]  # nothing to say yet
        assert pieces[-1]["done"] and pieces[-1]["load_duration"] > 1e9
        assert loaded[0].json()["done_reason"] == "load"
        # It goes once its last answer is out, and comes back with the next request.
        with StreamReader(s, "/api/generate", body) as running:
            assert request(s, "POST", "/api/generate", {"model": "m", "keep_alive": 0}).json()["done_reason"] == "unload"
            assert [json.loads(line) for line in running.lines()][-1]["done"]
        assert view(s, "m")["state"] == "unloaded"
        assert request(s, "POST", "/api/generate", {**body, "stream": False}).json()["done"]


def test_waiting_is_bounded_and_gone_clients_do_not_count(tmp_path):
    models = [{"name": "m", "path": "sim:?load_ms=60000", "on_demand": True}]
    with Server([], "--config", config(tmp_path, models), "--load-waiting-max", "2",
                "--load-wait-s", "6", "--drain-s", "5") as s:
        gone, kept = stream(s, "m"), stream(s, "m")
        assert wait_for(lambda: view(s, "m")["requests_waiting"] == 2)
        refused = ask(s, "m")
        assert refused.status == 503 and "retry-after" in refused.headers
        gone.close()
        assert wait_for(lambda: view(s, "m")["requests_waiting"] == 1)
        lines = list(kept.lines())  # its time is over
        kept.close()
        assert not any("[DONE]" in line for line in lines)
        assert "still loading" in lines[-1], lines
        reply = act(s, "m", "unload", wait=False)  # while it loads
        assert reply.status == 202 and reply.json()["state"] == "loading"


def test_sigterm_while_loading_ends_at_once(tmp_path):
    models = [{"name": "m", "path": "sim:?load_ms=60000", "on_demand": True}]
    server = Server([], "--config", config(tmp_path, models))
    with server as s:
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(ask(s, "m"))),
                   threading.Thread(target=lambda: replies.append(act(s, "m", "load")))]
        for t in threads:
            t.start()
        assert wait_for(lambda: view(s, "m")["requests_waiting"] == 1)
        time.sleep(0.5)  # the operator's request has come too
        began = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        assert s.process.wait(20) == 0
        assert time.monotonic() - began < 10
        for t in threads:
            t.join()
        assert [r.status for r in replies] == [503, 503]


def test_idle_models_leave_and_come_back(folder):
    with Server(f"m={folder}/open/a.gguf", "--idle-unload-s", "0.5") as s:
        first = ask(s, "m", 8).json()["choices"]
        steps = metric(s, 'pelton_steps_total{model="m"}')
        assert wait_for(lambda: view(s, "m")["state"] == "unloaded")
        assert not holders_of(s, "m")
        assert metric(s, 'pelton_steps_total{model="m"}') == steps
        assert request(s, "GET", "/readyz").status == 200
        again = request(s, "POST", COMPLETIONS, {"model": "m", "prompt": [1, 2, 3],
                                                 "max_tokens": 8, "temperature": 0})
        assert again.status == 200 and first
        assert metric(s, 'pelton_steps_total{model="m"}') > steps


def holders_of(server, name):
    holders = request(server, "GET", "/v1/engine").json()["memory"]["holders"]
    return {h["name"] for h in holders if h["name"].startswith(name + "/")}


def room_for_one(model):
    """Options with which one model of the kind fits and two do not."""
    no_disk = ["--prefix-cache-disk", "off"]
    with Server(f"m={model}", "--ctx", "64", *no_disk) as s:
        memory = request(s, "GET", "/v1/engine").json()["memory"]
    kv = next(h["bytes"] for h in memory["holders"] if h["name"] == "m/kv")
    free = 1.6 * memory["held_bytes"]
    limit = int(((64 << 20) + free) * 32 / 31) + 1  # the reserve is 64 MiB and a thirty-second
    return [*no_disk, "--ctx", "64", "--kv-bytes-max", str(kv), "--memory", str(limit)]


def test_the_least_recently_used_model_makes_room(folder, tmp_path):
    models = [{"name": "a", "path": f"{folder}/open/a.gguf"},
              {"name": "b", "path": f"{folder}/open/b.gguf", "on_demand": True}]
    with Server([], "--config", config(tmp_path, models),
                *room_for_one(f"{folder}/open/a.gguf")) as s:
        assert view(s, "a")["state"] == "ready"
        assert ask(s, "b").status == 200
        assert (view(s, "a")["state"], view(s, "b")["state"]) == ("unloaded", "ready")
        assert ask(s, "a").status == 200
        assert (view(s, "a")["state"], view(s, "b")["state"]) == ("ready", "unloaded")


def test_swap_without_room_is_refused_with_numbers_unless_evicting(folder):
    with Server(f"m={folder}/open/a.gguf", "--model-dir", str(folder / "open"),
                *room_for_one(f"{folder}/open/a.gguf")) as s:
        refused = act(s, "m", "swap", path="b.gguf")
        assert refused.status == 409 and "MiB" in refused.error["message"], refused.body
        assert "--memory" in refused.error["message"]
        assert ask(s, "m").status == 200 and view(s, "m")["path"].endswith("a.gguf")
        assert act(s, "m", "swap", path="b.gguf", evict=True).status == 200
        assert ask(s, "m").status == 200 and view(s, "m")["path"].endswith("b.gguf")


def refusal(*options):
    done = subprocess.run([os.environ["PELTON_BIN"], "serve", "--port", "0", *options],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("pelton: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_what_does_not_fit_is_refused_in_one_line_with_numbers(folder):
    model = f"m={folder}/open/a.gguf"
    line = refusal("--model", model, "--memory", "67MiB")
    assert "MiB" in line and "budget of 67 MiB (--memory)" in line and "fewer --max-running" in line
    line = refusal("--model", model, "--memory", "200MiB", "--kv-bytes-max", str(1 << 30))
    assert "--kv-bytes-max is 1024 MiB" in line and "smaller --ctx" in line
    assert "program alone" in refusal("--model", model, "--memory", "1MiB")
    assert "--memory is" in refusal("--model", model, "--memory", "900TiB")
    done = subprocess.run([os.environ["PELTON_BIN"], "serve", "--memory", "lots"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "size such as 4GiB" in done.stderr
