//! Bodies about who belongs and about closed spaces, what is inside sealed ones, derived keys, and what is signed there.

use samenspraak_core::entry::codec::{
    Record, circle_id, decode, decode_answer, decode_words, dropped_subject, encode, encode_answer, encode_words,
    enrolment_message, generation_id, opening as read_opening,
};
use samenspraak_core::entry::{Kind, Signature};
use samenspraak_core::membership::card::CardSecret;
use samenspraak_core::membership::circle::CircleLink;
use samenspraak_core::model::*;
use samenspraak_core::sync::dropped_message;
use samenspraak_core::sync::wire::{Frame, RefusalCode};

use super::file::check;
use super::fixed::*;

const CIRCLE: SpaceId = SpaceId::Circle([0x0c; 16]);
const GENERATION: GenerationId = GenerationId::new([0x9e; 16]);

fn end(entries: u64) -> ChainEnd {
    let last = if entries == 0 { EntryId::ZERO } else { ENTRY };
    ChainEnd { space: SpaceId::Open, device: device(), entries, last }
}

fn revocation(target: RevocationTarget, reason: RevocationReason) -> Record {
    Record::Revocation(Revocation { target, reason, seen: vec![end(0), end(12)] })
}

fn enrolment(way: Way) -> Record {
    let signature = key().sign(&enrolment_message(WIJK, CIRCLE, DeviceId::new([0x5c; 32]), &[0x66; 32])).0;
    Record::Enrolment(Enrolment { device: device(), encryption_key: [0x66; 32], signature, way })
}

fn ruling(answers: Option<SubjectId>, replaces: Option<EntryId>) -> Record {
    Record::Ruling(Ruling {
        about: SUBJECT,
        measure: Measure::Hide,
        ground: "huisregel 2".into(),
        reason: "Er staat een adres in.".into(),
        answers,
        counter: 2,
        replaces,
    })
}

fn records() -> Vec<(&'static str, Kind, Record)> {
    let card = InvitationKey::new([0x1e; 32]);
    let batch = BatchId::new([0xba; 8]);
    let invitation = |gives| Record::Invitation(Invitation { key: card, gives, batch: Some(batch) });
    let party = Grant { person: PERSON, role: Role::Party, organisation: Some(SUBJECT) };
    let epoch = EpochKey { identity: device(), epoch: EPOCH, certificate: [0x3f; 64], encryption_key: [0x66; 32] };
    let settled = |device| Record::Settlement(Settlement::Card { card, device });
    let fork = Settlement::Fork { space: SpaceId::Open, device: device(), seq: 7, id: ENTRY };
    let sealed = || Record::Sealed(Sealed { generation: GENERATION, bytes: vec![0x5d; 40] });
    let generation = Generation { space: CIRCLE, public: [0x70; 32], replaces: vec![GENERATION] };
    let tally = Tally { question: SUBJECT, counts: vec![(Choice::Agree, 12), (Choice::Pass, 10)] };
    vec![
        ("card of a batch", Kind::INVITATION, invitation(Gives::Role(Role::Resident))),
        ("card for a device", Kind::INVITATION, invitation(Gives::Device(PERSON))),
        ("grant to a party", Kind::GRANT, Record::Grant(party)),
        ("device revoked", Kind::REVOCATION, revocation(RevocationTarget::Device(device()), RevocationReason::Lost)),
        ("person revoked", Kind::REVOCATION, revocation(RevocationTarget::Person(PERSON), RevocationReason::Left)),
        ("grant revoked", Kind::REVOCATION, revocation(RevocationTarget::Grant(ENTRY), RevocationReason::Abuse)),
        ("cut", Kind::CUT, Record::Cut(Cut { end: end(12), revocation: ENTRY })),
        ("epoch", Kind::EPOCH, Record::Epoch(epoch)),
        ("card settled", Kind::SETTLEMENT, settled(Some(device()))),
        ("card settled for nobody", Kind::SETTLEMENT, settled(None)),
        ("fork settled", Kind::SETTLEMENT, Record::Settlement(fork)),
        ("withdrawal", Kind::WITHDRAWAL, Record::Withdrawal(Withdrawal { batch })),
        ("organisation", Kind::ORGANISATION, Record::Organisation(Organisation { name: "Woonstichting Zuid".into() })),
        ("enrolment by right", Kind::ENROLMENT, enrolment(Way::Right)),
        ("enrolment that founds", Kind::ENROLMENT, enrolment(Way::Founds([0x0f; 16]))),
        ("enrolment with a card", Kind::ENROLMENT, enrolment(Way::Card { card, proof: [0x3f; 64] })),
        ("generation", Kind::GENERATION, Record::Generation(generation)),
        ("wrap", Kind::WRAP, Record::Wrap(Wrap { generation: GENERATION, to: device(), sealed: vec![0x5d; 80] })),
        ("card of a circle", Kind::CIRCLE_CARD, Record::CircleCard(card)),
        ("sealed", Kind::SEALED, sealed()),
        ("dropped", Kind::DROPPED, sealed()),
        ("answer", Kind::ANSWER, Record::Answer(SealedAnswer { to: ReplyId::new([0x2e; 16]), bytes: vec![0x5d; 40] })),
        ("ballot", Kind::BALLOT, Record::Voice(voice(None))),
        ("count", Kind::COUNT, Record::Count(SUBJECT)),
        ("tally", Kind::TALLY, Record::Tally(tally)),
        ("ruling", Kind::RULING, ruling(None, None)),
        ("ruling that replaces", Kind::RULING, ruling(Some(SUBJECT), Some(ENTRY))),
    ]
}

