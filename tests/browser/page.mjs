// What the tests in a browser share: the program with simulated models, and Debian's Chromium.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

// `pelton serve` on a free port; stop() ends it and gives its exit code.
export async function serve(...options) {
  const folder = mkdtempSync(join(tmpdir(), "pelton-"));
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PELTON_")));
  env.PELTON_PACKED_CACHE = "off";
  const keyAt = options.indexOf("--key");
  if (keyAt >= 0) {
    const file = join(folder, "keys");
    writeFileSync(file, options[keyAt + 1] + "\n", { mode: 0o600 });
    options.splice(keyAt, 2, "--api-key-file", file);
  }
  const server = spawn(process.env.PELTON_BIN, ["serve", "--port", "0", "--state-dir", folder, ...options], { env });
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
  const stop = async () => {
    if (server.exitCode === null) {
      const ended = new Promise((resolve) => server.on("exit", resolve));
      server.kill("SIGTERM");
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
    return server.exitCode;
  };
  return { url, stop, kill: () => server.kill("SIGKILL") };
}

// As root Chromium runs only without its sandbox; the pages are our own.
export const launch = () =>
  chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars"],
  });

// A page at `url`; `faults` gathers what a page must never do: errors, violations of its policy,
// requests to another origin.
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({ reducedMotion: "reduce", viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    // Chromium reports answers that are errors on the console; the page shows them itself.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(message.text());
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) faults.push("asked " + request.url());
  });
  await page.goto(url);
  return { page, faults, close: () => context.close() };
}

export async function ask(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

export const answers = (page) => page.getByRole("article", { name: "Answer" });
// Waits until the conversation's first `count` answers have ended.
export const finished = (page, count = 1) => page.locator('article.answer[aria-busy="false"]').nth(count - 1).waitFor();
