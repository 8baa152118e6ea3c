//! Promise: whatever a line does, and whoever gives up waiting, the phone stays one that can be written on, and who waits hears.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use samenspraak_core::app::{Command, Reply};
use samenspraak_core::model::{Content, Role};
use samenspraak_core::store::{Batch, Row, Store, StoreError, Table};
use samenspraak_driver::{Connect, Driver, FRAMES_AHEAD, Line, Request, Rhythm, SyncError};
use samenspraak_tests::conversation::{Conversation, words};
use samenspraak_tests::world::Phone;
use tokio::sync::{mpsc, oneshot};

/// A phone that has nothing yet, and what its server says to it, in segments.
fn phone_and_server() -> (Phone, Vec<Vec<u8>>) {
    let mut evening = Conversation::new();
    let phone = evening.world.join(Role::Resident);
    evening.world.packs = true;
    assert_eq!(evening.world.sync(&mut phone.copy()).settled, Some(None));
    (phone, evening.world.said.1.clone())
}

/// A line, and the end of it where its server speaks.
fn spoken_line() -> (Line, mpsc::Sender<Result<Vec<u8>, String>>) {
    let (outgoing, mut queue) = mpsc::unbounded_channel::<Vec<u8>>();
    let sender = tokio::spawn(async move { while queue.recv().await.is_some() {} });
    let (incoming, came) = mpsc::channel(FRAMES_AHEAD);
    let nothing = tokio::spawn(async {}).abort_handle();
    (Line::new("http://127.0.0.1", outgoing, came, sender, nothing), incoming)
}

/// A line over which these frames come; then it stays open, or ends.
fn line(frames: Vec<Vec<u8>>, ends: bool) -> Line {
    let (line, server) = spoken_line();
    tokio::spawn(async move {
        for frame in frames {
            if server.send(Ok(frame)).await.is_err() {
                return;
            }
        }
        if !ends {
            server.closed().await;
        }
    });
    line
}

/// Takes its time to store, so that whoever asks meanwhile finds it at work.
struct Slow {
    below: Arc<dyn Store>,
    commits: Arc<AtomicUsize>,
}

impl Store for Slow {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.below.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.below.scan(table, from, to, limit)
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        std::thread::park_timeout(Duration::from_millis(20));
        self.below.commit(batch)
    }

    fn scrub(&self) -> Result<(), StoreError> {
        self.below.scrub()
    }
}

/// Goes on with it as far as it gets by itself.
async fn is_pending(mut future: Pin<&mut impl Future>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

fn writes(driver: &mut Driver) {
    let said = Content { title: "Toch geschreven".into(), ..words() };
    assert!(matches!(driver.command(Command::Contribute(said)), Ok(Reply::Saved { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_is_given_up_anywhere_leaves_a_phone_that_can_be_written_on() {
    let (phone, said) = phone_and_server();
    let mut gave_up_after_storing = 0;
    for taken in 0..said.len() {
        let commits = Arc::new(AtomicUsize::new(0));
        let slow = Slow { below: phone.copy().store, commits: Arc::clone(&commits) };
        let mut driver = Driver::open(Arc::new(slow)).unwrap();
        let (line, server) = spoken_line();
        {
            let mut watch = |_: &mut _| {};
            let mut sync = pin!(driver.sync_over(line, &mut watch));
            assert!(is_pending(sync.as_mut()).await, "the server speaks first");
            for frame in &said[..taken] {
                server.try_send(Ok(frame.clone())).unwrap();
                // One that waited here for its store would be given up in the middle of it.
                if !is_pending(sync.as_mut()).await {
                    break;
                }
            }
            gave_up_after_storing += usize::from(commits.load(Ordering::SeqCst) > 0);
        }
        writes(&mut driver);
    }
    assert!(gave_up_after_storing >= 3, "{gave_up_after_storing} of {} stored before", said.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_ends_anywhere_leaves_a_phone_that_can_be_written_on() {
    let (phone, said) = phone_and_server();
    let mut broken = 0;
    for frames in 0..said.len() {
        let mut driver = Driver::open(phone.copy().store).unwrap();
        let ended = driver.sync_over(line(said[..frames].to_vec(), true), &mut |_| {}).await;
        broken += usize::from(matches!(ended, Err(SyncError::Broken { .. })));
        writes(&mut driver);
    }
    assert!(broken >= 4, "of {} lines {broken} broke", said.len());
}

/// Connects to a server that says these frames and nothing else.
struct Says(Vec<Vec<u8>>);

impl Connect for Says {
    fn connect(&self, _: String) -> BoxFuture<'static, Result<Line, SyncError>> {
        let frames = self.0.clone();
        Box::pin(async move { Ok(line(frames, false)) })
    }
}

/// What a catch-up of a device that stays came to.
async fn catch_up(server: Says, network: bool) -> Result<(), SyncError> {
    let (phone, _) = phone_and_server();
    let driver = Driver::open(phone.store).unwrap();
    let rhythm = Rhythm { awake: None, rest: Duration::from_secs(60), silence: Duration::from_millis(20) };
    let (requests, queue) = mpsc::channel(4);
    let staying = tokio::spawn(async move { driver.stay(&server, None, rhythm, queue, &|_| {}).await });
    requests.send(Request::Network(network)).await.unwrap();
    let (done, is_done) = oneshot::channel();
    requests.send(Request::CatchUp(done)).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(60), is_done).await.expect("whoever waits hears").unwrap();
    drop(requests);
    staying.await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_a_sync_without_a_network_is_told_so() {
    assert_eq!(catch_up(Says(Vec::new()), false).await, Err(SyncError::NoNetwork));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_is_left_and_who_waits_is_told_so() {
    let (_, said) = phone_and_server();
    for spoken in [Vec::new(), said[..1].to_vec()] {
        let answer = catch_up(Says(spoken), true).await;
        assert!(matches!(&answer, Err(SyncError::Broken { reason, .. }) if reason.contains("silent")), "{answer:?}");
    }
}
