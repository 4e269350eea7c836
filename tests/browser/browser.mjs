// A browser that watches: every console error, report of the content security policy and request to another machine fails the run.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const BASE = process.env.BASE;
export const ORIGIN = new URL(BASE).origin;
export const SHOTS = process.env.SHOTS;
// Nothing on a page takes longer, on a slow machine too.
export const SOON = 20_000;

export const problems = [];
export const note = (what) => {
  problems.push(what);
  console.log(`problem: ${what}`);
};

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"],
  });

// A person: a context of their own, with the cookies that say who they are.
export async function person(browser, { user = "", groups = "", theme = "light", width = 1280 } = {}) {
  const context = await browser.newContext({ baseURL: BASE, colorScheme: theme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
  const cookies = [];
  if (user) cookies.push({ name: "leveret-user", value: encodeURIComponent(user), url: BASE });
  if (groups) cookies.push({ name: "leveret-groups", value: encodeURIComponent(groups), url: BASE });
  if (cookies.length) await context.addCookies(cookies);
  const page = await context.newPage();
  page.setDefaultTimeout(SOON);
  page.expects = new Set();
  watch(page);
  return page;
}

function watch(page) {
  const expected = (text) => [...page.expects].some((part) => text.includes(part));
  page.on("console", (message) => {
    const text = `${message.text()} ${message.location().url}`;
    if (["error", "warning"].includes(message.type()) && !expected(text)) note(`console on ${page.url()}: ${text}`);
  });
  page.on("pageerror", (error) => note(`script on ${page.url()}: ${error.message}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.origin !== ORIGIN) note(`request of ${page.url()} to ${request.url()}`);
  });
  page.on("dialog", (dialog) => {
    note(`dialog on ${page.url()}: ${dialog.message()}`);
    return dialog.dismiss();
  });
  page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
}

// What every page must have.
export async function inspect(page, name) {
  const headings = await page.locator("h1").count();
  if (headings !== 1) note(`${name}: ${headings} headings of the first level`);
  await page.evaluate(AXE);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const one of found.violations) {
    const places = one.nodes.slice(0, 4).map((node) => `${node.target.join(" ")} ${node.failureSummary.split("\n")[1] ?? ""}`);
    note(`axe on ${name}: ${one.id}: ${one.help}: ${places.join(" | ")}`);
  }
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) note(`${name}: the page is ${wide} pixels wider than its window`);
}

export const shoot = (page, name) => page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true, animations: "disabled" });

export function check(holds, what) {
  if (!holds) note(what);
}

// Ends the run: with what was found, or without.
export function end() {
  console.log(problems.length ? `failed: ${problems.length} problems` : "passed");
  process.exit(problems.length ? 1 : 0);
}
