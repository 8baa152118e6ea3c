/** Promise: a browser does what every other phone does, with a real server, and its words survive whatever happens to a tab. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parrot, until, world } from './support.mjs';

/** Of one test: longer than anything takes, short enough that what hangs is named. */
const timeout = 240_000;
const MOULD = { title: 'Schimmel in de slaapkamer', text: 'Al twee winters. De kinderen hoesten.' };

test('words written offline survive a killed browser, arrive, are answered and are erased everywhere', { timeout }, async (t) => {
  const { server, browser, address } = await world(t, { served: false });
  const [residentCard] = server.cards('resident');
  const [boardCard] = server.cards('board');

  let amina = await browser('amina');
  let tab = await amina.tab(address);
  assert.deepEqual(await tab.evaluate(() => wijk.syncState()), { kind: 'notJoined' });
  assert.equal(await tab.evaluate(() => wijk.me()), null);
  await tab.evaluate((card) => wijk.join(card), residentCard);
  const mine = await tab.evaluate((content) => wijk.contribute(content), MOULD);
  assert.equal((await tab.evaluate(() => failure(wijk.syncNow()))).kind, 'offline');
  await amina.kill();

  amina = await browser('amina');
  tab = await amina.tab(address);
  const [kept] = await tab.evaluate(() => wijk.contributions());
  assert.equal(kept.id, mine);
  assert.deepEqual(kept.content, { ...MOULD, theme: 0, buurt: '' });
  assert.deepEqual(kept.own, { kind: 'saved' });

  await server.start();
  await tab.evaluate(() => wijk.syncNow());
  assert.equal((await tab.evaluate((id) => wijk.contribution(id), mine)).own.kind, 'arrived');
  assert.deepEqual((await tab.evaluate(() => wijk.me())).roles, ['resident']);

  const board = await (await browser('board')).tab(address);
  await board.evaluate((card) => wijk.join(card), boardCard);
  await board.evaluate(() => wijk.syncNow());
  assert.deepEqual((await board.evaluate(() => wijk.contributions())).map((one) => one.id), [mine]);
  await board.evaluate((id) => wijk.speak(id, 'support'), mine);
  await board.evaluate((id) => wijk.decide({
    about: [id], outcome: 'yes', reason: 'Het lekt.', answer: 'In maart komt de aannemer.', party: 'Woningcorporatie',
  }), mine);
  await board.evaluate(() => wijk.syncNow());
  assert.equal((await board.evaluate((id) => wijk.contribution(id), mine)).voices.support, 1);

  // It is told by itself: nobody asked this tab to sync.
  await until('the answer', () => tab.evaluate(async (id) => {
    const { steps } = await wijk.timeline(id);
    return steps.some((step) => step.kind === 'decided' && step.decision.answer === 'In maart komt de aannemer.');
  }, mine));
  assert.ok(await tab.evaluate((id) => notices.some((notice) => notice.type === 'changed' && notice.ids.includes(id)), mine));
  assert.equal((await tab.evaluate((id) => wijk.contribution(id), mine)).voices, null, 'exact numbers are for the board');

  await tab.evaluate((id) => wijk.erase(id), mine);
  assert.equal((await tab.evaluate((id) => failure(wijk.contribution(id)), mine)).kind, 'notFound');
  await until('the board has it no more', () => board.evaluate(async () => (await wijk.contributionCount()) === 0));
  await until('the erasure reached both devices', () => tab.evaluate(async (id) => {
    await wijk.askErasure(id);
    await wijk.syncNow();
    const reach = await wijk.erasure(id);
    return reach.kind === 'reached' && reach.confirmed >= 2;
  }, mine));
});

test('people at the same notes hear how many they are until they go on', { timeout }, async (t) => {
  const { server, browser, address } = await world(t);
  const chair = await (await browser('chair')).tab(address);
  const reader = await (await browser('reader')).tab(address);
  await chair.evaluate((card) => wijk.join(card), server.cards('facilitator')[0]);
  await reader.evaluate((card) => wijk.join(card), server.cards('resident')[0]);
  await chair.evaluate(() => wijk.syncNow());
  const meeting = await chair.evaluate(() => wijk.newMeeting('Wijkoverleg', ['Groen']));
  assert.equal(await chair.evaluate((id) => wijk.present(id), meeting), null);
  const hears = (tab, others, writing) => until(`${others} others, ${writing} writing`, () => tab.evaluate(async ([id, ...wanted]) => {
    const present = await wijk.present(id);
    return present?.others === wanted[0] && present.writing === wanted[1];
  }, [meeting, others, writing]));
  await chair.evaluate((id) => wijk.attend(id, true), meeting);
  await reader.evaluate((id) => wijk.attend(id), meeting);
  await hears(chair, 1, 0);
  await hears(reader, 1, 1);
  await reader.evaluate(() => wijk.attend(null));
  await hears(chair, 0, 0);
  assert.equal((await chair.evaluate(() => failure(wijk.attend('geen kenmerk')))).kind, 'invalid');
  await server.stop();
  await until('without a line nobody knows', () => chair.evaluate(async (id) => (await wijk.present(id)) === null, meeting));
});

