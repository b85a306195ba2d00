// The playground in Chromium against the running binary.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { answers, ask, finished, launch, open, serve } from "./page.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const KEY = "browser-test-key-1";
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
let browser, server, opened = [];

before(async () => {
  server = await serve("--model", "fast=sim:?rate=400&length=40", "--model", "slow=sim:?rate=20&length=2000");
  browser = await launch();
});
after(async () => {
  await browser?.close();
  assert.equal(await server?.stop(), 0);
});
afterEach(async () => {
  const faults = opened.flatMap((one) => one.faults);
  for (const one of opened) await one.close();
  opened = [];
  assert.deepEqual(faults, []);
});

async function visit(options, url = server.url) {
  const one = await open(browser, url, options);
  opened.push(one);
  await one.page.locator("select:enabled, [role=alert]").first().waitFor();
  return one.page;
}

// Answers the next chat request with these chunks instead of the server.
const fake = (page, content) =>
  page.route("**/v1/chat/completions", (route) =>
    route.fulfill({
      contentType: "text/event-stream",
      body: content.map((one) => `data: ${JSON.stringify(one)}\n\n`).join("") + "data: [DONE]\n\n",
    }));
const delta = (content) => ({ choices: [{ delta: { content } }] });

const noSidewaysScroll = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.querySelector("main").scrollWidth <= innerWidth);

test("a chat answer streams and says how fast it was", async () => {
  const page = await visit();
  await page.getByLabel("Model").selectOption("slow");
  await ask(page, "Tell me something");
  const answer = answers(page).last();
  await answer.locator(".markdown").waitFor();
  const early = (await answer.locator(".markdown").textContent()).length;
  await page.waitForFunction((n) => document.querySelector(".markdown").textContent.length > n + 20, early);
  assert.equal(await answer.getAttribute("aria-busy"), "true");
  assert.match(await answer.locator("footer").textContent(), /\d+ tokens · [\d.]+ tokens\/s · first token after [\d.]+ m?s/);
  await page.getByRole("button", { name: "Stop" }).click();

  await page.getByLabel("Model").selectOption("fast");
  await ask(page, "And now all of it");
  await finished(page, 2);
  assert.match(await answers(page).last().locator("footer").textContent(), /^40 tokens · /);
});

test("what was said before is sent again, and the settings with it", async () => {
  const page = await visit();
  const bodies = [];
  page.on("request", (request) => request.method() === "POST" && bodies.push(request.postDataJSON()));
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("System prompt").fill("Be brief.");
  await page.getByLabel("Temperature").fill("0.5");
  await page.getByLabel("Top p").fill("0.9");
  await page.getByLabel("Most tokens").fill("7");
  await page.getByLabel("Seed").fill("3");
  await page.getByRole("button", { name: "Close" }).click();
  await ask(page, "One");
  await finished(page);
  await ask(page, "Two");
  await finished(page, 2);
  const [first, second] = bodies;
  assert.deepEqual(first.messages, [{ role: "system", content: "Be brief." }, { role: "user", content: "One" }]);
  assert.deepEqual([first.model, first.temperature, first.top_p, first.max_tokens, first.seed], ["fast", 0.5, 0.9, 7, 3]);
  assert.deepEqual(second.messages.map((m) => m.role), ["system", "user", "assistant", "user"]);
  assert.match(await answers(page).last().locator("footer").textContent(), /cut at the token limit/);
});

test("stop ends the generation, in the server too", async () => {
  const page = await visit();
  await page.getByLabel("Model").selectOption("slow");
  await ask(page, "Tell me a long story");
  await answers(page).locator(".markdown").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await finished(page);
  assert.match(await answers(page).locator("footer").textContent(), /stopped/);
  assert.notEqual((await answers(page).locator(".markdown").textContent()).trim(), "");
  for (let tries = 0; ; tries++) {
    const { models } = await (await fetch(server.url + "/v1/engine")).json();
    if (models.every((model) => model.running === 0)) break;
    assert.ok(tries < 50, JSON.stringify(models));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

test("an error is shown in the server's own words, and can be tried again", async () => {
  const page = await visit();
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Temperature").fill("9");
  await page.getByRole("button", { name: "Close" }).click();
  await ask(page, "Hello");
  const alert = page.getByRole("alert");
  await alert.waitFor();
  const reply = await fetch(server.url + "/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "fast", messages: [{ role: "user", content: "Hello" }], temperature: 9 }),
  });
  assert.equal(await alert.textContent(), (await reply.json()).error.message);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Temperature").fill("1");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Try again" }).click();
  await answers(page).locator(".markdown").waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);

  // A question that failed is not told again: templates want the roles to take turns.
  await finished(page);
  await page.route("**/v1/chat/completions", (route) => route.abort());
  await ask(page, "Lost");
  await page.getByRole("alert").waitFor();
  await page.unroute("**/v1/chat/completions");
  const sent = page.waitForRequest("**/v1/chat/completions");
  await ask(page, "Next");
  const { messages } = (await sent).postDataJSON();
  assert.deepEqual(messages.map((m) => m.role), ["user", "assistant", "user"]);
  assert.deepEqual([messages[0].content, messages[2].content], ["Hello", "Next"]);
  await finished(page, 3);
});

