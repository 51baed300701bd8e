// Visits an exported page in Chromium as a person would, and prints what it saw as JSON.
// node visit.mjs FILE, where FILE is JSON: `chromium`, `url`, `bare` (the same page without node_modules), `texts` (lists
// of one text or two), `long` (a text that is pasted), `shots` (a folder for pictures, or null).
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const browser = await chromium.launch({
  executablePath: job.chromium,
  args: ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
const problems = [];
const seen = { problems, answers: [] };
try {
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 } });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.goto(job.url);
  await said(page, /Type or paste/, 60_000);
  seen.title = await page.title();
  for (const texts of job.texts) seen.answers.push(await answerTo(page, texts));
  await picture(page, "wide");
  seen.paste = await paste(page, job.long);
  seen.narrow = await narrow(page);
  seen.keys = await keys(page, job.texts[0]);
  const bare = await context.newPage();
  await bare.goto(job.bare);
  await said(bare, /npm install/, 20_000);
  seen.bare = await bare.textContent("#answer");
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));

async function said(page, words, timeout = 20_000) {
  await page.waitForFunction((source) => new RegExp(source).test(document.querySelector("#answer").textContent), words.source, { timeout });
}

async function answerTo(page, [text, pair]) {
  await page.fill("#text", text);
  if (pair !== undefined) await page.fill("#pair", pair);
  return answer(page);
}

async function answer(page) {
  await page.waitForSelector("#result[aria-busy=false]");
  return page.evaluate(() => ({
    words: document.querySelector("#answer").textContent,
    shares: Object.fromEntries([...document.querySelectorAll("li")].map((row) => [...row.children].slice(0, 2).map((part) => part.textContent))),
    time: document.querySelector("#time").textContent,
    note: document.querySelector("#note").textContent,
  }));
}

// Returns the answer to a long text that is pasted, and the longest time for which the page did nothing else.
async function paste(page, text) {
  await page.fill("#text", "");
  await page.evaluate((value) => navigator.clipboard.writeText(value), text);
  await page.evaluate(() => {
    window.longest = 0;
    let last = performance.now();
    setInterval(() => {
      const now = performance.now();
      window.longest = Math.max(window.longest, now - last);
      last = now;
    }, 5);
  });
  await page.focus("#text");
  const start = Date.now();
  await page.keyboard.press("Control+V");
  await page.waitForFunction(() => document.querySelector("#text").value.length > 0);
  const found = await answer(page);
  const milliseconds = Date.now() - start;
  await page.keyboard.press("End");
  const length = await page.evaluate(() => document.querySelector("#text").value.length);
  const freeze = await page.evaluate(() => window.longest);
  return { ...found, milliseconds, freeze, length };
}

async function narrow(page) {
  await page.setViewportSize({ width: 360, height: 740 });
  const found = await answerTo(page, job.texts[0]);
  await picture(page, "narrow");
  const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, "dark");
  await page.emulateMedia({ colorScheme: "light" });
  return { ...found, width };
}

// Returns what is reached by the keyboard alone, from the beginning of the page.
async function keys(page, [text, pair]) {
  await page.reload();
  await said(page, /Type or paste/);
  const order = [];
  const tab = async () => {
    await page.keyboard.press("Tab");
    order.push(await page.evaluate(() => document.activeElement.labels?.[0]?.textContent ?? document.activeElement.textContent));
  };
  await tab();
  await page.keyboard.type(text);
  if (pair !== undefined) {
    await tab();
    await page.keyboard.type(pair);
  }
  const found = await answer(page);
  await page.waitForFunction((words) => document.querySelector("[role=status]").textContent.startsWith(words), found.words);
  const told = await page.textContent("[role=status]");
  await tab();
  await page.keyboard.press("Enter");
  const cleared = await page.evaluate(() => [document.querySelector("#text").value, document.activeElement.id]);
  return { ...found, order, told, cleared };
}

async function picture(page, name) {
  if (job.shots) await page.screenshot({ path: `${job.shots}/${name}.png`, fullPage: true });
}