test('two tabs have one writer, and the other goes on when its tab is closed or killed', { timeout }, async (t) => {
  const { server, browser, address } = await world(t);
  const [card] = server.cards('resident');
  const phone = await browser();
  const first = await phone.tab(address);
  const second = await phone.tab(address);
  await second.evaluate((card) => wijk.join(card), card);
  const one = await first.evaluate((content) => wijk.contribute(content), MOULD);
  assert.deepEqual((await second.evaluate(() => wijk.contributions())).map((item) => item.id), [one]);
  await until('the other tab hears of it', () => second.evaluate((id) => notices.some((notice) => notice.ids?.includes(id)), one));

  await first.close();
  const two = await second.evaluate(() => wijk.contribute({ title: 'Twee', text: 'De andere tab is dicht.' }));
  const third = await phone.tab(address);
  assert.deepEqual(new Set((await third.evaluate(() => wijk.contributions())).map((item) => item.id)), new Set([one, two]));

  // A tab that crashes says nothing.
  const crash = await phone.context.newCDPSession(second);
  // The browser never answers this: who would.
  crash.send('Page.crash').catch(() => {});
  const three = await third.evaluate(() => wijk.contribute({ title: 'Drie', text: 'De andere tab is gecrasht.' }));
  assert.equal((await third.evaluate(() => wijk.contributions())).length, 3);
  await third.evaluate(() => wijk.syncNow());
  assert.equal((await third.evaluate((id) => wijk.contribution(id), three)).own.kind, 'arrived');
});

test('what stops the core is kept aside, the core runs again, and nothing else is lost', { timeout }, async (t) => {
  const { server, browser, address } = await world(t);
  const [card] = server.cards('resident');
  const tab = await (await browser()).tab(address);
  await tab.evaluate((card) => wijk.join(card), card);
  const mine = await tab.evaluate((content) => wijk.contribute(content), MOULD);
  const trapped = await tab.evaluate(() => failure(wijk.want({ kind: 'trap', on: 'ask' })));
  assert.equal(trapped.kind, 'stopped');
  assert.deepEqual((await tab.evaluate(() => wijk.contributions())).map((item) => item.id), [mine], 'the core runs again');
  const [aside] = await tab.evaluate(() => notices.filter((notice) => notice.type === 'quarantined'));
  assert.equal(aside.quarantined.what, 'ask');
  assert.equal((await tab.evaluate(() => failure(wijk.want({ kind: 'trap', on: 'ask' })))).kind, 'quarantined', 'it is not tried again');
  await tab.evaluate(() => wijk.contribute({ title: 'Verder', text: 'Het gaat gewoon door.' }));
});

test('a tab that is closed in the middle of something again and again may try it again', { timeout }, async (t) => {
  const { server, browser, address } = await world(t);
  const tab = await (await browser()).tab(address);
  await tab.evaluate((card) => wijk.join(card), server.cards('resident')[0]);
  /** Tabs died as often as that, with one and the same thing in hand; then it is asked for. */
  const died = (times, hoursAgo = 0) => tab.evaluate(async ([times, hoursAgo]) => {
    const asked = new TextEncoder().encode(JSON.stringify({ kind: 'attend', id: null, writes: false }));
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', asked));
    const hash = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    for (let time = 0; time < times; time += 1) {
      await wijk.close();
      const db = await new Promise((tell) => {
        indexedDB.open('samenspraak/phone').onsuccess = (event) => tell(event.target.result);
      });
      const writing = db.transaction('meta', 'readwrite');
      writing.objectStore('meta').put({ what: 'ask', hash, at: Date.now() - hoursAgo * 3_600_000 }, 'hand');
      await new Promise((done) => (writing.oncomplete = done));
      db.close();
      globalThis.wijk = await openWijk({ name: 'phone' });
    }
    return (await failure(wijk.attend(null)))?.kind ?? 'done';
  }, [times, hoursAgo]);
  assert.equal(await died(4), 'done');
  assert.equal(await died(4), 'done', 'it got through in between');
  assert.equal(await died(5), 'quarantined');
  await tab.evaluate(() => wijk.contribute({ title: 'Verder', text: 'Het gaat gewoon door.' }));
  assert.equal(await died(1, 2), 'done', 'after an hour it is tried once more');
});