test("an error in the middle of a stream and a broken connection are shown", async () => {
  const page = await visit();
  await fake(page, [delta("Half"), { error: { message: "the engine gave up", type: "server_error" } }]);
  await ask(page, "Hello");
  await page.getByText("the engine gave up").waitFor();
  assert.equal(await answers(page).locator(".markdown").textContent(), "Half");
  await page.unroute("**/v1/chat/completions");
  await page.route("**/v1/chat/completions", (route) => route.abort());
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("The server does not answer.").waitFor();
});

test("a model that is loaded on demand says how far it is", async () => {
  const config = join(mkdtempSync(join(tmpdir(), "pelton-")), "pelton.yaml");
  writeFileSync(config, 'models: [{name: late, path: "sim:?rate=400&length=5&load_ms=3000", on_demand: true}]\n');
  const late = await serve("--config", config);
  try {
    const page = await visit({}, late.url);
    await ask(page, "Hello");
    await page.getByText(/loading the model/).waitFor();
    await answers(page).locator(".markdown").waitFor();
    assert.equal(await page.getByText(/loading the model/).count(), 0);
  } finally {
    await late.stop();
    rmSync(dirname(config), { recursive: true });
  }
});

test("a key is asked for, sent, and kept only when wanted", async () => {
  const locked = await serve("--model", "chat=sim:?rate=400&length=5", "--key", KEY);
  try {
    const page = await visit({}, locked.url);
    await page.getByRole("button", { name: "Enter an API key" }).click();
    await page.getByLabel("Key of this server").fill(KEY);
    await page.keyboard.press("Escape");
    await page.locator("select:enabled").waitFor();
    await ask(page, "Hello");
    await answers(page).locator(".markdown").waitFor();
    await page.getByRole("button", { name: "Code" }).click();
    assert.ok(!(await page.locator("dialog").textContent()).includes(KEY));
    await page.keyboard.press("Escape");
    const kept = () => page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }]));
    assert.ok(!(await kept()).includes(KEY));
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByLabel("Keep it until this tab is closed").check();
    assert.ok((await kept()).includes(KEY));
    await page.reload();
    await page.locator("select:enabled").waitFor();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByLabel("Keep it until this tab is closed").uncheck();
    assert.ok(!(await kept()).includes(KEY));
  } finally {
    await locked.stop();
  }
});

test("everything is done with the keyboard alone", async () => {
  const page = await visit();
  const keys = page.keyboard;
  const focused = () => page.evaluate(() => document.activeElement.ariaLabel || document.activeElement.textContent);
  assert.equal(await focused(), "Message");
  await page.reload(); // the first tab stop of a fresh page leads past the tools
  await page.locator("select:enabled").waitFor();
  await page.evaluate(() => {
    document.body.tabIndex = -1;
    document.body.focus();
  });
  await keys.press("Tab");
  assert.equal(await focused(), "Skip to the message");
  await keys.press("Enter");
  assert.equal(await focused(), "Message");
  for (const name of ["Write a haiku about rivers.", "Explain how a water wheel works.", "What is the capital of France?",
    "Dark or light", "Settings", "Code"]) {
    await keys.press("Shift+Tab");
    assert.equal(await focused(), name);
  }
  await keys.press("Enter");
  await page.locator("dialog[open]").waitFor();
  await keys.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  assert.equal(await focused(), "Code");
  await page.getByLabel("Model").focus();
  await keys.type("slow");
  assert.equal(await page.getByLabel("Model").inputValue(), "slow");
  await page.getByLabel("Message", { exact: true }).focus();
  await keys.type("one");
  await keys.press("Shift+Enter");
  await keys.type("two");
  await keys.press("Enter");
  assert.equal(await page.locator(".question").innerText(), "one\ntwo");
  await answers(page).locator(".markdown").waitFor();
  await keys.press("Escape");
  await finished(page);
  assert.match(await answers(page).locator("footer").textContent(), /stopped/);
});

