/**
 * The one writer of a device: the core, its storage, its sockets and its timers.
 *
 * One thing at a time is given to the core, and the next one only when all that it wrote is durable. What is given is marked before
 * and unmarked after: should the core stop in it, or the tab die with it, it is known what it was. Looks go between.
 */
import init, { Core, Kept, cardLink, checkCard, syncUrl, wijkOf, type Shell } from './core.js';
import { toJson, fromJson, type Answer, type Notice, type Problem, type Quarantined, type Wanted } from './border.js';
import { toCbor } from './cbor.js';
import { DamagedRecord, MissingKey, Storage, hash, type Hand, type Records } from './storage.js';

declare const SAMENSPRAAK_VERSION: string;

type Bytes = Uint8Array<ArrayBuffer>;
/** Bytes of frames that may wait; a line that brings more is closed and goes on later from where it was. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024;
/** How long nothing is tried after a frame that was kept aside; doubled for each one. */
const REST_MS = 60_000;
const REST_MS_MAX = 24 * 3_600_000;
/** Longest time that a timer can be set for. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** How long a server may take to say which wijk it is of. */
const ASK_WIJK_MS_MAX = 20_000;

/** Who asked: a tab and its number for it. */
export interface Asker {
  answer(answer: Answer): void;
}

export interface Surroundings {
  notice(notice: Notice): void;
  /** The core stopped and does nothing any more. */
  crashed(): void;
}

interface Job {
  what: Quarantined['what'];
  /** What it is, for its hash; nothing where it isn't marked. */
  bytes: Bytes | null;
  frame?: number;
  asker?: Asker;
  /** Of a command: its key, and whether another writer had it before. */
  key?: { key: string; again: boolean };
  run(core: Core): void;
}

export class Writer implements Shell {
  #core: Core | null = null;
  readonly #urgent: Job[] = [];
  readonly #frames: Job[] = [];
  #waitingBytes = 0;
  #ring: (() => void) | null = null;
  #running: Promise<void> = Promise.resolve();
  #closing = false;
  readonly #askers = new Map<number, Asker>();
  #nextRequest = 1;
  readonly #sockets = new Map<number, WebSocket>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #records: Pick<Records, 'journal' | 'pages' | 'gone'> = { journal: [], pages: [], gone: [] };
  /** Key of the command in hand. */
  #doing: string | null = null;
  #toWrite: Records | null = null;
  #trapOnFrame = false;

  private constructor(
    private readonly storage: Storage,
    private readonly around: Surroundings,
  ) {}

  /** Opens the device of a name. Throws a `Problem`. */
  static async open(name: string, around: Surroundings): Promise<Writer> {
    const wasm = fetch(new URL('./core_bg.wasm', import.meta.url));
    let storage: Storage | null = null;
    try {
      const [, opened] = await Promise.all([init({ module_or_path: wasm }), Storage.open(name, SAMENSPRAAK_VERSION)]);
      storage = opened;
      const writer = new Writer(opened, around);
      const aside = await opened.settleHand();
      const { head, pages, journal } = await opened.read();
      const kept = new Kept();
      if (head) kept.head(head);
      for (const [number, bytes] of pages) kept.page(number, bytes);
      for (const [number, bytes] of journal) kept.journal(number, bytes);
      writer.#core = new Core(writer, kept, Date.now());
      if (aside) around.notice({ type: 'quarantined', quarantined: aside });
      writer.#urgent.push({ what: 'other', bytes: null, run: (core) => core.network(Date.now(), self.navigator.onLine) });
      writer.tickNow();
      writer.#running = writer.#run();
      return writer;
    } catch (error) {
      storage?.close();
      throw problemOf(error);
    }
  }

  /** Does what a tab wants. */
  request(wanted: Wanted, asker: Asker): void {
    const core = this.#core;
    // Whoever asks a writer that stops is answered by the next one, of which it is asked again.
    if (!core || this.#closing) return;
    switch (wanted.kind) {
      case 'look': {
        // Nothing is written by it, so it needs no mark and no turn.
        const request = this.#expect(asker);
        this.#guard(nothing('look'), request, () => core.look(Date.now(), request, toCbor(wanted.look)));
        // It may have been noticed then that a fold is due.
        return this.#ring?.();
      }
      case 'state':
        return asker.answer({ well: true, json: core.state() as Bytes });
      case 'checkCard':
        return answerWith(asker, () => checkCard(wanted.link) ?? null);
      case 'cardLink':
        return answerWith(asker, () => cardLink(wanted.letters, wanted.wijk, wanted.server));
      case 'askWijk':
        return void askWijk(wanted.server).then((answer) => asker.answer(answer));
      case 'ask': {
        return this.#take({
          what: 'ask', bytes: toJson(wanted.ask), asker, key: wanted,
          run: (with_) => with_.ask(Date.now(), this.#expect(asker), crypto.getRandomValues(new Uint8Array(32)), toCbor(wanted.ask)),
        });
      }
      case 'catchUp':
        return this.#take({ what: 'other', bytes: null, asker, run: (with_) => with_.catchUp(Date.now(), this.#expect(asker)) });
      case 'network':
        asker.answer({ well: true, json: toJson(null) });
        return this.#take({ what: 'other', bytes: null, run: (with_) => with_.network(Date.now(), wanted.isThere) });
      case 'trap':
        if (wanted.on === 'frame') {
          this.#trapOnFrame = true;
          return asker.answer({ well: true, json: toJson(null) });
        }
        return this.#take({ what: 'ask', bytes: toJson(wanted), asker, run: (with_) => with_.trap() });
    }
  }

