// What people do: mend what has failed, decide a task by keyboard, be overtaken by another, and see a server come back.
import { createInterface } from "node:readline";
import { check, end, inspect, launch, note, person, shoot, SOON } from "./browser.mjs";

const seeded = JSON.parse(process.env.SEEDED);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
// Asks the test that has started this for something, and waits until it is done.
const ask = async (what) => {
  console.log(`ask: ${what}`);
  return (await lines.next()).value;
};

const browser = await launch();
try {
  await mend();
  await decide();
  await overtaken();
  await restarted();
} catch (error) {
  note(error.stack);
}
await browser.close().catch((error) => note(error.message));
end();

// Start, watch it fail, look at the group, set variables, retry all, watch it complete.
async function mend() {
  const page = await person(browser, { user: "oskar" });
  await page.goto("/instances?filter=definition%3Abilling");
  await ask("start billing");
  // Nobody loads the page again: it does so itself.
  await page.locator("tr", { hasText: "B-live" }).locator(".badge", { hasText: "suspended" }).waitFor();
  await page.goto("/incidents");
  await page.getByRole("link", { name: /handler\.unknown_article/ }).click();
  await page.getByRole("heading", { level: 1, name: "handler.unknown_article" }).waitFor();
  await page.getByText("Set variables, then retry all").click();
  await page.getByLabel("Variables, as JSON").fill('{ "article": "lamp" }');
  await page.getByRole("button", { name: "Preview" }).click();
  await page.getByText("Nothing has been changed yet").waitFor();
  await page.getByLabel("Reason").fill("the article was misspelt");
  await inspect(page, "bulk preview");
  await shoot(page, "bulk-preview");
  await page.getByRole("button", { name: "Start the job" }).click();
  await page.waitForURL(/\/bulk\//);
  await page.locator(".badge", { hasText: "done" }).first().waitFor();
  await inspect(page, "bulk job");
  await shoot(page, "bulk-job");
  await page.goto("/instances?filter=key%3AB-live");
  await page.locator("tr", { hasText: "B-live" }).locator(".badge", { hasText: "completed" }).waitFor();
  await page.getByRole("link", { name: "B-live" }).click();
  await page.getByRole("heading", { name: "Where its time went" }).waitFor();
  await shoot(page, "instance-mended");
  await page.context().close();
}

// Claims and completes a task with the keyboard alone.
async function decide() {
  const page = await person(browser, { user: "mia", groups: "approvers" });
  await page.goto("/tasks");
  const key = (name) => page.keyboard.press(name);
  for (let row = 0; row < 20 && !(await page.locator("tr.is-here", { hasText: "Approve 120" }).count()); row++) await key("j");
  await key("Enter");
  await page.waitForURL(/\/tasks\/[0-9a-f-]{36}$/);
  await reach(page, "Claim");
  await key("Enter");
  await page.getByRole("button", { name: "Release" }).waitFor();
  await shoot(page, "task-claimed");
  await reach(page, "Comment");
  await page.keyboard.type("a fair sum");
  await reach(page, "Pay it");
  await key("Enter");
  await page.waitForURL(/\/tasks$/);
  await page.goto("/tasks?whose=done");
  await page.locator("tr", { hasText: "completed" }).first().waitFor();
  await page.context().close();
}

// Presses Tab until the focus is on what has this name.
async function reach(page, name) {
  for (let presses = 0; presses < 60; presses++) {
    const text = await page.evaluate(() => {
      const element = document.activeElement;
      return (element.labels?.[0]?.textContent ?? element.textContent ?? "").trim();
    });
    if (text.startsWith(name)) return;
    await page.keyboard.press("Tab");
  }
  note(`${name} cannot be reached with the keyboard on ${page.url()}`);
}

// Two operators look at the same instance; the second to act is told what the first has done.
async function overtaken() {
  const first = await person(browser, { user: "ann" });
  const second = await person(browser, { user: "ben" });
  for (const page of [first, second]) {
    await page.goto(`/instances/${seeded.contested}/do/suspend`);
    await page.getByRole("button", { name: "Preview" }).click();
    await page.getByText("Nothing has been changed yet").waitFor();
  }
  await first.getByRole("button", { name: "Suspend now" }).click();
  await first.waitForURL(new RegExp(`/instances/${seeded.contested}$`));
  second.expects.add("409");
  await second.getByRole("button", { name: "Suspend now" }).click();
  await second.getByText("Somebody was faster").waitFor();
  await inspect(second, "conflict");
  await shoot(second, "conflict");
  await second.getByRole("link", { name: "See what has happened" }).click();
  await second.getByText("InstanceSuspended").waitFor();
  check((await second.getByText("ann").count()) > 0, "the history does not say who was faster");
  await first.context().close();
  await second.context().close();
}

// The server goes away under an open page and comes back: the page says so, and continues.
async function restarted() {
  const page = await person(browser, { user: "oskar" });
  for (const part of ["ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "htmx:", "Failed to load resource"]) page.expects.add(part);
  await page.goto("/instances?filter=key%3Aafter-the-restart");
  await page.getByText("No instance matches this filter").waitFor();
  await ask("stop");
  await page.getByText("Connection lost").waitFor({ timeout: 2 * SOON });
  await shoot(page, "connection-lost");
  await ask("start again");
  await page.locator("tr", { hasText: "after-the-restart" }).waitFor({ timeout: 2 * SOON });
  check((await page.getByText("Connection lost").count()) === 0, "the page still says that the connection is lost");
  await page.context().close();
}