test("the request is shown as code in three languages", async () => {
  const page = await visit();
  await ask(page, "It's here");
  await finished(page);
  await page.getByRole("button", { name: "Code" }).click();
  const code = page.locator("dialog pre");
  assert.match(await code.textContent(), new RegExp(`^curl -N ${server.url}/v1/chat/completions`));
  assert.match(execFileSync("bash", ["-c", await code.textContent()], { encoding: "utf8" }), /data: \[DONE\]/);
  await page.getByLabel("Python").check();
  assert.match(await code.textContent(), /base_url=.*\/v1", api_key="none"/);
  await page.getByLabel("JavaScript").check();
  assert.match(await code.textContent(), /"content": "It's here"/);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.locator("dialog").getByRole("button", { name: "Copy" }).click();
  await page.getByText("Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await code.textContent());
});

test("a model's markup stays text and its links stay harmless", async () => {
  const page = await visit();
  const text = [
    "# Title", "", "**bold** *soft* `code` <img src=x onerror=alert(1)> <script>alert(1)</script>", "",
    "[bad](javascript:alert(1)) [data](data:text/html,x) [good](https://example.org/a) ![image](https://example.org/i.png)", "",
    "- one", "- two", "  - inner", "", "1. first", "2. second", "", "| a | b |", "|---|---|", "| 1 | 2 |", "", "> quoted", "",
    "```js", "<b>1 < 2</b>", "```",
  ].join("\n");
  await fake(page, [...text].map(delta));
  await ask(page, "Write");
  await finished(page);
  const markdown = answers(page).locator(".markdown");
  for (const [selector, count] of [["h3", 1], ["strong", 1], ["em", 1], ["img", 0], ["script", 0], ["b", 0], ["a", 2],
    ["ul li", 3], ["ul ul li", 1], ["ol li", 2], ["td", 2], ["blockquote", 1], ["figure.code pre", 1]]) {
    assert.equal(await markdown.locator(selector).count(), count, selector);
  }
  assert.deepEqual(await markdown.locator("a").evaluateAll((all) => all.map((a) => [a.href, a.rel])),
    [["https://example.org/a", "noopener noreferrer nofollow"], ["https://example.org/i.png", "noopener noreferrer nofollow"]]);
  assert.match(await markdown.textContent(), /<script>alert\(1\)<\/script>/);
  assert.equal(await markdown.locator("figure pre").textContent(), "<b>1 < 2</b>");
});

test("a schema becomes response_format, and a broken one is said", async () => {
  const page = await visit();
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByText("Structured answer").click();
  await page.getByLabel("JSON schema").fill("{");
  await page.getByText("This is not JSON").waitFor();
  await page.getByLabel("JSON schema").fill('{"type": "object"}');
  await page.keyboard.press("Escape");
  const sent = page.waitForRequest("**/v1/chat/completions");
  await ask(page, "Hello");
  assert.deepEqual((await sent).postDataJSON().response_format,
    { type: "json_schema", json_schema: { name: "answer", strict: true, schema: { type: "object" } } });
  await finished(page);
});

test("a phone's width needs no scrolling sideways", async () => {
  const page = await visit(PHONE);
  assert.ok(await noSidewaysScroll(page));
  await fake(page, [delta("```\n" + "wide ".repeat(100) + "\n```\n\n" + "x".repeat(300) + "\n\n| a | b |\n|---|---|\n| " + "cell ".repeat(40) + "| 2 |")]);
  await ask(page, "A question with averyveryveryveryveryveryveryveryveryveryverylongword");
  await finished(page);
  assert.ok(await noSidewaysScroll(page));
  for (const panel of ["Settings", "Code"]) {
    await page.getByRole("button", { name: panel, exact: true }).click();
    const box = await page.locator("dialog").boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= 360, JSON.stringify(box));
    assert.ok(await page.locator("dialog").evaluate((d) => d.scrollWidth <= d.clientWidth));
    await page.keyboard.press("Escape");
  }
});

test("dark follows the system, and the button turns it and is remembered", async () => {
  const page = await visit({ colorScheme: "dark" });
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await paper();
  assert.equal(dark, "rgb(21, 24, 26)");
  await page.getByRole("button", { name: "Dark or light" }).click();
  assert.equal(await paper(), "rgb(251, 251, 249)");
  await page.reload();
  assert.equal(await paper(), "rgb(251, 251, 249)");
});

test("axe finds nothing serious, light and dark, wide and narrow", async () => {
  for (const options of [{}, { colorScheme: "dark" }, PHONE]) {
    const page = await visit({ ...options, bypassCSP: true }); // axe itself is put into the page
    const check = async (where) => {
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document));
      const found = violations.filter((v) => ["serious", "critical"].includes(v.impact))
        .map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ").slice(0, 300)}`);
      assert.deepEqual(found, [], `${where} ${JSON.stringify(options)}`);
    };
    await check("welcome");
    await fake(page, [delta("# Title\n\nText with `code`, a [link](https://example.org) and\n\n```js\nlet a = 1;\n```\n\n| a |\n|---|\n| 1 |\n\n> quote")]);
    await ask(page, "Hello");
    await finished(page);
    await check("answer");
    await page.unroute("**/v1/chat/completions");
    await page.route("**/v1/chat/completions", (route) => route.fulfill({ status: 400, body: '{"error":{"message":"no"}}' }));
    await ask(page, "Hello");
    await page.getByRole("alert").waitFor();
    await check("error");
    for (const panel of ["Settings", "Code"]) {
      await page.getByRole("button", { name: panel, exact: true }).click();
      if (panel === "Settings") for (const summary of await page.locator("summary").all()) await summary.click();
      await check(panel);
      await page.keyboard.press("Escape");
    }
  }
});
