// Anthropic's official Node client against the running binary with the real SmolLM2.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";

const KEY = "client-test-key-04";
const CAPITAL = [{ role: "user", content: "What is the capital of France?" }];
let folder, server, url, client;

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
  client = new Anthropic({ baseURL: url, apiKey: KEY, maxRetries: 0, timeout: 300_000 });
});

after(async () => {
  const code = await new Promise((resolve) => {
    server.on("exit", resolve);
    server.kill("SIGTERM");
  });
  rmSync(folder, { recursive: true });
  assert.equal(code, 0);
});

const fields = (more) => ({ model: "smollm2", max_tokens: 32, temperature: 0,
  system: "You answer in one short sentence.", messages: CAPITAL, ...more });
const create = (more) => client.messages.create(fields(more));
const textOf = (message) => message.content.map((block) => block.text).join("");

test("a message and its counts", async () => {
  const message = await create();
  assert.match(textOf(message), /Paris/);
  assert.equal(message.role, "assistant");
  assert.equal(message.stop_reason, "end_turn");
  const counted = await client.messages.countTokens({ model: "smollm2", system: fields().system, messages: CAPITAL });
  assert.equal(counted.input_tokens, message.usage.input_tokens + message.usage.cache_read_input_tokens);
  const again = await create();
  assert.equal(textOf(again), textOf(message));
  assert.ok(again.usage.cache_read_input_tokens > 0);
});

test("the end has its reason", async () => {
  assert.equal((await create({ max_tokens: 2 })).stop_reason, "max_tokens");
  const stopped = await create({ stop_sequences: ["Paris"] });
  assert.equal(stopped.stop_reason, "stop_sequence");
  assert.equal(stopped.stop_sequence, "Paris");
});

test("a stream is the whole message in pieces", async () => {
  const whole = await create({ max_tokens: 16 });
  const names = [];
  let text = "";
  for await (const event of await create({ max_tokens: 16, stream: true })) {
    names.push(event.type);
    if (event.type === "content_block_delta") text += event.delta.text;
  }
  assert.equal(text, textOf(whole));
  assert.deepEqual([...new Set(names)].filter((name) => name !== "ping"),
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]);
  const stream = client.messages.stream(fields({ max_tokens: 16 }));
  const seen = [];
  stream.on("text", (piece) => seen.push(piece));
  const final = await stream.finalMessage();
  assert.equal(textOf(final), textOf(whole));
  assert.equal(seen.join(""), textOf(whole));
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
});

test("blocks, turns and a begun answer", async () => {
  const blocks = [{ role: "user", content: [{ type: "text", text: CAPITAL[0].content }] }];
  assert.equal(textOf(await create({ messages: blocks })), textOf(await create()));
  const begun = [...CAPITAL, { role: "assistant", content: "The capital of France is" }];
  assert.match(textOf(await create({ messages: begun, max_tokens: 4 })), /^ Paris/);
  const turns = [{ role: "user", content: "My name is Ada." }, { role: "assistant", content: "Hello Ada." },
    { role: "user", content: "What is my name?" }];
  const several = await create({ messages: turns, max_tokens: 8 });
  assert.ok(textOf(several) && several.usage.input_tokens + several.usage.cache_read_input_tokens > 40);
  await create({ temperature: 1, top_k: 20, top_p: 0.9, max_tokens: 2, metadata: { user_id: "u" } });
});

test("errors have their classes", async () => {
  await assert.rejects(create({ model: "nobody" }), Anthropic.NotFoundError);
  await assert.rejects(create({ temperature: 1.5 }), Anthropic.BadRequestError);
  await assert.rejects(create({ messages: [] }), Anthropic.BadRequestError);
  await assert.rejects(create({ tools: [{ name: "w" }] }), (error) => {
    assert.ok(error instanceof Anthropic.BadRequestError);
    assert.equal(error.error.error.type, "invalid_request_error");
    return /tools/.test(error.message);
  });
  const stranger = new Anthropic({ baseURL: url, apiKey: "wrong-key-00000000", maxRetries: 0 });
  await assert.rejects(stranger.messages.create(fields()), Anthropic.AuthenticationError);
});

test("a stream that is left ends, and the server goes on", async () => {
  const stream = client.messages.stream(fields({ max_tokens: 900, temperature: 1 }));
  await new Promise((resolve) => stream.once("text", resolve));
  stream.abort();
  await assert.rejects(stream.finalMessage());
  const answers = await Promise.all([1, 2, 3, 4].map(() => create({ max_tokens: 4 })));
  assert.equal(new Set(answers.map(textOf)).size, 1);
});
