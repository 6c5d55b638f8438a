// Has a browser look at pages: [{name, url, ...}] comes in as JSON, {name: what was seen} goes out.
//
//   width, height, dark, javascript, print   how the page is looked at
//   steps      [["press", key] | ["click", selector] | ["fill", selector, text] | ["wait", expression]
//              | ["see", expression]]: what is done, and what is asked of the page then
//   audit      whether axe looks for what keeps people out
//   picture    where a screenshot is written to, of the whole page
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [, , installed, executablePath] = process.argv;
const load = createRequire(resolve(installed, "package.json"));
const { chromium } = load("playwright-core");
const axe = readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");

async function look(browser, asked) {
  const context = await browser.newContext({
    viewport: { width: asked.width ?? 1280, height: asked.height ?? 900 },
    colorScheme: asked.dark ? "dark" : "light",
    javaScriptEnabled: asked.javascript ?? true,
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const seen = { requests: [], errors: [], values: [], axe: [] };
  page.on("request", (each) => seen.requests.push(each.url().slice(0, 200)));
  page.on("console", (each) => each.type() === "error" && seen.errors.push(each.text()));
  page.on("pageerror", (each) => seen.errors.push(String(each)));
  page.on("dialog", (each) => { seen.errors.push(`dialog: ${each.message()}`); each.dismiss(); });
  await page.goto(asked.url, { waitUntil: "load" });
  if (asked.print) await page.emulateMedia({ media: "print" });
  for (const [verb, ...words] of asked.steps ?? []) {
    if (verb === "press") await page.keyboard.press(words[0]);
    if (verb === "click") await page.click(words[0]);
    if (verb === "fill") await page.fill(words[0], words[1]);
    if (verb === "wait") await page.waitForFunction(words[0]);
    if (verb === "see") seen.values.push(await page.evaluate(words[0]));
  }
  if (asked.picture) await page.screenshot({ path: asked.picture, fullPage: asked.whole ?? true });
  if (asked.audit) {
    // Not as an element, which the page's policy would refuse.
    await page.evaluate(axe);
    const found = await page.evaluate(() => globalThis.axe.run());
    seen.axe = found.violations.map((each) => `${each.impact} ${each.id}: ${each.nodes[0].html.slice(0, 200)} ${each.nodes[0].failureSummary.slice(0, 300)}`);
  }
  await context.close();
  return seen;
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const seen = {};
try {
  for (const asked of JSON.parse(readFileSync(0, "utf8"))) seen[asked.name] = await look(browser, asked);
} finally {
  await browser.close();
}
process.stdout.write(JSON.stringify(seen));
