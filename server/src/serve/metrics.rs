//! Numbers about the running server, in the text form of OpenMetrics.
//!
//! Nothing here names or counts a single person or device: the spaces of circles and of one person are added up. Counting is
//! an atomic addition where the thing happens; what can be looked up is looked up when somebody asks. `server/docs/metrics.md`
//! says what to watch. Not here: who may ask (`health`).

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use samenspraak_core::model::SpaceId;
use samenspraak_core::store::disk::OpenReport;
use samenspraak_core::sync::wire::{Frame, RefusalCode};

use crate::size::space_name;

/// Bounds of the histogram of flushes, in seconds: a flush of a good disk takes half a millisecond, of a card in a small
/// computer tens, and a second is a disk in trouble.
const FLUSH_BOUNDS: [f64; 12] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

type Label = [(&'static str, &'static str); 1];
type Counters = Family<Label, Counter<u64, AtomicU64>>;
type Gauges = Family<Label, Gauge<i64, AtomicI64>>;
type Number = Gauge<i64, AtomicI64>;

/// See the module.
pub struct Metrics {
    registry: Registry,
    /// Connections of phones that are open.
    pub connections: Number,
    /// Connections that were let in, since the server started.
    pub connected: Counter,
    /// Pushes that came.
    pub pushes: Counter,
    /// Entries that got a number in a log.
    pub entries: Counter,
    refusals: Counters,
    /// Connections and requests that found no place, by what was full.
    full: Counters,
    /// What one group of pushes took from the queue to the answers, flush included.
    pub flushes: Histogram,
    /// Pushes that wait for the writer.
    pub queue: Number,
    bytes: Counters,
    items: Gauges,
    stored: Gauges,
    /// Sealed input that is held.
    pub drops_held: Number,
    /// Whether the index had to be built anew when the store was opened.
    pub index_rebuilt: Number,
    /// Writes of the journal that are lost, until they came back from phones and somebody said so.
    pub writes_lost: Number,
    /// Rows that could not be read as they were written.
    pub damage: Counter,
    /// Bytes free on the disk of the data folder.
    pub disk_free: Number,
    /// Memory of the process.
    pub memory: Number,
    /// When the certificate ends, in seconds since 1970; 0 without one.
    pub certificate_ends: Number,
}

