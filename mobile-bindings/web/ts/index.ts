/**
 * The core of Samenspraak in a browser.
 *
 * ```ts
 * import { openWijk } from 'samenspraak';
 *
 * const wijk = await openWijk();
 * await wijk.join(card);
 * const mine = await wijk.contribute({ title: 'Schimmel', text: 'Al twee winters.' });
 * wijk.subscribe(async (notice) => {
 *   if (notice.type === 'changed' && notice.ids.includes(mine)) show(await wijk.timeline(mine));
 * });
 * ```
 *
 * @module
 */
export { openWijk, Wijk, WijkFailure, type Decision, type Options } from './wijk.js';
export type { Notice, Problem, Quarantined } from './border.js';
export type {
  AgendaItem, Content, Contribution, Decided, Erasure, Me, Meeting, Outcome, OwnSealed, Present, Progress, Role, SealedStory, Step, SyncState,
  Timeline, Voice, Voices, WijkError,
} from './core.js';
