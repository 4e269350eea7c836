// Every page, wide and narrow, light and dark: looked at by axe, kept as a picture, and without a complaint of the browser.
import { check, end, inspect, launch, note, person, shoot } from "./browser.mjs";

// Bytes of the first page with all that it loads, compressed.
const FIRST_PAGE_MAX = 60_000;
const seeded = JSON.parse(process.env.SEEDED);

const PAGES = [
  ["overview", "/"],
  ["instances", "/instances"],
  ["instances-filtered", "/instances?filter=status%3Asuspended"],
  ["instances-wrong-filter", "/instances?filter=colour%3Ared"],
  ["instances-none", "/instances?filter=key%3Anothing-has-this-key"],
  ["instance-waiting", `/instances/${seeded.waiting}`],
  ["instance-suspended", `/instances/${seeded.suspended}`],
  ["instance-completed", `/instances/${seeded.completed}`],
  ["preview", `/instances/${seeded.suspended}/do/retry`],
  ["operation", `/instances/${seeded.suspended}/do/variables`],
  ["operation-jump", `/instances/${seeded.waiting}/do/jump`],
  ["tasks", "/tasks?whose=all"],
  ["tasks-mine", "/tasks?whose=mine"],
  ["task", `/tasks/${seeded.task}`],
  ["task-vote", `/tasks/${seeded.vote}`],
  ["task-form", `/tasks/${seeded.form}`],
  ["incidents", "/incidents"],
  ["incident", `/incidents/${seeded.fingerprint}`],
  ["dead-letters", "/dead-letters"],
  ["dead-letter", `/dead-letters/${seeded.letter}`],
  ["bulk", "/bulk"],
  ["definitions", "/definitions"],
  ["definition", "/definitions/order"],
  ["definition-diff", "/definitions/billing/diff?from=1&to=2"],
  ["check", "/check"],
  ["schedules", "/schedules"],
  ["schedule", "/schedules/monthly"],
  ["targets", "/targets"],
  ["system", "/system"],
  ["who", "/who"],
];
const MISSING = [
  ["missing-instance", "/instances/00000000-0000-0000-0000-000000000000"],
  ["missing-page", "/nowhere"],
];

// Each theme and each width is inspected once; pictures are taken of all.
const INSPECTED = ["light 1280", "dark 400"];
const looked = async (page, name, theme, width) => {
  if (INSPECTED.includes(`${theme} ${width}`)) await inspect(page, `${name} ${theme} ${width}`);
  await shoot(page, `${name}-${width}-${theme}`);
};

const browser = await launch();
for (const [theme, width] of [["light", 1280], ["dark", 1280], ["light", 400], ["dark", 400]]) {
  const page = await person(browser, { user: "mia", groups: "approvers", theme, width });
  for (const [name, address] of PAGES) {
    const answer = await page.goto(address);
    check(answer.status() === 200, `${name}: ${answer.status()}`);
    if (name === "preview") await page.getByRole("button", { name: "Preview" }).click();
    await looked(page, name, theme, width);
  }
  page.expects.add("404");
  for (const [name, address] of MISSING) {
    const answer = await page.goto(address);
    check(answer.status() === 404, `${name}: ${answer.status()}`);
    await looked(page, name, theme, width);
  }
  await page.context().close();
}

// The weight of the first page, as it comes over the wire.
const page = await person(browser);
const wire = await page.context().newCDPSession(page);
await wire.send("Network.enable");
let bytes = 0;
wire.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; });
await page.goto("/", { waitUntil: "networkidle" });
console.log(`first page: ${bytes} bytes`);
check(bytes > 0 && bytes < FIRST_PAGE_MAX, `the first page weighs ${bytes} bytes`);

// The theme is kept, and help opens with a key.
await page.getByRole("button", { name: "Light or dark" }).click();
await page.goto("/instances");
check((await page.locator("html").getAttribute("data-theme")) === "dark", "the theme is not kept");
await page.keyboard.press("?");
await page.getByRole("dialog").waitFor();
await inspect(page, "help");
await page.keyboard.press("?");
await page.getByRole("dialog").waitFor({ state: "hidden" });
await page.keyboard.press("/");
check(await page.locator("#filter").evaluate((filter) => filter === document.activeElement), "/ does not lead to the filter");
await page.keyboard.press("Escape");
await page.keyboard.press("j");
await page.keyboard.press("j");
await page.keyboard.press("k");
check((await page.locator("tr.is-here").count()) === 1, "j and k do not walk");
await page.keyboard.press("Enter");
await page.waitForURL(/\/instances\/[0-9a-f-]{36}$/);
await page.goto("/");
await page.keyboard.press("Tab");
check((await page.evaluate(() => document.activeElement.textContent)) === "Skip to the content", "the first stop is not the skip link");

// Markup in names and payloads is text.
const inert = await person(browser, { user: "mia" });
for (const address of [`/instances/${seeded.marked}`, "/instances?filter=definition%3Amarked", `/instances?filter=${encodeURIComponent('"><i>x</i>')}`, `/tasks/${seeded.markedTask}`]) {
  await inert.goto(address);
  check((await inert.locator("main i, main b, main script").count()) === 0, `${address}: markup of a payload is an element`);
}
await inert.goto(`/instances/${seeded.marked}`);
check((await inert.getByText("<b>x</b>").count()) > 0, "the markup is not shown as text");
await shoot(inert, "markup");
await browser.close().catch((error) => note(error.message));
end();