fn code_name(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::Form => "form",
        RefusalCode::Signature => "signature",
        RefusalCode::Gap => "gap",
        RefusalCode::Fork => "fork",
        RefusalCode::NotMember => "not_member",
        RefusalCode::CardUsed => "card_used",
        RefusalCode::CardUnknown => "card_unknown",
        RefusalCode::UnknownSubject => "unknown_subject",
        RefusalCode::OtherBody => "other_body",
        RefusalCode::NotNow => "not_now",
        RefusalCode::NotReadable => "not_readable",
        RefusalCode::CardWithdrawn => "card_withdrawn",
        RefusalCode::Revoked => "revoked",
        RefusalCode::Newer => "newer",
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("samenspraak"),
            connections: Number::default(),
            connected: Counter::default(),
            pushes: Counter::default(),
            entries: Counter::default(),
            refusals: Counters::default(),
            full: Counters::default(),
            flushes: Histogram::new(FLUSH_BOUNDS),
            queue: Number::default(),
            bytes: Counters::default(),
            items: Gauges::default(),
            stored: Gauges::default(),
            drops_held: Number::default(),
            index_rebuilt: Number::default(),
            writes_lost: Number::default(),
            damage: Counter::default(),
            disk_free: Number::default(),
            memory: Number::default(),
            certificate_ends: Number::default(),
        };
        all.register();
        all
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("connections", "Connections of phones that are open", self.connections.clone());
        registry.register("connected", "Connections of phones that were let in", self.connected.clone());
        registry.register("pushes", "Pushes that came", self.pushes.clone());
        registry.register("entries_admitted", "Entries that got a number in a log", self.entries.clone());
        registry.register(
            "refusals",
            "Pushes, drops and subscriptions that were refused, by code",
            self.refusals.clone(),
        );
        registry.register("full", "Connections and requests that found no place, by what was full", self.full.clone());
        let help =
            "A group of pushes, from the queue to its answers with the flush; its count is the number of flushes";
        registry.register_with_unit("flush", help, Unit::Seconds, self.flushes.clone());
        registry.register("queue", "Pushes that wait for the writer", self.queue.clone());
        registry.register_with_unit("frame", "Bytes of frames, by direction", Unit::Bytes, self.bytes.clone());
        registry.register("log_items", "Items in the log of a space", self.items.clone());
        registry.register_with_unit("stored", "Bytes of live rows of a space", Unit::Bytes, self.stored.clone());
        registry.register("drops_held", "Sealed input that is held", self.drops_held.clone());
        let help = "Whether the index had to be built anew when the store was opened";
        registry.register("index_rebuilt", help, self.index_rebuilt.clone());
        let help = "Writes of the journal that were lost to damage and are not known to be back";
        registry.register("writes_lost", help, self.writes_lost.clone());
        registry.register(
            "damage_found",
            "Reads that met damaged data, and places that were found damaged in the background",
            self.damage.clone(),
        );
        registry.register_with_unit(
            "disk_free",
            "Free on the disk of the data folder",
            Unit::Bytes,
            self.disk_free.clone(),
        );
        registry.register_with_unit("memory", "Resident memory of the process", Unit::Bytes, self.memory.clone());
        let help = "When the certificate ends, since 1970; 0 without one";
        registry.register_with_unit("certificate_ends", help, Unit::Seconds, self.certificate_ends.clone());
    }

    /// Notes what opening the store found.
    pub fn opened(&self, found: &OpenReport) {
        self.index_rebuilt.set(i64::from(found.index_rebuilt.is_some()));
        let lost = found.salvaged.as_ref().map_or(0, |salvaged| salvaged.frames_lost());
        self.writes_lost.set(i64::try_from(lost).unwrap_or(i64::MAX));
    }

    /// Counts bytes of frames that came.
    pub fn bytes_in(&self, bytes: usize) {
        self.bytes.get_or_create(&[("direction", "in")]).inc_by(bytes as u64);
    }

    /// Counts bytes of frames that went.
    pub fn bytes_out(&self, bytes: usize) {
        self.bytes.get_or_create(&[("direction", "out")]).inc_by(bytes as u64);
    }

    /// Counts what a frame to a phone refuses.
    pub fn answered(&self, frame: &Frame) {
        if let Frame::Refused { code, .. } | Frame::DropRefused { code, .. } = frame {
            self.refusals.get_or_create(&[("code", code_name(*code))]).inc();
        }
    }

    /// Counts somebody who found no place. `what` is the name of the limit.
    pub fn was_full(&self, what: &'static str) {
        self.full.get_or_create(&[("limit", what)]).inc();
    }

    /// Notes how long a group of pushes took.
    pub fn flushed(&self, took: Duration) {
        self.flushes.observe(took.as_secs_f64());
    }

    /// Notes how many items the logs have; logs of the same kind are added up.
    pub fn set_items(&self, items: impl Iterator<Item = (SpaceId, u64)>) {
        set_sums(&self.items, items);
    }

    /// Notes how many bytes the spaces have; those of the same kind are added up.
    pub fn set_stored(&self, bytes: impl Iterator<Item = (SpaceId, u64)>) {
        set_sums(&self.stored, bytes);
    }

    /// All numbers as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn set_sums(gauges: &Gauges, values: impl Iterator<Item = (SpaceId, u64)>) {
    let mut sums = std::collections::BTreeMap::new();
    for (space, value) in values {
        *sums.entry(space_name(space)).or_insert(0) += value;
    }
    for (space, sum) in sums {
        gauges.get_or_create(&[("space", space)]).set(i64::try_from(sum).unwrap_or(i64::MAX));
    }
}

/// Content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Resident memory of this process in bytes, where the system tells it in `/proc`.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use samenspraak_core::model::PersonId;

    #[test]
    fn circles_and_what_one_person_has_are_added_up_and_never_named() {
        let metrics = Metrics::default();
        let spaces = [
            (SpaceId::Open, 5),
            (SpaceId::Circle([0xab; 16]), 7),
            (SpaceId::Circle([0xcd; 16]), 8),
            (SpaceId::Own(PersonId::new([0xef; 16])), 9),
        ];
        metrics.set_items(spaces.into_iter());
        metrics.set_stored(spaces.into_iter());
        metrics.answered(&Frame::DropRefused { drop: 1, code: RefusalCode::NotNow });
        metrics.answered(&Frame::Bye);
        let text = metrics.text();
        assert!(text.contains("samenspraak_log_items{space=\"circles\"} 15"), "{text}");
        assert!(text.contains("samenspraak_stored_bytes{space=\"own\"} 9"), "{text}");
        assert!(text.contains("samenspraak_refusals_total{code=\"not_now\"} 1"), "{text}");
        for id in ["abab", "cdcd", "efef"] {
            assert!(!text.contains(id), "{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
