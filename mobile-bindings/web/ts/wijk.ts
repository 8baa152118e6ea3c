/** The page's side: one object with async functions, and one `subscribe`. */
import type {
  Ask, Content, Contribution, Erasure, Look, Me, Meeting, Outcome, OwnSealed, Present, Role, SealedStory, SyncState, Timeline, Voice,
} from './core.js';
import { again, fromJson, type Notice, type Problem, type ToPage, type ToWorker, type Wanted } from './border.js';

/** How often a worker that stopped is begun anew before nothing more is tried: then the storage itself stops the core. */
const RESTARTS_MAX = 5;

/** Why something can't be done. Nothing was written then, except with `interrupted`. */
export class WijkFailure extends Error {
  override readonly name = 'WijkFailure';

  constructor(
    /** The case, for `switch (failure.problem.kind)`. Its texts are English, for logs. */
    readonly problem: Problem,
  ) {
    super('detail' in problem ? `${problem.kind}: ${problem.detail}` : problem.kind);
  }
}

/** How a device is opened. */
export interface Options {
  /** Which device of this browser; each belongs to one wijk. */
  name?: string;
  /** The worker, where a bundler wants to make it itself. */
  worker?: () => Worker;
}

interface Waiting {
  wanted: Wanted;
  well: (value: unknown) => void;
  badly: (failure: WijkFailure) => void;
}

/** A decision of the board. */
export interface Decision {
  /** The contributions it is about. */
  about: string[];
  outcome: Outcome;
  /** Why. */
  reason: string;
  /** The answer to those who asked. */
  answer: string;
  /** Who carries it out. */
  party?: string;
  /** When it is to be done. */
  dueDay?: number | null;
  /** Decisions that this one takes the place of. */
  replaces?: string[];
}

/**
 * Opens a device of this browser, making it when it isn't there. Any number of tabs may have the same one open: one of them writes,
 * and when it goes another one does.
 *
 * Asks the browser to keep the storage; `Wijk.persisted` says what it answered. Needs a secure context (`https`, or `localhost`).
 */
export async function openWijk(options: Options = {}): Promise<Wijk> {
  const make = options.worker ?? (() => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }));
  const wijk = new Wijk(options.name ?? 'phone', make);
  await wijk.opened;
  return wijk;
}

/** One wijk on this device. See {@link openWijk}. */
export class Wijk {
  /** Whether the browser promised not to clear the storage by itself when space runs short. */
  readonly persisted: Promise<boolean>;
  /** @internal */
  readonly opened: Promise<void>;
  #isOpen: { well: () => void; badly: (failure: WijkFailure) => void } = { well: () => {}, badly: () => {} };
  #worker: Worker;
  #restarts = 0;
  #next = 1;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<(notice: Notice) => void>();
  #ended: Problem | null = null;
  #closed: (() => void) | null = null;
  readonly #online = () => void this.setNetwork(true).catch(() => {});
  readonly #offline = () => void this.setNetwork(false).catch(() => {});

