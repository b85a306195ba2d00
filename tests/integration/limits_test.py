"""The limits of a container, with real control groups: a CPU quota and a memory limit.

limits_test.py [CONTEXT]: tokens of the largest context in the memory test (96)."""
import concurrent.futures
import os
import statistics
import sys
import time
import unittest

from harness import Server, metric, request, wait_for
from harness.cgroup import Cgroup

MODEL = "m=" + os.environ["PELTON_MODEL_SMOLLM2"]
CONTEXT = 96
QUOTA = 0.5
LEAST_SHARE = 0.8  # of the unlimited run's tokens a CPU second
PAIRS = 5          # taken in turns: neighbours of the machine slow single ones by a fifth
REQUESTS = 64
BESIDE_BYTES = 150_000_000


def cpu_s(server):
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def generate(server, tokens):
    reply = request(server, "POST", "/v1/completions", timeout=300, body={
        "prompt": "word " * 16, "max_tokens": tokens, "n": 2, "ignore_eos": True, "seed": 1})
    assert reply.status == 200, reply.body
    return reply.json()["usage"]["completion_tokens"]


def tokens_per_cpu_s(server):
    began_s = cpu_s(server)
    return generate(server, 96) / (cpu_s(server) - began_s)


class Quota(unittest.TestCase):
    def setUp(self):
        self.group = Cgroup.make("cpu")
        if self.group is None:
            self.skipTest("this machine lets us make no cgroup with a CPU quota")
        self.addCleanup(self.group.remove)

    def test_half_a_cpu_loses_no_cpu_time(self):
        self.group.set_quota(QUOTA)
        with Server(MODEL, "--ctx", "512") as free, \
                Server(MODEL, "--ctx", "512", preexec_fn=self.group.enter, ready_s=120) as held:
            self.assertEqual(metric(held, "pelton_compute_threads"), 1)
            self.assertEqual(metric(held, "pelton_cpu_quota"), QUOTA)
            for server in (free, held):
                generate(server, 4)  # buffers are there, pages are in
            pairs = [(tokens_per_cpu_s(free), tokens_per_cpu_s(held)) for _ in range(PAIRS)]
            self.assertTrue(wait_for(
                lambda: metric(held, "pelton_cpu_throttled_seconds_total") > 0))
            self.assertIn("held this process back", held.errors())
        share = statistics.median(limited / unlimited for unlimited, limited in pairs)
        print(f"tokens a CPU second, unlimited and with a quota of {QUOTA} CPU: "
              + ", ".join(f"{u:.0f} {l:.0f}" for u, l in pairs)
              + f"; median of the ratios {share:.2f}, cgroup v{self.group.version}")
        self.assertGreater(share, LEAST_SHARE)

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "needs two CPUs")
    def test_a_quota_that_changes_is_followed_while_running(self):
        with Server(MODEL, "--ctx", "512", preexec_fn=self.group.enter) as server:
            all_threads = metric(server, "pelton_compute_threads")
            self.assertGreater(all_threads, 1)
            self.group.set_quota(1.5)
            self.assertTrue(wait_for(lambda: metric(server, "pelton_compute_threads") == 1))
            generate(server, 8)
            self.group.set_quota(None)
            self.assertTrue(wait_for(lambda: metric(server, "pelton_compute_threads") == all_threads))
            generate(server, 8)


class Memory(unittest.TestCase):
    def ask(self, server, number):
        prompt = [(number * 31 + i) % 1000 + 100 for i in range(CONTEXT - 4)]
        reply = request(server, "POST", "/v1/completions", timeout=3000, body={
            "prompt": prompt, "max_tokens": 4, "ignore_eos": True})
        if reply.status == 200:
            assert reply.json()["usage"]["completion_tokens"] == 4
        return reply.status

    def test_the_largest_contexts_all_at_once_kill_nobody(self):
        with Server(MODEL, "--ctx", str(CONTEXT), "--max-running", "1") as server:
            held = {h["name"]: h["bytes"]
                    for h in request(server, "GET", "/v1/engine").json()["memory"]["holders"]}
        limit = int(held["m/weights"] + 1.2 * held["m/kv"] + BESIDE_BYTES)
        group = Cgroup.make("memory")
        options, enter = [], None
        if group is None:
            options = ["--memory", str(limit)]
            print("no cgroup with a memory limit here: --memory and the peak of the resident set")
        else:
            self.addCleanup(group.remove)
            group.set_memory(limit)
            enter = group.enter
        with Server(MODEL, "--ctx", str(CONTEXT), *options, preexec_fn=enter,
                    ready_s=120) as server:
            began = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(REQUESTS) as pool:
                statuses = list(pool.map(lambda n: self.ask(server, n), range(REQUESTS)))
            took_s = time.monotonic() - began
            memory = request(server, "GET", "/v1/engine").json()["memory"]
            peak = group.peak_bytes() if group else server.peak_bytes()
            self.assertIsNone(server.process.poll())
        print(f"{statuses.count(200)} of {REQUESTS} finished in {took_s:.0f} s; limit "
              f"{limit / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB, budget by {memory['source']}, "
              f"cgroup {'v%d' % group.version if group else 'none'}")
        self.assertLessEqual(set(statuses), {200, 429, 503})
        self.assertGreater(statuses.count(200), 0)
        self.assertLessEqual(peak, limit)
        if group:
            self.assertEqual(memory["source"], "cgroup")
            self.assertEqual(group.oom_kills(), 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        CONTEXT = int(sys.argv.pop())
    outcome = unittest.main(exit=False, verbosity=2).result
    if not outcome.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if outcome.skipped and len(outcome.skipped) == outcome.testsRun else 0)
