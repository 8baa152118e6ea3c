//! Everything an entry is read from: runs, headers, bodies of every kind, and the rows that keep it.
//!
//! The first byte of an input says which; for a body the next two say of what kind.

use std::sync::Arc;

use samenspraak_core::cbor::{Reader, Writer};
use samenspraak_core::entry::run::Cursor;
use samenspraak_core::entry::{Header, Kind, Run, Salt, Tombstone, codec};
use samenspraak_core::model::{SpaceId, WijkId};
use samenspraak_core::replica::rows::{decode_dep, encode_dep};
use samenspraak_core::replica::{EntryRow, Head, Place, SubjectRow};
use samenspraak_core::store::log::{decode_head, decode_line, decode_run, encode_head, encode_line, encode_run};
use samenspraak_core::store::{Row, Table};
use samenspraak_core::sync::ServerCertificate;
use samenspraak_core::sync::wire::Frame;

use super::{Ends, Target};
use crate::conversation::Conversation;

pub const TARGET: Target = Target { name: "entry", run, seeds, accepts: "read" };

const RUN: u8 = 0;
const HEADER: u8 = 1;
const BODY: u8 = 2;
const ROW: u8 = 3;

const WIJK: WijkId = WijkId::new([1; 32]);

/// Kinds that bodies are read as: all that have a name now or could get one, and so one that no version knows.
const KINDS_MAX: u64 = 256;

fn run(input: &[u8], ends: &mut Ends) {
    let Some((form, bytes)) = input.split_first() else { return };
    match form % 4 {
        RUN => run_of_entries(bytes, ends),
        HEADER => match Header::decode(bytes) {
            Ok(header) => {
                ends.reach("read", 1);
                assert_eq!(header.encode(), bytes, "a header is read from another form than its own");
            }
            Err(error) => ends.reach(error.what, 1),
        },
        BODY => {
            if let [high, low, body @ ..] = bytes {
                body_of(Kind(u64::from(u16::from_be_bytes([*high, *low])) % KINDS_MAX), body, ends);
            }
        }
        _ => row(bytes, ends),
    }
}

fn run_of_entries(bytes: &[u8], ends: &mut Ends) {
    let mut reader = Reader::new(bytes);
    let run = match Run::decode(&mut reader) {
        Ok(run) => run,
        Err(error) => return ends.reach(error.what, 0),
    };
    ends.reach("read", 0);
    let mut writer = Writer::new();
    run.encode(&mut writer);
    let written = writer.finish();
    assert_eq!(Run::decode(&mut Reader::new(&written)).as_ref(), Ok(&run), "a run reads back as another one");
    for salt in [None, Some(Salt([7; 32]))] {
        let mut cursor = Cursor::new(&run);
        let mut count = 0;
        while let Some(rebuilt) = cursor.next(WIJK, SpaceId::Open, &mut |_| salt) {
            match rebuilt {
                Ok(entry) => {
                    let header = entry.header.encode();
                    assert_eq!(Header::decode(&header).as_ref(), Ok(&entry.header), "a header that nobody can read");
                    assert_eq!(entry.header.id(), entry.id);
                    count += 1;
                }
                Err(_) => {
                    ends.reach("not rebuilt", u64::from(salt.is_some()));
                    break;
                }
            }
        }
        assert_eq!(cursor.is_done(), count == run.entries.len());
    }
}

fn body_of(kind: Kind, body: &[u8], ends: &mut Ends) {
    let opening = codec::opening(body);
    match codec::decode(kind, body) {
        Ok(Some(record)) => {
            ends.reach("read", 256 + kind.0);
            let opening = if kind == Kind::TOMBSTONE { None } else { opening.ok().flatten() };
            let written = codec::encode(opening.as_ref(), &record);
            assert_eq!(codec::decode(kind, &written).as_ref(), Ok(&Some(record)), "a body reads back as another one");
            assert_eq!(codec::opening(&written), Ok(opening), "a body opens another subject when it is written again");
        }
        Ok(None) => ends.reach("no kind", 0),
        Err(error) => ends.reach(error.what, 256 + kind.0),
    }
    if let Ok(tombstone) = Tombstone::decode(body) {
        // Hashes what a stranger sent; whether it proves itself is for the gate.
        ends.reach("a tombstone", u64::from(tombstone.proves_itself(WIJK, SpaceId::Open)));
    }
}