  /** @internal */
  constructor(
    private readonly name: string,
    private readonly make: () => Worker,
  ) {
    this.opened = new Promise((well, badly) => (this.#isOpen = { well, badly }));
    this.#worker = this.#begin();
    this.persisted = navigator.storage?.persist?.().catch(() => false) ?? Promise.resolve(false);
    addEventListener('online', this.#online);
    addEventListener('offline', this.#offline);
  }

  #begin(): Worker {
    const worker = this.make();
    worker.onmessage = (event: MessageEvent<ToPage>) => this.#heard(event.data);
    worker.onerror = (event) => this.#fail({ kind: 'unexpected', detail: `the worker: ${event.message}` });
    this.#post(worker, { type: 'open', name: this.name });
    return worker;
  }

  #post(worker: Worker, message: ToWorker): void {
    worker.postMessage(message);
  }

  #heard(message: ToPage): void {
    switch (message.type) {
      case 'opened':
        return this.#isOpen.well();
      case 'failed':
        return this.#fail(message.problem);
      case 'answer': {
        const waiting = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        if (message.answer.well) waiting?.well(fromJson(message.answer.json));
        else waiting?.badly(new WijkFailure(message.answer.problem));
        return;
      }
      case 'crashed':
        return this.#restart();
      case 'closed':
        return this.#closed?.();
      default:
        for (const listener of [...this.#listeners]) {
          try {
            listener(message);
          } catch (error) {
            // The app's own affair, and others hear of it all the same.
            reportError(error);
          }
        }
    }
  }

  /** The core stopped: a new worker, of which what wasn't answered is asked again. */
  #restart(): void {
    this.#worker.terminate();
    if (++this.#restarts > RESTARTS_MAX) return this.#fail({ kind: 'stopped', detail: 'the core stops whenever it is begun' });
    this.#worker = this.#begin();
    for (const [id, waiting] of [...this.#waiting]) {
      waiting.wanted = again(waiting.wanted);
      this.#post(this.#worker, { type: 'request', id, wanted: waiting.wanted });
    }
  }

  #fail(problem: Problem): void {
    this.#ended = problem;
    this.#worker.terminate();
    const failure = new WijkFailure(problem);
    this.#isOpen.badly(failure);
    for (const waiting of this.#waiting.values()) waiting.badly(failure);
    this.#waiting.clear();
  }

  /** @internal */
  want<T>(wanted: Wanted): Promise<T> {
    return new Promise<T>((well, badly) => {
      if (this.#ended) return badly(new WijkFailure(this.#ended));
      const id = this.#next++;
      this.#waiting.set(id, { wanted, well: well as (value: unknown) => void, badly });
      this.#post(this.#worker, { type: 'request', id, wanted });
    });
  }

  #ask<T>(ask: Ask): Promise<T> {
    return this.want<T>({ kind: 'ask', ask, key: crypto.randomUUID(), again: false });
  }

  #look<T>(look: Look): Promise<T> {
    return this.want<T>({ kind: 'look', look });
  }

  /**
   * Hears what changes, in every tab: ids that read differently now (look again at what is on the screen), how this device and its
   * server are, and what was kept aside because it stopped the core. Returns what ends it.
   */
  subscribe(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  // Commands. When one returns, it is flushed on this device; none of them waits for the network.

  /** Joins with a card: what its QR code holds. Works without a network; the server's word comes with the first sync. */
  join(link: string): Promise<void> {
    return this.#ask({ kind: 'join', link });
  }

  /** Sends something in, for all of the wijk to read. Returns its id. */
  contribute(content: Pick<Content, 'title' | 'text'> & Partial<Content>): Promise<string> {
    return this.#ask({ kind: 'contribute', content: { theme: 0, buurt: '', ...content } });
  }

  /**
   * Changes own input. Where words go away it becomes a new one and the old one is erased: the id that is returned counts from then
   * on.
   */
  edit(id: string, content: Pick<Content, 'title' | 'text'> & Partial<Content>): Promise<string> {
    return this.#ask({ kind: 'edit', id, content: { theme: 0, buurt: '', ...content } });
  }

  /** Supports a contribution, or speaks on a question. The last word counts. */
  speak(id: string, voice: Voice): Promise<void> {
    return this.#ask({ kind: 'speak', id, voice });
  }

  /** Takes own input or an own voice back for good, everywhere. `erasure` says how far that reached. */
  erase(id: string): Promise<void> {
    return this.#ask({ kind: 'erase', id });
  }

  /** Asks the server how far an erasure reached; with the next connection, where there is none. */
  askErasure(id: string): Promise<void> {
    return this.#ask({ kind: 'askErasure', id });
  }

  /** Begins a meeting with its agenda (facilitators). Returns its id. */
  newMeeting(title: string, agenda: string[]): Promise<string> {
    return this.#ask({ kind: 'newMeeting', title, agenda });
  }

  /** Adds a point to an agenda. */
  addAgendaItem(id: string, title: string): Promise<void> {
    return this.#ask({ kind: 'addAgendaItem', id, title });
  }

  /** Changes the notes of a point (from 0): at character `at`, `deleted` characters go and `insert` comes. */
  editNotes(id: string, item: number, at: number, deleted: number, insert: string): Promise<void> {
    return this.#ask({ kind: 'editNotes', id, item, at, delete: deleted, insert });
  }

  /** Makes the notes of a point read like `text`, with the smallest change that does it. `before` is what the editor showed. */
  setNotes(id: string, item: number, before: string, text: string): Promise<void> {
    return this.#ask({ kind: 'setNotes', id, item, before, text });
  }

  /** Sends in something that only the board can read; the server isn't told from whom. Returns its id. */
  seal(content: Pick<Content, 'title' | 'text'> & Partial<Content>): Promise<string> {
    return this.#ask({ kind: 'seal', content: { theme: 0, buurt: '', ...content } });
  }

  /** Answers a sealed story (board); only the holder of its receipt can read it. */
  answerSealed(id: string, answer: string): Promise<void> {
    return this.#ask({ kind: 'answerSealed', id, answer });
  }

  /** Decides on contributions and answers them (board). */
  decide(decision: Decision): Promise<void> {
    const { party = '', dueDay = null, replaces = [] } = decision;
    return this.#ask({ ...decision, party, dueDay, replaces, kind: 'decide' });
  }

  /** Makes cards for people to join with (facilitators and up), at most 1,000: the links that QR codes hold. */
  invite(role: Role, count: number): Promise<string[]> {
    return this.#ask({ kind: 'invite', role, count });
  }

  /**
   * Says that the person looks at this now, and whether the person writes there; `null`: at nothing any more. Others who look at it
   * hear how many do, never who. Of several tabs the last that says so counts.
   */
  attend(id: string | null, writes = false): Promise<void> {
    return this.#ask({ kind: 'attend', id, writes });
  }

  // Looks: what is here, without waiting for the network. Each is a copy of this moment.

  /** Who this device is; nothing before it joined. */
  me(): Promise<Me | null> {
    return this.#look({ kind: 'me' });
  }

  /** How many contributions there are to show. */
  contributionCount(): Promise<number> {
    return this.#look({ kind: 'contributionCount' });
  }

  /** Contributions in the order the server received them, those it hasn't yet last; at most 1,000 at once. */
  contributions(first = 0, count = 50): Promise<Contribution[]> {
    return this.#look({ kind: 'contributions', first, count });
  }

  /** One contribution. */
  contribution(id: string): Promise<Contribution> {
    return this.#look({ kind: 'contribution', id });
  }

  /** One contribution with all that happened to it. */
  timeline(id: string): Promise<Timeline> {
    return this.#look({ kind: 'timeline', id });
  }

  /** All meetings. */
  meetings(): Promise<Meeting[]> {
    return this.#look({ kind: 'meetings' });
  }

  /** One meeting with its notes. */
  meeting(id: string): Promise<Meeting> {
    return this.#look({ kind: 'meeting', id });
  }

  /**
   * Others who look at this now: numbers, never who. `null` without a line to the server, or when this device doesn't say that it
   * looks (`attend`).
   */
  present(id: string): Promise<Present | null> {
    return this.#look({ kind: 'present', id });
  }

  /** Own sealed stories, with what was answered. */
  ownSealed(): Promise<OwnSealed[]> {
    return this.#look({ kind: 'ownSealed' });
  }

  /** What was sealed for the board; nothing on devices of others. */
  sealedStories(): Promise<SealedStory[]> {
    return this.#look({ kind: 'sealedStories' });
  }

  /** What was answered to the holder of a receipt, on any device of the wijk. */
  answersFor(receipt: string): Promise<string[]> {
    return this.#look({ kind: 'answersFor', receipt });
  }

  /** How far an erasure reached, as the server last said; `askErasure` asks it again. */
  erasure(id: string): Promise<Erasure> {
    return this.#look({ kind: 'erasure', id });
  }

  /** How this device and its server are. */
  syncState(): Promise<SyncState> {
    return this.want({ kind: 'state' });
  }

  // The network, and cards before joining.

  /** Says whether there is a network; the browser's own events are heard anyway. */
  setNetwork(isThere: boolean): Promise<void> {
    return this.want({ kind: 'network', isThere });
  }

  /** Syncs now, on a new connection, and returns when everything is sent, receipted and received. */
  syncNow(): Promise<void> {
    return this.want({ kind: 'catchUp' });
  }

  /** Asks a server which wijk it serves: for people who type a card's letters instead of scanning its code. */
  askWijk(server: string): Promise<string> {
    return this.want({ kind: 'askWijk', server });
  }

  /** Turns the sixteen letters of a card into the link that its QR code holds. */
  cardLink(letters: string, wijk: string, server: string): Promise<string> {
    return this.want({ kind: 'cardLink', letters, wijk, server });
  }

  /** Checks a scanned card without joining: whether it is one at all. */
  checkCard(link: string): Promise<void> {
    return this.want({ kind: 'checkCard', link });
  }

  /** Ends: what waits is done, and another tab may write. Everything asked after it fails with `closed`. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = { kind: 'closed' };
    removeEventListener('online', this.#online);
    removeEventListener('offline', this.#offline);
    await new Promise<void>((closed) => {
      this.#closed = closed;
      this.#post(this.#worker, { type: 'close' });
    });
    this.#fail({ kind: 'closed' });
  }
}
