//! A server that is asked to stop while phones push: every receipt that it sent is true, and it starts again without work.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::server_kills::{Told, keep_writing};
use crate::support::{Seeded, Wijk, arg, pause, run, runtime};

const STOPS: usize = 10;
/// From the signal to the end of the process.
const STOP_MAX: Duration = Duration::from_secs(8);

#[test]
fn a_server_that_is_asked_to_stop_while_phones_push_keeps_its_word_and_ends_soon() {
    let (wijk, mut random, runtime) = (Wijk::new(), Seeded(6), runtime());
    let told = Arc::new(Told::default());
    let cards = wijk.cards("resident", 4);
    let phones: Vec<_> = cards
        .iter()
        .enumerate()
        .map(|(at, card)| runtime.spawn(keep_writing(wijk.join(card), wijk.address(), at, Arc::clone(&told))))
        .collect();
    let mut slowest = Duration::ZERO;
    for stop in 0..STOPS {
        let server = wijk.serve();
        assert!(!server.log().contains("rebuilt the index"), "seed 6, stop {stop}: {}", server.log());
        pause(random.time(Duration::from_millis(250)));
        let (status, time) = server.stop();
        assert!(status.success(), "seed 6, stop {stop}: {status}");
        assert!(time < STOP_MAX, "seed 6, stop {stop}: {time:?}");
        slowest = slowest.max(time);
        assert!(!wijk.folder().join("serve.json").exists());
        let arrived = told.arrived.lock().unwrap().clone();
        wijk.assert_holds(&arrived, &format!("seed 6, stop {stop}"));
    }
    let server = wijk.serve();
    told.done.store(true, Ordering::SeqCst);
    let written: usize = phones.into_iter().map(|phone| runtime.block_on(phone).unwrap()).sum();
    assert!(server.stop().0.success());
    let arrived = told.arrived.lock().unwrap().clone();
    assert_eq!(arrived.len(), written);
    wijk.assert_holds(&arrived, "seed 6, at the end");
    run(&["verify", arg(&wijk.folder())]).ok();
    println!(
        "{STOPS} stops while 4 phones pushed {written} entries: the slowest took {slowest:?}, no index was rebuilt"
    );
}
