// The official Node client against the running binary with the real SmolLM2.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import OpenAI from "openai";

const KEY = "client-test-key-02";
const CAPITAL = [{ role: "user", content: "What is the capital of France? Answer in one word." }];
let folder, server, client;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "pelton-"));
  const keys = join(folder, "keys");
  writeFileSync(keys, KEY + "\n", { mode: 0o600 });
  server = spawn(process.env.PELTON_BIN, ["serve", "--model", `smollm2=${process.env.PELTON_MODEL_SMOLLM2}`,
    "--port", "0", "--ctx", "1024", "--batch-invariant", "on", "--api-key-file", keys, "--state-dir", folder]);
  let output = "";
  server.stderr.on("data", (text) => (output += text));
  const url = await new Promise((resolve, reject) => {
    server.stdout.on("data", (text) => {
      output += text;
      const found = output.match(/ready in .* on (http:\S+)/);
      if (found) resolve(found[1]);
    });
    server.on("exit", () => reject(new Error("ended: " + output)));
  });
  client = new OpenAI({ baseURL: url + "/v1", apiKey: KEY, maxRetries: 0, timeout: 300_000 });
});

after(async () => {
  const code = await new Promise((resolve) => {
    server.on("exit", resolve);
    server.kill("SIGTERM");
  });
  rmSync(folder, { recursive: true });
  assert.equal(code, 0);
});

const ask = (fields) =>
  client.chat.completions.create({ model: "smollm2", messages: CAPITAL, temperature: 0, max_tokens: 16, ...fields });

test("models", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ["smollm2"]);
  assert.equal((await client.models.retrieve("smollm2")).object, "model");
});

test("a chat answer, whole and streamed", async () => {
  const whole = await ask();
  assert.match(whole.choices[0].message.content, /Paris/);
  const stream = await ask({ stream: true, stream_options: { include_usage: true } });
  let text = "", usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.deepEqual(usage.completion_tokens, whole.usage.completion_tokens);
});

test("the stream helper gathers the whole message", async () => {
  const runner = client.chat.completions.stream({ model: "smollm2", messages: CAPITAL, temperature: 0, max_tokens: 8 });
  const answer = await runner.finalChatCompletion();
  assert.match(answer.choices[0].message.content, /Paris/);
});

test("completions of text and tokens", async () => {
  const text = await client.completions.create({ model: "smollm2", prompt: "One, two, three, four,", temperature: 0, max_tokens: 4 });
  assert.match(text.choices[0].text, /five/);
  const ids = await client.completions.create({ model: "smollm2", prompt: [1, 2, 3], max_tokens: 1 });
  assert.equal(ids.usage.prompt_tokens, 3);
  let streamed = "";
  for await (const chunk of await client.completions.create({ model: "smollm2", prompt: "One, two, three, four,", temperature: 0, max_tokens: 4, stream: true }))
    streamed += chunk.choices[0].text;
  assert.equal(streamed, text.choices[0].text);
});

test("logprobs", async () => {
  const answer = await ask({ logprobs: true, top_logprobs: 3, max_tokens: 3 });
  const content = answer.choices[0].logprobs.content;
  assert.equal(content.length, answer.usage.completion_tokens);
  assert.equal(content[0].top_logprobs.length, 3);
  assert.equal(content[0].logprob, content[0].top_logprobs[0].logprob);
});

test("n and seed", async () => {
  const draw = async (seed) => (await ask({ n: 2, seed, temperature: 1.2, messages: [{ role: "user", content: "Tell me something." }] }))
    .choices.map((c) => c.message.content);
  const first = await draw(7);
  assert.notEqual(first[0], first[1]);
  assert.deepEqual(await draw(7), first);
});

test("stop", async () => {
  const whole = (await ask()).choices[0].message.content;
  const cut = await ask({ stop: ["ris"] });
  assert.equal(cut.choices[0].message.content, whole.slice(0, whole.indexOf("ris")));
  assert.equal(cut.choices[0].finish_reason, "stop");
});

test("errors are the client's own classes", async () => {
  await assert.rejects(ask({ model: "none" }), (e) => e instanceof OpenAI.NotFoundError && e.code === "model_not_found");
  await assert.rejects(ask({ n: 99 }), (e) => e instanceof OpenAI.BadRequestError && e.param === "n");
  const stranger = new OpenAI({ baseURL: client.baseURL, apiKey: "wrong", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), (e) => e instanceof OpenAI.AuthenticationError);
});

test("aborting ends the stream", async () => {
  const stream = await ask({ stream: true, max_tokens: 900, ignore_eos: true });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) break;
  }
  stream.controller.abort();
  assert.match((await ask()).choices[0].message.content, /Paris/);
});
