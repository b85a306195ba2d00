// Makes the pictures of docs/playground.md anew, with the real SmolLM2; no test runs it:
//   tools/test/script.sh smollm2,node,chromium tests/browser/screenshots.mjs
import { fileURLToPath } from "node:url";
import { ask, finished, launch, open, serve } from "./page.mjs";

const folder = process.env.SCREENSHOTS ?? fileURLToPath(new URL("../../docs/images/", import.meta.url));
const server = await serve("--model", `smollm2=${process.env.PELTON_MODEL_SMOLLM2}`, "--ctx", "1024");
const browser = await launch();

async function shoot(name, options, panel) {
  const { page, close } = await open(browser, server.url, options);
  const picture = (part) => page.screenshot({ path: `${folder}/playground-${part}.png` });
  await page.locator("select:enabled").waitFor();
  if (name === "desktop") await picture("welcome");
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Temperature").fill("0");
  await page.getByLabel("Most tokens").fill("160");
  if (panel) await picture("settings");
  await page.keyboard.press("Escape");
  await ask(page, "Name three uses of water power, as a list.");
  await finished(page);
  if (name !== "phone") {
    await ask(page, "Write a Python function that adds two numbers.");
    await finished(page, 2);
  }
  await page.mouse.move(600, 790); // off the buttons
  await page.locator("main").evaluate((pane) => (pane.scrollTop = 0));
  await picture(name);
  if (panel) {
    await page.getByRole("button", { name: "Code", exact: true }).click();
    await picture("code");
  }
  await close();
}

const wide = { viewport: { width: 1200, height: 800 } };
await shoot("desktop", { ...wide, colorScheme: "light" }, true);
await shoot("dark", { ...wide, colorScheme: "dark" });
await shoot("phone", { viewport: { width: 390, height: 760 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
await browser.close();
process.exitCode = await server.stop();
