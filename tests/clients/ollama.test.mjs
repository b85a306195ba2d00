// Ollama's official Node client against the running binary with the real SmolLM2.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Ollama } from "ollama";

const KEY = "client-test-key-06";
const SYSTEM = "You answer in one short sentence.";
const CAPITAL = [{ role: "system", content: SYSTEM }, { role: "user", content: "What is the capital of France?" }];
let folder, server, url, client;

const clientWith = (key) => new Ollama({ host: url, headers: { authorization: `Bearer ${key}` } });

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "pelton-"));
  const keys = join(folder, "keys");
  writeFileSync(keys, KEY + "\n", { mode: 0o600 });
  server = spawn(process.env.PELTON_BIN, ["serve", "--model", `smollm2=${process.env.PELTON_MODEL_SMOLLM2}`,
    "--port", "0", "--ctx", "1024", "--batch-invariant", "on", "--api-key-file", keys, "--state-dir", folder]);
  let output = "";
  server.stderr.on("data", (text) => (output += text));
  url = await new Promise((resolve, reject) => {
    server.stdout.on("data", (text) => {
      output += text;
      const found = output.match(/ready in .* on (http:\S+)/);
      if (found) resolve(found[1]);
    });
    server.on("exit", () => reject(new Error("ended: " + output)));
  });
  client = clientWith(KEY);
});

after(async () => {
  const code = await new Promise((resolve) => {
    server.on("exit", resolve);
    server.kill("SIGTERM");
  });
  rmSync(folder, { recursive: true });
  assert.equal(code, 0);
});

const fields = (more, options) => ({ model: "smollm2", messages: CAPITAL, ...more,
  options: { temperature: 0, num_predict: 32, ...options } });
const chat = (more, options) => client.chat(fields(more, options));
const prompt = (more, options) => client.generate({ model: "smollm2", prompt: CAPITAL[1].content, system: SYSTEM, ...more,
  options: { temperature: 0, num_predict: 32, ...options } });
const refused = (call, status, text) => assert.rejects(call, (error) => {
  assert.equal(error.status_code, status);
  return text.test(error.error ?? error.message);
});

test("a chat and a prompt, and their figures", async () => {
  const answer = await chat();
  assert.match(answer.message.content, /Paris/);
  assert.equal(answer.done_reason, "stop");
  assert.ok(answer.prompt_eval_count > 20 && answer.eval_count > 1 && answer.eval_duration > 0);
  assert.ok(Math.abs(Date.now() - new Date(answer.created_at)) < 60_000);
  assert.equal((await prompt()).response, answer.message.content);
});

test("a stream is the whole answer in pieces", async () => {
  const whole = await chat();
  let text = "", last;
  for await (const piece of await chat({ stream: true })) {
    text += piece.message.content;
    last = piece;
  }
  assert.equal(text, whole.message.content);
  assert.ok(last.done && last.eval_count === whole.eval_count);
  let response = "";
  for await (const piece of await prompt({ stream: true })) response += piece.response;
  assert.equal(response, whole.message.content);
});

test("the end has its reason", async () => {
  assert.equal((await chat({}, { num_predict: 2 })).done_reason, "length");
  const stopped = await chat({}, { stop: ["Paris"] });
  assert.equal(stopped.done_reason, "stop");
  assert.doesNotMatch(stopped.message.content, /Paris/);
});

test("raw prompts, turns and a begun answer", async () => {
  const raw = await client.generate({ model: "smollm2:latest", raw: true, options: { temperature: 0, num_predict: 32 },
    prompt: "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n" });
  assert.match(raw.response, /Paris/);
  const begun = [...CAPITAL, { role: "assistant", content: "The capital of France is" }];
  assert.match((await chat({ messages: begun }, { num_predict: 4 })).message.content, /^ Paris/);
});

test("what models there are", async () => {
  assert.deepEqual((await client.list()).models.map((model) => model.name), ["smollm2:latest"]);
  const [running] = (await client.ps()).models;
  assert.ok(running.name === "smollm2:latest" && new Date(running.expires_at) > new Date());
  const shown = await client.show({ model: "smollm2" });
  assert.equal(shown.details.family, "llama");
  assert.equal(shown.model_info["llama.context_length"], 1024);
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
  assert.equal((await client.pull({ model: "smollm2" })).status, "success");
});

test("an empty prompt loads", async () => {
  assert.equal((await client.generate({ model: "smollm2", prompt: "" })).done_reason, "load");
  assert.equal((await client.chat({ model: "smollm2", messages: [], keep_alive: -1 })).done_reason, "load");
});

test("errors have their status and name what is wrong", async () => {
  await refused(chat({ model: "nobody" }), 404, /nobody/);
  await refused(chat({ model: "nobody", stream: true }), 404, /nobody/);
  await refused(chat({ format: "json" }), 400, /format/);
  await refused(chat({ tools: [{ type: "function", function: { name: "a b" } }] }), 400, /tools/);
  await refused(chat({}, { temperature: 3 }), 400, /temperature/);
  await refused(prompt({ suffix: "x" }), 400, /suffix/);
  await refused(client.embed({ model: "smollm2", input: "x" }), 501, /embed/);
  await refused(client.delete({ model: "smollm2" }), 501, /operator/);
  await refused(client.pull({ model: "nobody" }), 501, /pelton pull/);
  await refused(clientWith("wrong-key-00000000").list(), 401, /key/);
});

test("a stream that is left ends, and the server goes on", async () => {
  const stream = await chat({ stream: true }, { num_predict: 900, temperature: 1 });
  await assert.rejects(async () => {
    for await (const piece of stream) if (piece.message.content) stream.abort();
  });
  const answers = await Promise.all([1, 2, 3, 4].map(() => chat({}, { num_predict: 4 })));
  assert.equal(new Set(answers.map((answer) => answer.message.content)).size, 1);
});
