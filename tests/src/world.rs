//! A wijk in memory: a server and phones that exchange frames through queues, driven step by step from a seed.
//!
//! Worlds speak a small vocabulary (`resident`, `contribute`, `sync`, …) and act through the public surface of the core only.
//! Everything random follows from the seed, so a failing test prints it and repeats.

mod phone;
mod seeded;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use samenspraak_core::app::{Command, CommandError, Event, Reply, Timestamp};
use samenspraak_core::entry::sign::Key;
use samenspraak_core::membership::card::{CardLink, CardSecret};
use samenspraak_core::model::{AreaCode, Directory, Role, SpaceId, SubjectId, Theme, WijkId};
use samenspraak_core::store::log::LogHead;
use samenspraak_core::store::{Batch, MemoryStore, Store, StoreError, Table};
use samenspraak_core::sync::segment;
use samenspraak_core::sync::server::{PushJob, Server, ServerEffect, ServerKeys, Session};
use samenspraak_core::sync::wire::{Frame, Piece, RefusalCode};

pub use phone::{Heard, Phone};
pub use seeded::Seeded;

/// The day on which everything in a world happens, as days since 1 January 1970.
pub const DAY: u32 = 20_000;
/// Address of the server on cards; nothing listens there.
pub const ADDRESS: &str = "http://server.example";

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Frames and bytes up.
    pub up: (usize, usize),
    /// Frames and bytes down, the greeting included.
    pub down: (usize, usize),
    /// Times the phone answered something it received: 1 when all went in one flight.
    pub flights_up: usize,
    /// Whether everything was sent, receipted and received, and what the server refused.
    pub settled: Option<Option<RefusalCode>>,
    /// Why the phone ended the connection, if it did.
    pub disconnected: Option<String>,
}

/// See the module.
pub struct World {
    /// Randomness of this world.
    pub random: Seeded,
    /// The wijk.
    pub wijk: WijkId,
    /// The root's phone.
    pub root: Phone,
    server_store: Arc<dyn Store>,
    keys: ServerKeys,
    server: Server,
    /// What was said on the last connection, up and down.
    pub said: (Vec<Vec<u8>>, Vec<Vec<u8>>),
    server_failed: bool,
    /// Whether the server sends its logs packed in segments.
    pub packs: bool,
    /// Heads that phones showed the server, which it had signed and didn't have.
    pub went_back: Vec<(SpaceId, LogHead)>,
    /// What phones said that they look at, and whether they write there.
    pub attended: Vec<(Option<SubjectId>, bool)>,
    /// How many look at anything, and write, as this server says.
    pub present: (u64, u64),
}

/// A directory for tests.
///
/// # Panics
/// Never: the codes are right.
#[must_use]
pub fn directory() -> Directory {
    Directory {
        name: "De Lindehoek".into(),
        municipality: "Waterlo".into(),
        code: AreaCode::parse("WK999901").expect("a CBS code"),
        reference_year: 2025,
        themes: vec![Theme { number: 1, name: "Wonen".into() }],
        buurten: Vec::new(),
        counter: 1,
    }
}