test('a frame that stops the core is not given to it again, and what is written here goes on', { timeout }, async (t) => {
  const { browser, address } = await world(t, { served: false });
  const server = await parrot([1, 2, 3]);
  t.after(server.close);
  const tab = await (await browser()).tab(address);
  await tab.evaluate(() => wijk.want({ kind: 'trap', on: 'frame' }));
  const card = await tab.evaluate((server) => wijk.cardLink('0123456789ABCDEF', 'ab'.repeat(32), server), server.address);
  await tab.evaluate((card) => wijk.join(card), card);
  const aside = await until('a frame is kept aside', () => tab.evaluate(() => notices.find((one) => one.type === 'quarantined')));
  assert.equal(aside.quarantined.what, 'frame');
  // The worker that runs now meets the same frame, which by itself would only be refused.
  const state = await until('the line rests', () => tab.evaluate(async () => {
    const state = await wijk.syncState();
    return state.kind === 'offline' && state.detail?.includes('stopped the core before') && state;
  }));
  assert.ok(state.nextTryMs > Date.now() + 30_000, 'it is not tried for ever');
  assert.equal(server.heard(), 2);
  const id = await tab.evaluate((content) => wijk.contribute(content), MOULD);
  assert.deepEqual((await tab.evaluate((id) => wijk.contribution(id), id)).own, { kind: 'saved' });
});

test('a full storage refuses what does not fit, keeps what was there, and goes on when there is room', { timeout }, async (t) => {
  const { server, browser, address } = await world(t);
  const [card] = server.cards('resident');
  const phone = await browser();
  const tab = await phone.tab(address);
  await tab.evaluate((card) => wijk.join(card), card);
  const mine = await tab.evaluate((content) => wijk.contribute(content), MOULD);
  await tab.evaluate(() => wijk.syncNow());
  const devtools = await phone.context.newCDPSession(tab);
  const used = (await devtools.send('Storage.getUsageAndQuota', { origin: address })).usage;
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: address, quotaSize: used });
  const refused = await until('the storage is full', () => tab.evaluate(
    () => failure(wijk.contribute({ title: 'Te veel', text: 'x'.repeat(10_000) })),
  ));
  assert.deepEqual(refused, { kind: 'noSpace' });
  const before = await tab.evaluate(() => wijk.contributionCount());
  assert.equal((await tab.evaluate((id) => wijk.contribution(id), mine)).content.title, MOULD.title);
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: address });
  await tab.evaluate(() => wijk.contribute({ title: 'Weer ruimte', text: 'Nu past het.' }));
  assert.equal(await tab.evaluate(() => wijk.contributionCount()), before + 1);
  await tab.evaluate(() => wijk.syncNow());
});

test('a record that was changed or is missing is named, and nothing is opened or written over it', { timeout }, async (t) => {
  const { browser, address } = await world(t, { served: false });
  const tab = await (await browser()).tab(address);
  await tab.evaluate(() => wijk.close());
  const openAfter = (change) => tab.evaluate(async (change) => {
    const name = `damaged-${change}`;
    const fresh = await openWijk({ name });
    await fresh.close();
    const database = await new Promise((well, badly) => {
      const opening = indexedDB.open(`samenspraak/${name}`);
      opening.onsuccess = () => well(opening.result);
      opening.onerror = () => badly(opening.error);
    });
    const writing = database.transaction(['meta', 'pages', 'journal'], 'readwrite');
    const meta = writing.objectStore('meta');
    if (change === 'key') meta.delete('key');
    if (change === 'head') meta.delete('head');
    if (change === 'byte') {
      for (const store of ['pages', 'journal']) {
        const reading = writing.objectStore(store).openCursor();
        reading.onsuccess = () => {
          const cursor = reading.result;
          if (!cursor) return;
          const bytes = cursor.value;
          bytes[bytes.length - 1] ^= 1;
          cursor.update(bytes);
          cursor.continue();
        };
      }
    }
    await new Promise((well) => (writing.oncomplete = well));
    database.close();
    return failure(openWijk({ name }));
  }, change);
  assert.equal((await openAfter('key')).kind, 'key');
  assert.equal((await openAfter('byte')).kind, 'damaged');
  assert.equal((await openAfter('head')).kind, 'damaged');
});

test('the app in a day does what it says', { timeout }, async (t) => {
  const { server, browser, address } = await world(t);
  const [card] = server.cards('resident');
  const told = readFileSync(join(process.env.SAMENSPRAAK_DOCS, 'typescript.md'), 'utf8');
  const code = [...told.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, part]) => part).join('\n').replace(/^import .*$/m, '');
  const page = await (await browser()).context.newPage();
  await page.goto(address);
  const { lines, said, reach, mine } = await page.evaluate(async ([card, code]) => {
    const { openWijk, WijkFailure } = await import('/index.js');
    const doing = Object.getPrototypeOf(async () => {}).constructor;
    return new doing('openWijk', 'WijkFailure', 'card', `${code}; return { lines, said, reach, mine };`)(openWijk, WijkFailure, card);
  }, [card, code]);
  assert.equal(lines[0], 'Schimmel: saved');
  assert.ok(lines.includes('alles is aangekomen'));
  assert.equal(said, 'Er ontbreekt iets.');
  assert.ok(['notThere', 'reached'].includes(reach.kind), reach.kind);
  assert.match(mine, /^[0-9a-f]{32}$/);
});