  /** Ends in order: what was asked for before is done. */
  async end(): Promise<void> {
    this.#closing = true;
    this.#ring?.();
    await this.#running;
    this.#silence();
    this.storage.close();
  }

  #take(job: Job): void {
    this.#urgent.push(job);
    this.#ring?.();
  }

  #expect(asker: Asker): number {
    this.#askers.set(this.#nextRequest, asker);
    return this.#nextRequest++;
  }

  tickNow(): void {
    this.#take({ what: 'other', bytes: null, run: (core) => core.tick(Date.now()) });
  }

  async #run(): Promise<void> {
    while (this.#core) {
      const job = this.#urgent.shift() ?? (this.#closing ? undefined : this.#frames.shift());
      if (job) {
        await this.#do(job);
      } else if (this.#toWrite) {
        await this.#write(nothing('fold'), 0);
      } else if (this.#closing) {
        return;
      } else {
        await new Promise<void>((ring) => (this.#ring = ring));
        this.#ring = null;
      }
    }
  }

  async #do(job: Job): Promise<void> {
    const hand: Hand = job.bytes ? { what: job.what, hash: await hash(job.bytes), at: Date.now() } : nothing('turn');
    if (job.frame !== undefined) this.#waitingBytes -= job.bytes?.length ?? 0;
    let [run, isMarked] = [job.run, false];
    if (job.key?.again && this.storage.wasDone(job.key.key)) {
      return job.asker?.answer({ well: false, problem: { kind: 'interrupted' } });
    }
    if (job.bytes) {
      if (this.storage.isQuarantined(hand.hash)) {
        if (job.asker) {
          const detail = 'this stopped the core before';
          return job.asker.answer({ well: false, problem: { kind: 'quarantined', detail } });
        }
        const line = job.frame ?? 0;
        const rest = Math.min(REST_MS * 2 ** this.storage.framesAside(), REST_MS_MAX);
        run = (core) => core.rest(Date.now(), line, 'what the server sends stopped the core before', Date.now() + rest);
      } else {
        // Where there is no room even for this, it is done without.
        await this.storage.mark(hand).catch(() => {});
        isMarked = true;
      }
    }
    const asked = this.#nextRequest;
    this.#doing = job.key?.key ?? null;
    this.#guard(hand, asked, () => this.#core && run(this.#core), job.asker);
    await this.#write(hand, asked, job.asker);
    this.#doing = null;
    if (isMarked && this.#core) void this.storage.unmark(hand.hash).catch(() => {});
  }

  /** Writes what the core gives out, until it gives out nothing more. */
  async #write(hand: Hand, asked: number, asker?: Asker): Promise<void> {
    while (this.#toWrite && this.#core) {
      const records = this.#toWrite;
      this.#toWrite = null;
      const failed = await this.storage.write(records).then(() => null, (error: unknown) => error);
      this.#guard(hand, asked, () => {
        if (failed === null) this.#core?.written(Date.now());
        else this.#core?.notWritten(Date.now(), isFull(failed), String(failed));
      }, asker);
    }
  }

  /** Calls the core. Should it stop, what it had in hand is kept aside and nothing is asked of it any more. */
  #guard(hand: Hand, request: number, call: () => void, asker?: Asker): void {
    try {
      call();
    } catch (error) {
      this.#core = null;
      this.#silence();
      const problem: Problem = { kind: 'stopped', detail: String(error) };
      const waits = this.#askers.get(request) ?? asker;
      this.#askers.delete(request);
      waits?.answer({ well: false, problem });
      const told = hand.what === 'other'
        ? Promise.resolve({ what: hand.what, hash: hand.hash, at: hand.at })
        : this.storage.quarantine(hand);
      void told
        .then((quarantined) => this.around.notice({ type: 'quarantined', quarantined }), () => {})
        .finally(() => {
          this.storage.close();
          this.around.crashed();
        });
    }
  }

  #silence(): void {
    for (const line of [...this.#sockets.keys()]) this.hangUp(line);
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  // What the core asks for. It must not be called from here.

  journal(number: number, bytes: Uint8Array): void {
    this.#records.journal.push([number, bytes as Bytes]);
  }
  page(number: number, bytes: Uint8Array): void {
    this.#records.pages.push([number, bytes as Bytes]);
  }
  forgetPage(number: number): void {
    this.#records.gone.push(number);
  }
  write(head: Uint8Array, journalFirst: number): void {
    this.#toWrite = { head: head as Bytes, journalFirst, done: this.#doing, ...this.#records };
    this.#records = { journal: [], pages: [], gone: [] };
  }
  send(line: number, frame: Uint8Array): void {
    const socket = this.#sockets.get(line);
    if (socket?.readyState === WebSocket.OPEN) socket.send(frame as Bytes);
  }
  answer(request: number, well: boolean, json: Uint8Array): void {
    const asker = this.#askers.get(request);
    this.#askers.delete(request);
    asker?.answer(well ? { well, json: json as Bytes } : { well, problem: fromJson(json) as Problem });
  }
  changed(json: Uint8Array): void {
    this.around.notice({ type: 'changed', ids: fromJson(json) as string[] });
  }
  state(json: Uint8Array): void {
    this.around.notice({ type: 'state', state: fromJson(json) as (Notice & { type: 'state' })['state'] });
  }
  wakeAt(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const wait = Math.min(Math.max(ms - Date.now(), 0), TIMER_MS_MAX);
    this.#timer = setTimeout(() => this.tickNow(), wait);
  }
  connect(line: number, url: string): void {
    const heard = (run: (core: Core) => void) => {
      this.#frames.push({ what: 'other', bytes: null, run });
      this.#ring?.();
    };
    const closed = (reason: string) => {
      if (this.#sockets.delete(line)) heard((core) => core.closed(Date.now(), line, reason));
    };
    let socket: WebSocket;
    try {
      socket = new WebSocket(url);
    } catch (error) {
      return heard((core) => core.closed(Date.now(), line, String(error)));
    }
    this.#sockets.set(line, socket);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => heard((core) => core.opened(Date.now(), line));
    socket.onclose = (event) => closed(event.reason || `the socket was closed (${event.code})`);
    socket.onmessage = (event) => {
      if (!(event.data instanceof ArrayBuffer)) {
        socket.close();
        return closed('a message that is text');
      }
      const bytes = new Uint8Array(event.data);
      this.#waitingBytes += bytes.length;
      this.#frames.push({
        what: 'frame', bytes, frame: line,
        run: (core) => {
          if (this.#trapOnFrame) core.trap();
          core.frame(Date.now(), line, bytes);
        },
      });
      this.#ring?.();
      if (this.#waitingBytes > WAITING_BYTES_MAX) {
        socket.close();
        closed('more comes than can be taken');
      }
    };
  }
  hangUp(line: number): void {
    const socket = this.#sockets.get(line);
    this.#sockets.delete(line);
    socket?.close();
  }
}

/** In hand is nothing that could be kept aside. */
function nothing(name: string): Hand {
  return { what: 'other', hash: name, at: Date.now() };
}

function isFull(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'QuotaExceededError';
}

/** What the core throws is JSON; what the browser throws is put among its cases. */
export function problemOf(error: unknown): Problem {
  if (typeof error === 'string') return fromJson(new TextEncoder().encode(error)) as Problem;
  if (error instanceof MissingKey) return { kind: 'key', detail: error.message };
  if (error instanceof DamagedRecord) return { kind: 'damaged', detail: error.message };
  if (isFull(error)) return { kind: 'noSpace' };
  return { kind: 'unexpected', detail: String(error) };
}

function answerWith(asker: Asker, make: () => unknown): void {
  try {
    asker.answer({ well: true, json: toJson(make()) });
  } catch (error) {
    asker.answer({ well: false, problem: problemOf(error) });
  }
}

/** Asks a server which wijk it serves: the first thing it says on a connection. */
async function askWijk(server: string): Promise<Answer> {
  try {
    const socket = new WebSocket(syncUrl(server));
    socket.binaryType = 'arraybuffer';
    const first = await new Promise<Uint8Array | null>((tell) => {
      setTimeout(() => tell(null), ASK_WIJK_MS_MAX);
      socket.onmessage = (event) => tell(event.data instanceof ArrayBuffer ? new Uint8Array(event.data) : null);
      socket.onclose = () => tell(null);
    }).finally(() => socket.close());
    if (!first) return { well: false, problem: { kind: 'offline', detail: `no server answers at ${server}` } };
    return { well: true, json: toJson(wijkOf(first)) };
  } catch (error) {
    return { well: false, problem: problemOf(error) };
  }
}