#[test]
fn bodies_about_who_belongs_and_of_closed_spaces_keep_their_bytes_and_are_read_back() {
    let records = records();
    let bodies: Vec<_> = records.iter().map(|(name, _, record)| (*name, encode(Some(&opening()), record))).collect();
    let known = check("trust.hex", &bodies);
    for (name, kind, record) in records {
        assert_eq!(decode(kind, &known[name]), Ok(Some(record)), "{name}");
        assert_eq!(read_opening(&known[name]), Ok(Some(opening())), "{name}");
    }
}

#[test]
fn words_inside_sealed_bodies_keep_their_bytes_and_are_read_back() {
    let content =
        Content { title: "Thuis".into(), text: "Er is schimmel.".into(), theme: 1, buurt: "BU9999AA01".into() };
    let reply = Some([0x66; 32]);
    let words = [
        ("story", SealedWords::Story { content: content.clone(), reply }),
        ("story without a receipt", SealedWords::Story { content, reply: None }),
        ("notice", SealedWords::Notice { about: SUBJECT, text: "Dit is een dreigement.".into(), reply }),
        ("appeal", SealedWords::Appeal { ruling: ENTRY, text: "Het adres is van de speeltuin.".into(), reply }),
        ("note", SealedWords::Note { text: "Bellen met de huisarts.".into() }),
        ("person's secret", SealedWords::PersonSecret([0x99; 32])),
    ];
    let answer = AnswerWords { answer: "Er komt iemand kijken.".into() };
    let mut values: Vec<_> = words.iter().map(|(name, words)| (*name, encode_words(words))).collect();
    values.push(("answer", encode_answer(&answer)));
    let known = check("words.hex", &values);
    for (name, words) in words {
        assert_eq!(decode_words(&known[name]), Ok(words), "{name}");
    }
    assert_eq!(decode_answer(&known["answer"]), Ok(answer));
}

#[test]
fn keys_and_ids_of_closed_spaces_and_what_is_signed_there_keep_their_bytes() {
    let own = SpaceId::Own(PERSON);
    let founded = circle_id(WIJK, device(), &[0x0f; 16]);
    let secret = CardSecret::parse("0123-4567-89AB-CDEF").unwrap();
    let link = CircleLink { wijk: WIJK, circle: CIRCLE, secret };
    let in_space = |space| key().in_space(WIJK, space).id().as_bytes().to_vec();
    let dropped = encode(Some(&opening()), &Record::Sealed(Sealed { generation: GENERATION, bytes: vec![0x5d; 40] }));
    let dropped_id = dropped_subject(WIJK, SpaceId::Inbox, &dropped).unwrap();
    let message = dropped_message(WIJK, &EPOCH, &[0x4e; 32], 20_000);
    let frames = [
        ("frame drop", Frame::Drop { drop: 3, envelope: vec![0x5d; 40] }),
        (
            "frame dropped",
            Frame::Dropped { drop: 3, digest: [0x4e; 32], day: 20_000, signature: Signature(key().sign(&message).0) },
        ),
        ("frame drop refused", Frame::DropRefused { drop: 3, code: RefusalCode::Revoked }),
    ];
    let mut values = vec![
        ("key in open", in_space(SpaceId::Open)),
        ("key in the board", in_space(SpaceId::Board)),
        ("key in the inbox", in_space(SpaceId::Inbox)),
        ("key in a circle", in_space(CIRCLE)),
        ("key in an own space", in_space(own)),
        ("encryption key", key().seal_secret().public().as_bytes().to_vec()),
        ("what enrols", enrolment_message(WIJK, CIRCLE, device(), &[0x66; 32]).to_vec()),
        ("circle", founded.to_bytes()),
        ("generation", generation_id(&[0x70; 32]).as_bytes().to_vec()),
        ("subject of a drop", dropped_id.as_bytes().to_vec()),
        ("key of a circle's card", link.key().id().as_bytes().to_vec()),
        ("text of a circle's card", link.to_string().into_bytes()),
        ("what says that a drop is flushed", message.to_vec()),
    ];
    values.extend(frames.iter().map(|(name, frame)| (*name, frame.encode())));
    let known = check("closed.hex", &values);
    for (name, frame) in frames {
        assert_eq!(Frame::decode(&known[name]), Ok(frame), "{name}");
    }
    let text = String::from_utf8(known["text of a circle's card"].clone()).unwrap();
    assert_eq!(CircleLink::parse(&text), Ok(link));
}
