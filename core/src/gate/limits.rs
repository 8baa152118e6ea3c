//! Every limit of the gate, each with its reason.
//!
//! A limit decides what the whole neighbourhood accepts: two programs with different limits would show
//! different documents. So none of these may depend on the machine or be lowered for entries that were
//! accepted before; raising one means a newer program accepts what an older one refuses.
//! Where they are used: `gate::change` (one automerge change), `gate::fold` (a document's changes together).

/// Bytes of one change after inflating, without its header. A note page of 64 KiB typed at once is
/// 64 KiB of values and about as much again in the worst columns; four times the text leaves room for
/// letters of four bytes. A phone can hold this in memory many times over.
pub const CHANGE_INFLATED_BYTES_MAX: usize = 256 * 1024;

/// Bytes of the header in front of a change's body: magic (4), checksum (4), kind (1) and the length,
/// which for [`CHANGE_INFLATED_BYTES_MAX`] takes three bytes.
pub const CHANGE_HEADER_BYTES_MAX: usize = 12;

/// Operations of one change. Automerge makes one operation per character, so a full note page (64 KiB)
/// pasted at once is 65,536 of them, plus the objects around it. One million took automerge 3.5 s and
/// 388 MB; folding this many took 0.2 s and 39 MB from 64 hostile bytes, 0.45 s and 62 MB as real text. So a
/// quota must count operations, not bytes.
pub const OPS_PER_CHANGE_MAX: u64 = 70_000;

/// Predecessors named by all operations of one change together. Overwriting or deleting names the
/// one operation that is replaced, or a few when several people wrote at the same time; twice the
/// operations leaves room for that.
pub const PREDECESSORS_PER_CHANGE_MAX: u64 = 2 * OPS_PER_CHANGE_MAX;

/// Objects (maps, lists, texts) made by one change. An agenda of a hundred items makes three hundred.
/// A change with 20,000 nested maps would overflow the stack of a reader that recurses.
pub const OBJECTS_PER_CHANGE_MAX: u64 = 512;

/// Bytes of map keys once every operation has its own copy, as automerge gives it. A run
/// of one long key would otherwise turn 100 KB into gigabytes. Our keys are words of a dozen letters.
pub const KEY_BYTES_EXPANDED_MAX: u64 = 256 * 1024;

/// Direct dependencies of one change: the heads its author saw. More than 64 people who change one
/// document before any of them hears of another does not happen in a neighbourhood.
pub const DEPS_MAX: u64 = 64;

/// Other actors one change refers to: everyone whose text it touches.
pub const OTHER_ACTORS_MAX: u64 = 256;

/// Bytes of an actor id, ours and everyone's.
pub const ACTOR_BYTES: usize = 16;

/// The largest operation counter in a document, over its whole life: two hundred full pages typed.
/// Automerge stores counters in 32 bits and panics at the end of them, also at a later edit by someone
/// else. The counter only stays honest because `gate::fold` also demands that it does not jump.
pub const OP_COUNTER_MAX: u64 = 1 << 24;

/// The largest sequence number of one actor in one document. Automerge keeps them in 32 bits; nobody
/// commits sixteen million times to one document.
pub const SEQ_MAX: u64 = 1 << 24;

/// Entries of one batch: a push, or a piece of a log. A phone that wrote this many in one evening sends two.
pub const BATCH_ENTRIES_MAX: usize = 4096;

/// Entries of one packed segment of a log, which only phones take: twice a batch, because the fewer segments, the fewer closing
/// signatures. Admitting so many takes some 6 MB and a tenth of a second.
pub const SEGMENT_ENTRIES_MAX: usize = 2 * BATCH_ENTRIES_MAX;

/// Entries of one push. A piece of the log ends where a push ended: with what may have waited for it, and with what stood
/// in the piece before, it must stay within [`BATCH_ENTRIES_MAX`], or nobody could read the log any more.
pub const PUSH_ENTRIES_MAX: usize = BATCH_ENTRIES_MAX / 4;

/// Bytes of an entry in a piece beside its body and the fields of newer apps: subject, hash, line and facts.
pub const ENTRY_ENVELOPE_BYTES: usize = 80;

/// Bytes of a run in a piece beside its entries: device, link and signature.
pub const RUN_ENVELOPE_BYTES: usize = 140;

/// Bytes of bodies and fields of newer apps in one push: a batch at its target and one largest body behind it, with room to spare. For the same reason it must
/// stay far below [`FRAME_BYTES_MAX`].
pub const PUSH_BYTES_MAX: usize = 256 * 1024;

/// Bytes, measured with [`ENTRY_ENVELOPE_BYTES`] for each entry, of a push that carries what others wrote in the order of a log.
/// A phone can cut such a push only where it holds a signature, which is where a piece that it took ended for that device. So it
/// takes as much as a piece can have, and what a piece made of it can have is no more: half a frame.
pub const RELAYED_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;

/// Bytes of bodies that one batch aims at; a batch ends at the first closing signature behind it. Small enough to be sent
/// again when a weak connection breaks, large enough that one signature and one flush serve many entries.
pub const BATCH_BYTES_TARGET: usize = 128 * 1024;

/// Bytes of one frame on the wire: a batch at its target, one largest run behind it, and envelopes.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Bodies that may wait on a phone for what they depend on. An honest pusher sends dependencies first, so in practice none
/// wait; beyond this an entry keeps its place as a hole and its body is asked for again later. Own words are never dropped.
pub const PENDING_BODIES_MAX: usize = 1024;

/// Bodies of one device that may wait at the server. A push beyond this is refused with "not now": the server receipts only
/// what it keeps. More than any evening's misunderstanding, and 16 MiB at the most.
pub const PENDING_BODIES_PER_DEVICE_MAX: usize = 256;
