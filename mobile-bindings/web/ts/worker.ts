/**
 * The worker of one tab. Of all tabs that have the same device open, the one that holds a lock is its writer; the others hand their
 * requests to it. The browser gives the lock to the next one when a tab closes, crashes or is killed.
 *
 * What waited for a writer that went is asked again of the next one where doing it twice does no harm; commands are not, and whoever
 * asked is told that it isn't known whether they were written.
 */
import type { Answer, BetweenTabs, Notice, Problem, ToPage, ToWorker, Wanted } from './border.js';
import { isRepeatable } from './border.js';
import { Writer } from './writer.js';

interface Waiting {
  wanted: Wanted;
  /** The writer that has it; nothing while there is none. */
  sentTo: string | null;
}

function toPage(message: ToPage, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

class Tab {
  readonly #name = crypto.randomUUID();
  readonly #channel: BroadcastChannel;
  readonly #waiting = new Map<number, Waiting>();
  /** Who writes, as far as is known. */
  #writing: string | null = null;
  #writer: Writer | null = null;
  #isOpen = false;
  #letGo: () => void = () => {};
  readonly #givingUp = new AbortController();

  constructor(private readonly device: string) {
    this.#channel = new BroadcastChannel(`samenspraak/${device}`);
    this.#channel.onmessage = (event: MessageEvent<BetweenTabs>) => this.#heard(event.data);
    this.#channel.postMessage({ type: 'who' } satisfies BetweenTabs);
    const mine = { mode: 'exclusive', signal: this.#givingUp.signal } as const;
    navigator.locks.request(`samenspraak/${device}`, mine, () => this.#write()).catch((error: unknown) => {
      if (!this.#givingUp.signal.aborted) toPage({ type: 'failed', problem: { kind: 'unexpected', detail: String(error) } });
    });
  }

  /** This tab is the writer for as long as this lasts. */
  async #write(): Promise<void> {
    try {
      const notice = (told: Notice) => {
        this.#channel.postMessage(told);
        toPage(told);
      };
      this.#writer = await Writer.open(this.device, { notice, crashed: () => toPage({ type: 'crashed' }) });
    } catch (problem) {
      return toPage({ type: 'failed', problem: problem as Problem });
    }
    this.#channel.postMessage({ type: 'writer', writer: this.#name } satisfies BetweenTabs);
    this.#writes(this.#name);
    await new Promise<void>((letGo) => (this.#letGo = letGo));
  }

  /** Somebody writes, perhaps somebody else than before. */
  #writes(writer: string): void {
    this.#writing = writer;
    if (!this.#isOpen) {
      this.#isOpen = true;
      toPage({ type: 'opened' });
    }
    for (const [id, waiting] of [...this.#waiting]) {
      if (waiting.sentTo === null || (waiting.sentTo !== writer && isRepeatable(waiting.wanted))) {
        this.#send(id, waiting);
      } else if (waiting.sentTo !== writer) {
        this.#answer(id, { well: false, problem: { kind: 'interrupted' } });
      }
    }
  }

  #send(id: number, waiting: Waiting): void {
    waiting.sentTo = this.#writing;
    if (this.#writer) {
      this.#writer.request(waiting.wanted, { answer: (answer) => this.#answer(id, answer) });
    } else if (this.#writing !== null) {
      const request: BetweenTabs = { type: 'request', to: this.#writing, from: this.#name, id, wanted: waiting.wanted };
      this.#channel.postMessage(request);
    }
  }

  #answer(id: number, answer: Answer): void {
    if (this.#waiting.delete(id)) toPage({ type: 'answer', id, answer }, answer.well ? [answer.json.buffer] : []);
  }

  #heard(message: BetweenTabs): void {
    switch (message.type) {
      case 'who':
        if (this.#writer) this.#channel.postMessage({ type: 'writer', writer: this.#name } satisfies BetweenTabs);
        return;
      case 'writer':
        return this.#writes(message.writer);
      case 'request': {
        if (message.to !== this.#name || !this.#writer) return;
        const answer = (answer: Answer) => {
          this.#channel.postMessage({ type: 'answer', to: message.from, id: message.id, answer } satisfies BetweenTabs);
        };
        return this.#writer.request(message.wanted, { answer });
      }
      case 'answer':
        if (message.to === this.#name) this.#answer(message.id, message.answer);
        return;
      default:
        return toPage(message);
    }
  }

  request(id: number, wanted: Wanted): void {
    const waiting: Waiting = { wanted, sentTo: null };
    this.#waiting.set(id, waiting);
    if (this.#writing !== null) this.#send(id, waiting);
  }

  async end(): Promise<void> {
    this.#givingUp.abort();
    await this.#writer?.end();
    this.#channel.close();
    this.#letGo();
    toPage({ type: 'closed' });
  }
}

let tab: Tab | null = null;

self.onmessage = (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  switch (message.type) {
    case 'open':
      tab ??= new Tab(message.name);
      return;
    case 'request':
      return tab?.request(message.id, message.wanted);
    case 'close':
      return void tab?.end();
  }
};
