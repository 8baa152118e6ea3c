/**
 * The browser's storage: records sealed with a key that no script can read, written in transactions that are there completely or
 * not at all.
 *
 * Every record is sealed with AES-GCM under its own name, so that none can stand in the place of another. The key is made here and
 * can't be exported: it seals and opens in this origin of this browser profile, and nowhere else. That protects copies of the
 * profile's files only as far as the browser protects keys in it, and not at all against scripts of this origin.
 */
import { openDB, type DBSchema, type IDBPDatabase } from 'idb';
import type { Quarantined } from './border.js';

interface Schema extends DBSchema {
  /** `key`: the CryptoKey; `head`: a sealed record; `hand`: what was given to the core and has not come back; `done`: keys of
   * the last commands that wrote something. */
  meta: { key: string; value: CryptoKey | Uint8Array<ArrayBuffer> | Hand | string[] };
  pages: { key: number; value: Uint8Array<ArrayBuffer> };
  journal: { key: number; value: Uint8Array<ArrayBuffer> };
  quarantine: { key: string; value: Kept };
}

/** What the core has in hand. */
export interface Hand {
  what: Quarantined['what'];
  hash: string;
  at: number;
}

interface Kept extends Quarantined {
  /** Of the core that it stopped. */
  version: string;
  /** Whether the core stopped in it; otherwise a tab died with it in hand, so often and each time without getting through. */
  isCertain: boolean;
  strikes: number;
}

/** One transaction's worth. */
export interface Records {
  head: Uint8Array<ArrayBuffer>;
  journalFirst: number;
  journal: [number, Uint8Array<ArrayBuffer>][];
  pages: [number, Uint8Array<ArrayBuffer>][];
  gone: number[];
  /** Key of the command that wrote this. */
  done: string | null;
}

/** A record that isn't what was written. */
export class DamagedRecord extends Error {}
/** Records without the key that opens them. */
export class MissingKey extends Error {}

const IV_BYTES = 12;
/** Deaths of a tab with the same thing in hand before that is kept aside for a while. A tab is mostly closed, or ended by a system
 * that needs its memory: few phones do that five times in a row at the same moment by chance. */
const STRIKES_MAX = 5;
/** How long it is kept aside then, before it is tried once more: on another day that phone may have room. */
const STRUCK_MS = 3_600_000;
/** Keys of commands that are kept: more than tabs can have waiting when their writer goes. */
const DONE_MAX = 256;
type Bytes = Uint8Array<ArrayBuffer>;

export class Storage {
  private constructor(
    private readonly db: IDBPDatabase<Schema>,
    private readonly key: CryptoKey,
    private readonly version: string,
    private done: string[] = [],
    private readonly kept = new Map<string, Kept>(),
  ) {}

  /** Opens or makes the storage of a name. */
  static async open(name: string, version: string): Promise<Storage> {
    const db = await openDB<Schema>(`samenspraak/${name}`, 1, {
      upgrade(fresh) {
        for (const store of ['meta', 'pages', 'journal', 'quarantine'] as const) fresh.createObjectStore(store);
      },
    });
    try {
      const known = await db.get('meta', 'key');
      const done = await db.get('meta', 'done');
      const kept = new Map((await db.getAll('quarantine')).map((one) => [one.hash, one] as const));
      if (known instanceof CryptoKey) return new Storage(db, known, version, Array.isArray(done) ? done : [], kept);
      if ((await db.get('meta', 'head')) || (await db.count('pages')) || (await db.count('journal'))) {
        throw new MissingKey('the key of this storage is gone');
      }
      const key = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
      const making = db.transaction('meta', 'readwrite', { durability: 'strict' });
      await Promise.all([making.store.put(key, 'key'), making.done]);
      return new Storage(db, key, version);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /** All records, opened. */
  async read(): Promise<{ head: Bytes | null; pages: [number, Bytes][]; journal: [number, Bytes][] }> {
    const reading = this.db.transaction(['meta', 'pages', 'journal']);
    const [meta, pages, journal] = [reading.objectStore('meta'), reading.objectStore('pages'), reading.objectStore('journal')];
    const [head, pageKeys, pageValues, journalKeys, journalValues] = await Promise.all([
      meta.get('head'),
      pages.getAllKeys(),
      pages.getAll(),
      journal.getAllKeys(),
      journal.getAll(),
    ]);
    const all = (store: string, keys: number[], values: unknown[]) =>
      Promise.all(keys.map(async (key, at): Promise<[number, Bytes]> => [key, await this.unseal(`${store}/${key}`, values[at])]));
    const [opened, openedPages, openedJournal] = await Promise.all([
      head === undefined ? null : this.unseal('head', head),
      all('pages', pageKeys, pageValues),
      all('journal', journalKeys, journalValues),
    ]);
    return { head: opened, pages: openedPages, journal: openedJournal };
  }

  /** Writes all of it or nothing; when this returns the browser says that it is on the disk. */
  async write(records: Records): Promise<void> {
    const seal = async ([key, bytes]: [number, Bytes], store: string): Promise<[number, Bytes]> =>
      [key, await this.seal(`${store}/${key}`, bytes)];
    // Sealed first: a transaction that waits for something else than its own requests is ended by the browser.
    const [head, journal, pages] = await Promise.all([
      this.seal('head', records.head),
      Promise.all(records.journal.map((record) => seal(record, 'journal'))),
      Promise.all(records.pages.map((record) => seal(record, 'pages'))),
    ]);
    const writing = this.db.transaction(['meta', 'pages', 'journal'], 'readwrite', { durability: 'strict' });
    const wanted: Promise<unknown>[] = [writing.objectStore('meta').put(head, 'head')];
    for (const [key, bytes] of journal) wanted.push(writing.objectStore('journal').add(bytes, key));
    for (const [key, bytes] of pages) wanted.push(writing.objectStore('pages').add(bytes, key));
    for (const key of records.gone) wanted.push(writing.objectStore('pages').delete(key));
    if (journal.length === 0 || pages.length > 0) {
      wanted.push(writing.objectStore('journal').delete(IDBKeyRange.upperBound(records.journalFirst, true)));
    }
    // Whichever fails first says why; the transaction's own end is what counts.
    if (records.done !== null) {
      const done = [...this.done, records.done].slice(-DONE_MAX);
      wanted.push(writing.objectStore('meta').put(done, 'done'));
    }
    const ended = writing.done;
    await Promise.all(wanted).catch(async (error: unknown) => {
      await ended.catch(() => {});
      throw error;
    });
    await ended;
    if (records.done !== null) this.done = [...this.done, records.done].slice(-DONE_MAX);
  }

  /** Whether a command with this key wrote something. */
  wasDone(key: string): boolean {
    return this.done.includes(key);
  }

  private async seal(name: string, bytes: Bytes): Promise<Bytes> {
    const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
    const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData: nameBytes(name) }, this.key, bytes);
    const record = new Uint8Array(IV_BYTES + sealed.byteLength);
    record.set(iv);
    record.set(new Uint8Array(sealed), IV_BYTES);
    return record;
  }

