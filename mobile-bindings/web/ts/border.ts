/**
 * What crosses between a page and its worker, and between workers of several tabs. Answers cross as JSON in bytes, which a worker
 * hands over without a copy; only the page makes objects of them.
 */
import type { Ask, Look, SyncState, WijkError } from './core.js';

/** What stopped the core and is kept aside: it is not given to the core again by this version. */
export interface Quarantined {
  /** A frame of the server, something that was asked for, or neither. */
  what: 'frame' | 'ask' | 'other';
  /** SHA-256 of it, in hexadecimal digits. */
  hash: string;
  /** When, in milliseconds since 1970. */
  at: number;
}

/** Why something can't be done: what the core says, or what only happens in a browser. */
export type Problem =
  | WijkError
  /** The tab that was writing went away before it answered. Whether it was written, the lists show. */
  | { kind: 'interrupted' }
  /** The core stopped while it did this; it runs again, and this is not tried again. */
  | { kind: 'stopped'; detail: string }
  /** This stopped the core before. A newer version may know better. */
  | { kind: 'quarantined'; detail: string };

/** What a page asks its worker for. */
export type Wanted =
  | { kind: 'ask'; ask: Ask }
  | { kind: 'look'; look: Look }
  | { kind: 'state' }
  | { kind: 'catchUp' }
  | { kind: 'network'; isThere: boolean }
  | { kind: 'askWijk'; server: string }
  | { kind: 'cardLink'; letters: string; wijk: string; server: string }
  | { kind: 'checkCard'; link: string }
  /** For tests: the core panics now, or in place of the next frame. */
  | { kind: 'trap'; on: 'ask' | 'frame' };

/** From the page. */
export type ToWorker =
  | { type: 'open'; name: string }
  | { type: 'request'; id: number; wanted: Wanted }
  | { type: 'close' };

/** An answer: JSON in bytes, or why there is none. */
export type Answer = { well: true; json: Uint8Array<ArrayBuffer> } | { well: false; problem: Problem };

/** What every tab is told. */
export type Notice =
  | { type: 'changed'; ids: string[] }
  | { type: 'state'; state: SyncState }
  | { type: 'quarantined'; quarantined: Quarantined };

/** To the page. */
export type ToPage =
  | { type: 'opened' }
  | { type: 'failed'; problem: Problem }
  | { type: 'answer'; id: number; answer: Answer }
  | { type: 'crashed' }
  | { type: 'closed' }
  | Notice;

/** Between workers. Every tab has a name; `to` is one of them. */
export type BetweenTabs =
  | { type: 'who' }
  | { type: 'writer'; writer: string }
  | { type: 'request'; to: string; from: string; id: number; wanted: Wanted }
  | { type: 'answer'; to: string; id: number; answer: Answer }
  | Notice;

/** Whether doing this twice does no harm. */
export function isRepeatable(wanted: Wanted): boolean {
  return wanted.kind !== 'ask' && wanted.kind !== 'trap';
}

/** An object as an answer holds it. */
export function toJson(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value ?? null));
}

/** What an answer holds. */
export function fromJson(json: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(json));
}