/// Rows come from this program's own disk, where anything can have happened to them.
fn row(bytes: &[u8], ends: &mut Ends) {
    if let Ok(row) = EntryRow::decode(bytes) {
        ends.reach("read", 2);
        assert_eq!(EntryRow::decode(&row.encode()), Ok(row));
    }
    if let Ok(row) = SubjectRow::decode(bytes) {
        ends.reach("read", 3);
        assert_eq!(SubjectRow::decode(&row.encode()), Ok(row));
    }
    if let Ok(head) = Head::decode(bytes) {
        ends.reach("read", 4);
        assert_eq!(Head::decode(&head.encode()), Ok(head));
    }
    if let Ok(dep) = decode_dep(bytes) {
        ends.reach("read", 5);
        assert_eq!(decode_dep(&encode_dep(&dep)), Ok(dep));
    }
    if let Ok(certificate) = ServerCertificate::decode(bytes) {
        ends.reach("read", 6);
        assert_eq!(ServerCertificate::decode(&certificate.encode()), Ok(certificate));
    }
    if let Ok(head) = decode_head(bytes) {
        ends.reach("read", 7);
        assert_eq!(decode_head(&encode_head(&head)), Ok(head));
    }
    if let Ok((item, closes)) = decode_line(bytes) {
        ends.reach("read", 8);
        assert_eq!(decode_line(&encode_line(&item, closes.as_ref())), Ok((item, closes)));
    }
    if let Ok((items, closes)) = decode_run(bytes) {
        ends.reach("read", 10);
        assert_eq!(decode_run(&encode_run(&items, closes.as_ref())), Ok((items, closes)));
    }
    if let Some(place) = Place::decode(bytes) {
        ends.reach("read", 9);
        assert_eq!(place.encode(), bytes);
    }
}

/// The runs of an honest evening, and all that its server and one of its phones keep.
fn seeds() -> Vec<Vec<u8>> {
    let mut evening = Conversation::new();
    let mut seeds = Vec::new();
    for frame in &evening.said {
        let runs = match Frame::decode(frame) {
            Ok(Frame::Push { batch, .. }) => batch.runs,
            Ok(Frame::Piece(piece)) => piece.runs,
            _ => Vec::new(),
        };
        for run in &runs {
            let mut writer = Writer::new();
            run.encode(&mut writer);
            seeds.push([vec![RUN], writer.finish()].concat());
            let mut cursor = Cursor::new(run);
            while let Some(Ok(entry)) = cursor.next(WIJK, SpaceId::Open, &mut |_| Some(Salt([7; 32]))) {
                seeds.push([vec![HEADER], entry.header.encode()].concat());
            }
        }
    }
    let phone = Arc::clone(evening.resident.joined().replica().store());
    for store in [evening.world.server().replica().store(), &phone] {
        for table in [Table::Entry, Table::Subject, Table::Pending, Table::Log] {
            for Row { key, value } in store.scan(table, &[], None, usize::MAX).expect("memory is read") {
                if let Ok(EntryRow { kind, kept, .. }) = EntryRow::decode(&value)
                    && let (Ok(number), Some(body)) = (u16::try_from(kind.0), kept.body())
                {
                    seeds.push([vec![BODY], number.to_be_bytes().to_vec(), body.to_vec()].concat());
                    seeds.push([vec![ROW], key].concat());
                }
                // Lists of the entries about a subject, and numbers of entries in a log, are in the keys.
                if value.len() > size_of::<u64>() {
                    seeds.push([vec![ROW], value].concat());
                }
            }
        }
    }
    seeds.sort();
    seeds.dedup();
    seeds
}