impl World {
    /// A wijk with a root and a server, and nobody else.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self::with_store(seed, Arc::new(MemoryStore::new()))
    }

    /// The same over a store for the server.
    ///
    /// # Panics
    /// When the wijk can't be made: a test must not go on.
    #[must_use]
    pub fn with_store(seed: u64, server_store: Arc<dyn Store>) -> Self {
        let mut random = Seeded::new(seed);
        let keys = ServerKeys {
            identity: Key::from_secret(&random.entropy()),
            epoch_key: Key::from_secret(&random.entropy()),
            epoch: [1; 16],
        };
        let mut root = Phone::open(Arc::new(MemoryStore::new()));
        let server = keys.identity.id();
        let found = Command::Found { directory: directory(), server, address: ADDRESS.into() };
        root.ask(random.entropy(), found).expect("the wijk is made");
        let wijk = root.joined().identity().wijk;
        let server = Server::open(wijk, keys.clone(), Arc::clone(&server_store)).expect("the server's store opens");
        let said = Default::default();
        let mut world = Self {
            random,
            wijk,
            root,
            server_store,
            keys,
            server,
            said,
            server_failed: false,
            went_back: Vec::new(),
            attended: Vec::new(),
            present: (0, 0),
            packs: false,
        };
        world.sync_root();
        world
    }

    fn sync_root(&mut self) {
        let mut root = std::mem::replace(&mut self.root, Phone::open(Arc::new(MemoryStore::new())));
        let synced = self.sync(&mut root);
        assert_eq!(synced.settled, Some(None), "the root syncs: {synced:?}");
        self.root = root;
    }

    /// The same wijk once more over copies of its stores, to go another way from here; phones are copied with
    /// [`Phone::copy`]. Much quicker than joining again, which is slow on purpose.
    ///
    /// # Panics
    /// When a store can't be read.
    #[must_use]
    pub fn copy(&self, seed: u64) -> Self {
        let server_store = copy_of(&*self.server_store);
        let server = Server::open(self.wijk, self.keys.clone(), Arc::clone(&server_store)).expect("it opens");
        let (random, root) = (Seeded::new(seed), self.root.copy());
        let (keys, said) = (self.keys.clone(), Default::default());
        Self {
            random,
            wijk: self.wijk,
            root,
            server_store,
            keys,
            server,
            said,
            server_failed: false,
            packs: self.packs,
            went_back: Vec::new(),
            attended: Vec::new(),
            present: (0, 0),
        }
    }

    /// Kills the server and opens it again from its store.
    ///
    /// # Panics
    /// When its store doesn't open.
    pub fn restart_server(&mut self) {
        self.server = Server::open(self.wijk, self.keys.clone(), Arc::clone(&self.server_store)).expect("it opens");
        self.server_failed = false;
    }

    /// The same, from a store that was opened again.
    pub fn restart_server_with(&mut self, store: Arc<dyn Store>) {
        self.server_store = store;
        self.restart_server();
    }

    /// The server begins a new epoch, as one that was restored does: with a new key, certified by the same identity.
    ///
    /// # Panics
    /// When its store doesn't open.
    pub fn begin_epoch(&mut self) {
        let (epoch_key, random) = (Key::from_secret(&self.random.entropy()), self.random.entropy());
        let epoch = std::array::from_fn(|at| random[at]);
        self.keys = ServerKeys { epoch_key, epoch, ..self.keys.clone() };
        self.restart_server();
        self.server.begin_epoch(DAY, &mut |_, _| {}).expect("the new epoch begins");
    }

    /// The server loses everything but what follows from the root's key: an empty one, of a new epoch.
    ///
    /// # Panics
    /// Never: an empty store opens.
    pub fn lose_server(&mut self) {
        self.server_store = Arc::new(MemoryStore::new());
        self.begin_epoch();
    }

    /// The keys of the server, for a server that lies.
    #[must_use]
    pub fn server_keys(&self) -> &ServerKeys {
        &self.keys
    }

    /// Whether the server's store failed: it answers nobody until it is started again.
    #[must_use]
    pub fn server_failed(&self) -> bool {
        self.server_failed
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The server, to be given pushes directly.
    pub fn server_mut(&mut self) -> &mut Server {
        &mut self.server
    }

    /// A card for a role, known to the server.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn card(&mut self, role: Role) -> CardLink {
        let entropy = self.random.entropy();
        let reply = self.root.ask(entropy, Command::Invite { role, count: 1 }).expect("a card is made");
        self.sync_root();
        match reply {
            Reply::Cards { secrets, .. } => self.link(secrets.into_iter().next().expect("one card")),
            other => panic!("cards, not {other:?}"),
        }
    }

    /// The root does something, and the server knows.
    ///
    /// # Panics
    /// When it can't be done.
    pub fn root_says(&mut self, command: Command) -> Reply {
        let entropy = self.random.entropy();
        let reply = self.root.ask(entropy, command).expect("the root may");
        self.sync_root();
        reply
    }

    /// The link of a card.
    #[must_use]
    pub fn link(&self, secret: CardSecret) -> CardLink {
        CardLink { server: ADDRESS.into(), wijk: self.wijk, secret, device_of: None }
    }

    /// A phone that has joined in a role, offline.
    ///
    /// # Panics
    /// When it can't join.
    pub fn join(&mut self, role: Role) -> Phone {
        let card = self.card(role);
        self.join_with(card, Arc::new(MemoryStore::new()))
    }

    /// A phone that joins with a card over a store of its own, offline.
    ///
    /// # Panics
    /// When it can't join.
    pub fn join_with(&mut self, card: CardLink, store: Arc<dyn Store>) -> Phone {
        let mut phone = Phone::open(store);
        phone.ask(self.random.entropy(), Command::Join { card }).expect("it joins");
        phone
    }

    /// Asks a phone for something.
    ///
    /// # Errors
    /// What its app says.
    pub fn ask(&mut self, phone: &mut Phone, command: Command) -> Result<Reply, CommandError> {
        phone.ask(self.random.entropy(), command)
    }

    /// Connects a phone, lets both sides say everything, and disconnects.
    pub fn sync(&mut self, phone: &mut Phone) -> Synced {
        self.sync_cut(phone, usize::MAX)
    }

    /// The same, looking at the phone whenever it has done all it could with what came.
    pub fn sync_watched(&mut self, phone: &mut Phone, watch: &mut dyn FnMut(&mut Phone)) -> Synced {
        self.sync_with(phone, usize::MAX, watch)
    }

    /// The same, with a connection that breaks after so many frames in all.
    pub fn sync_cut(&mut self, phone: &mut Phone, frames_max: usize) -> Synced {
        self.sync_with(phone, frames_max, &mut |_| {})
    }

    fn sync_with(&mut self, phone: &mut Phone, frames_max: usize, watch: &mut dyn FnMut(&mut Phone)) -> Synced {
        let mut synced = Synced::default();
        let nonce = self.random.entropy();
        let (mut session, hello) = Session::begin(self.wijk, self.server.certificate(), nonce);
        let mut followed: BTreeMap<SpaceId, LogHead> = BTreeMap::new();
        let mut down = VecDeque::from([hello.encode()]);
        let mut frames = 0;
        self.said = Default::default();
        let mut effects = phone.app.handle(Timestamp(0), Event::Connected);
        loop {
            let performed = phone.perform(effects);
            watch(phone);
            synced.settled = performed.settled.or(synced.settled);
            if let Some(reason) = performed.disconnected {
                synced.disconnected = Some(reason);
                break;
            }
            synced.flights_up += usize::from(!performed.frames.is_empty());
            let mut up = performed.frames;
            if frames + up.len() > frames_max {
                up.truncate(frames_max - frames);
                self.server_takes(&mut session, &up, &mut followed, &mut synced);
                break;
            }
            frames += up.len();
            down.extend(self.server_takes(&mut session, &up, &mut followed, &mut synced));
            let Some(frame) = down.pop_front() else { break };
            self.said.1.push(frame.clone());
            frames += 1;
            synced.down = (synced.down.0 + 1, synced.down.1 + frame.len());
            if frames > frames_max {
                break;
            }
            effects = phone.app.handle(Timestamp(0), Event::Frame(frame));
        }
        let effects = phone.app.handle(Timestamp(0), Event::Disconnected);
        phone.perform(effects);
        synced
    }

    fn server_takes(
        &mut self,
        session: &mut Session,
        frames: &[Vec<u8>],
        followed: &mut BTreeMap<SpaceId, LogHead>,
        synced: &mut Synced,
    ) -> Vec<Vec<u8>> {
        let reader = self.server.reader();
        let mut down = Vec::new();
        if self.server_failed {
            return down;
        }
        for frame in frames {
            synced.up = (synced.up.0 + 1, synced.up.1 + frame.len());
            self.said.0.push(frame.clone());
            for effect in session.receive(frame, self.server.members(), &reader) {
                match effect {
                    ServerEffect::Send(frame) => down.push(frame.encode()),
                    ServerEffect::Admit(job) => match self.admit(job) {
                        Some(answer) => down.push(answer.encode()),
                        None => return down,
                    },
                    ServerEffect::Drop(job) => match self.server.take_drop(&job, DAY) {
                        Ok(answer) => down.push(answer.encode()),
                        Err(_) => {
                            self.server_failed = true;
                            return down;
                        }
                    },
                    ServerEffect::Confirm(said) => match self.server.confirm(&[said]) {
                        Ok(answers) => down.extend(answers.iter().map(Frame::encode)),
                        Err(_) => {
                            self.server_failed = true;
                            return down;
                        }
                    },
                    ServerEffect::Follow(space, head) => drop(followed.insert(space, head)),
                    ServerEffect::WentBack(space, head) => self.went_back.push((space, head)),
                    ServerEffect::Attend { subject, writes } => {
                        self.attended.push((subject, writes));
                        let (present, writing) = self.present;
                        if subject.is_some() {
                            down.push(Frame::Attending { subject, present, writing }.encode());
                        }
                    }
                    ServerEffect::Close(_) => down.push(Frame::Bye.encode()),
                }
            }
        }
        for (space, head) in followed.iter_mut() {
            if self.packs {
                while let Some((read, _)) = reader.read_segment(*space, head.next, u64::MAX).expect("the log is read") {
                    *head = read.head;
                    down.push(packed(self.wijk, &read.piece).encode());
                }
            }
            while let Some(read) = reader.read(*space, head.next).expect("the log is read") {
                *head = read.head;
                down.push(Frame::Piece(read.piece).encode());
            }
        }
        // A signed head follows once a subscription was asked for in this flight.
        let subscribed = frames.iter().any(|frame| matches!(Frame::decode(frame), Ok(Frame::Subscribe { .. })));
        let pushed = !down.is_empty();
        if subscribed || pushed {
            for (space, head) in followed.iter() {
                down.push(self.server.current(*space, *head).encode());
            }
        }
        down
    }

    /// `None` when the store fails: whoever waits for an answer gets none.
    fn admit(&mut self, job: PushJob) -> Option<Frame> {
        match self.server.admit(&[job], DAY) {
            Ok((mut answers, _)) => answers.pop(),
            Err(_) => {
                self.server_failed = true;
                None
            }
        }
    }
}

/// A piece as a segment.
///
/// # Panics
/// When it can't be packed: every honest piece can.
#[must_use]
pub fn packed(wijk: WijkId, piece: &Piece) -> Frame {
    let plain = segment::pack(wijk, piece).expect("an honest piece is packed");
    let packed = compress_to_vec(plain.as_slice(), CompressionLevel::Fastest);
    Frame::Segment { space: piece.space, epoch: piece.epoch, from: piece.from, packed }
}

/// A store in memory with the same rows as another.
///
/// # Panics
/// When the other can't be read.
#[must_use]
pub fn copy_of(store: &dyn Store) -> Arc<dyn Store> {
    let (copy, mut batch) = (MemoryStore::new(), Batch::new());
    for table in Table::ALL {
        for row in store.scan(table, &[], None, usize::MAX).expect("the store is read") {
            batch.put(table, row.key, row.value);
        }
    }
    copy.commit(&batch).expect("memory takes what another store took");
    Arc::new(copy)
}

/// Reads every row of a store, for tests that compare stores.
///
/// # Errors
/// When it can't be read.
pub fn rows(store: &dyn Store, table: Table) -> Result<usize, StoreError> {
    Ok(store.scan(table, &[], None, usize::MAX)?.len())
}
