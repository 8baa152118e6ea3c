/**
 * A phone in a browser that other programs can ask: a line of JSON with a method of `Wijk` and what it is given, a line with what came
 * of it. Its folder is the browser's profile.
 */
import { createInterface } from 'node:readline';
import { Browser, serve } from './support.mjs';

const pages = await serve();
const browser = await Browser.start(process.argv[2]);
try {
  const tab = await browser.tab(pages.address);
  console.log(JSON.stringify({ well: null }));
  for await (const line of createInterface({ input: process.stdin })) {
    const { method, given } = JSON.parse(line);
    const answer = await tab.evaluate(
      async ([method, given]) => {
        try {
          return { well: (await globalThis.wijk[method](...given)) ?? null };
        } catch (error) {
          return { badly: error.problem ?? String(error) };
        }
      },
      [method, given],
    );
    console.log(JSON.stringify(answer));
  }
} finally {
  await browser.kill();
  pages.close();
}