  private async unseal(name: string, record: unknown): Promise<Bytes> {
    if (!(record instanceof Uint8Array) || record.length < IV_BYTES) throw new DamagedRecord(`${name} is no record`);
    const bytes = record as Bytes;
    const sealing = { name: 'AES-GCM', iv: bytes.subarray(0, IV_BYTES), additionalData: nameBytes(name) };
    try {
      return new Uint8Array(await crypto.subtle.decrypt(sealing, this.key, bytes.subarray(IV_BYTES)));
    } catch {
      throw new DamagedRecord(`${name} fails its seal`);
    }
  }

  /** Notes what the core gets now. Relaxed: it must outlive the tab, not a power cut. */
  async mark(hand: Hand): Promise<void> {
    const marking = this.db.transaction('meta', 'readwrite', { durability: 'relaxed' });
    await Promise.all([marking.store.put(hand, 'hand'), marking.done]);
  }

  /** The core has got through it: whatever tabs died of before, it wasn't this. */
  async unmark(hash: string): Promise<void> {
    // First, and not after something else: what is marked next must not be unmarked by this.
    const gone = this.letGo();
    if (this.kept.delete(hash)) await this.db.delete('quarantine', hash);
    await gone;
  }

  private async letGo(): Promise<void> {
    const marking = this.db.transaction('meta', 'readwrite', { durability: 'relaxed' });
    await Promise.all([marking.store.delete('hand'), marking.done]);
  }

  /** What a tab that died left in hand counts against it; what is kept aside for that now is returned. */
  async settleHand(): Promise<Quarantined | null> {
    const hand = await this.db.get('meta', 'hand');
    if (!hand || hand instanceof CryptoKey || hand instanceof Uint8Array || Array.isArray(hand)) return null;
    const kept = await this.strike(hand, false);
    await this.letGo();
    return this.isAside(kept) ? kept : null;
  }

  /** Keeps something aside that stopped the core. */
  async quarantine(hand: Hand): Promise<Quarantined> {
    const kept = await this.strike(hand, true);
    await this.letGo();
    return kept;
  }

  private async strike(hand: Hand, isCertain: boolean): Promise<Kept> {
    const before = this.kept.get(hand.hash);
    const strikes = (before?.version === this.version ? before.strikes : 0) + 1;
    const kept: Kept = { what: hand.what, hash: hand.hash, at: hand.at, version: this.version, strikes, isCertain };
    const striking = this.db.transaction('quarantine', 'readwrite', { durability: 'strict' });
    await Promise.all([striking.store.put(kept, hand.hash), striking.done]);
    this.kept.set(hand.hash, kept);
    return kept;
  }

  private isAside(kept: Kept): boolean {
    if (kept.version !== this.version) return false;
    return kept.isCertain || (kept.strikes >= STRIKES_MAX && Date.now() < kept.at + STRUCK_MS);
  }

  /** Whether something stopped this version of the core before, or tabs died of it lately. */
  isQuarantined(hash: string): boolean {
    const kept = this.kept.get(hash);
    return kept !== undefined && this.isAside(kept);
  }

  /** How many frames are kept aside. */
  framesAside(): number {
    return [...this.kept.values()].filter((kept) => kept.what === 'frame' && this.isAside(kept)).length;
  }

  close(): void {
    this.db.close();
  }
}

function nameBytes(name: string): Bytes {
  return new TextEncoder().encode(name);
}

/** SHA-256 in hexadecimal digits. */
export async function hash(bytes: Bytes): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
