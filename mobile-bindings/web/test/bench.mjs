/**
 * What the border and opening cost in a browser: `node test/bench.mjs [CONTRIBUTIONS]` in the folder where the package was built, with
 * SAMENSPRAAK_PACKAGE and SAMENSPRAAK_PROGRAM as the tests have them. Prints what it measured; judges nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Browser, Server, serve } from './support.mjs';

const contributions = Number(process.argv[2] ?? 1000);
const CALLS = 50;
const folder = mkdtempSync(join(tmpdir(), 'samenspraak-web-bench-'));
const [pages, server] = await Promise.all([serve(), Server.make(folder)]);
await server.start();
const [writer, reader] = server.cards('resident', 2);
const browser = await Browser.start(join(folder, 'profile'));
const median = (times) => times.sort((one, other) => one - other)[Math.floor(times.length / 2)].toFixed(1);
/** How long a fixed loop takes in a worker. */
async function loop() {
  const page = await browser.context.newPage();
  await page.goto(pages.address);
  const took = await page.evaluate(() => new Promise((tell) => {
    const work = 'onmessage = () => { const b = performance.now(); let x = 1; for (let i = 0; i < 3e8; i++) x = (x * 31 + i) | 0; postMessage([performance.now() - b, x]); }';
    const worker = new Worker(URL.createObjectURL(new Blob([work])));
    worker.onmessage = (event) => tell(event.data[0]);
    worker.postMessage(0);
  }));
  await page.close();
  return took;
}

try {
  const writing = await browser.tab(pages.address, 'writer');
  await writing.evaluate((card) => wijk.join(card), writer);
  await writing.evaluate(async (count) => {
    for (let at = 0; at < count; at += 1) {
      await wijk.contribute({ title: `Bijdrage ${at}`, text: `De stoep voor nummer ${at} ligt scheef en bij regen staat er een plas. `.repeat(3) });
    }
    await wijk.syncNow();
  }, contributions);
  await writing.close();

  const reading = await browser.tab(pages.address, 'reader');
  await reading.evaluate((card) => wijk.join(card), reader);
  const synced = await reading.evaluate(async () => {
    const begun = performance.now();
    await wijk.syncNow();
    return performance.now() - begun;
  });
  const there = await reading.evaluate(() => wijk.contributionCount());
  if (there !== contributions) throw new Error(`${there} of ${contributions} contributions are there: nothing was measured`);
  console.log(`a fresh phone syncs ${contributions} contributions: ${synced.toFixed(0)} ms`);
  const lists = await reading.evaluate(async (calls) => {
    const times = [];
    for (let at = 0; at <= calls; at += 1) {
      const begun = performance.now();
      const list = await wijk.contributions(0, 1000);
      if (at > 0) times.push(performance.now() - begun);
      if (list.length === 0) throw new Error('an empty list');
    }
    return times;
  }, CALLS);
  console.log(`a list of ${Math.min(contributions, 1000)}, what the core takes included, warm: median ${median(lists)} ms`);
  await reading.evaluate(() => wijk.close());
  await reading.close();

  const unslowed = await loop();
  // Every process of the browser runs a quarter of the time: its workers and its storage as well as its pages.
  let isSlow = true;
  const slowly = (async () => {
    const pause = (ms) => new Promise((go) => setTimeout(go, ms));
    while (isSlow) {
      process.kill(-browser.process.pid, 'SIGSTOP');
      await pause(15);
      process.kill(-browser.process.pid, 'SIGCONT');
      await pause(5);
    }
  })();
  const slowed = await loop();
  console.log(`a fixed loop in a worker: ${unslowed.toFixed(0)} ms, slowed ${slowed.toFixed(0)} ms (${(slowed / unslowed).toFixed(1)} times)`);
  const opened = [];
  for (let at = 0; at < 5; at += 1) {
    const page = await browser.context.newPage();
    await page.goto(pages.address);
    opened.push(await page.evaluate(async () => {
      const { openWijk } = await import('/index.js');
      const begun = performance.now();
      const wijk = await openWijk({ name: 'reader' });
      const list = await wijk.contributions(0, 50);
      if (list.length === 0) throw new Error('an empty list');
      const took = performance.now() - begun;
      await wijk.close();
      return took;
    }));
    await page.close();
  }
  isSlow = false;
  await slowly;
  console.log(`slowed, opening ${contributions} contributions to the first list of 50, module fetched and compiled: median ${median(opened)} ms`);
} finally {
  await browser.kill();
  await server.stop();
  pages.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
