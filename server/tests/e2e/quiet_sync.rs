//! Nothing changed: what it costs a phone to find that out in a wijk with a thousand contributions.

use crate::proxy::{BINARY, CLOSE, OnWire, Proxy};
use crate::support::{Wijk, runtime, until, write};

const DOCUMENTS: usize = 1000;
const WRITERS: usize = 10;
/// With frame headers, both directions, from the end of the HTTP upgrade to the end of the connection.
const BYTES_MAX: usize = 1000;

#[test]
fn a_phone_that_is_up_to_date_learns_so_in_one_flight_each_way_and_no_document_is_opened() {
    let (wijk, runtime) = (Wijk::new(), runtime());
    let server = wijk.serve();
    for card in wijk.cards("resident", WRITERS) {
        let mut phone = wijk.join(&card);
        for number in 0..DOCUMENTS / WRITERS {
            write(&mut phone, &format!("Nummer {number}"), "Bij het plein is het 's avonds te donker om te lopen.");
        }
        runtime.block_on(phone.sync_once(&wijk.address())).unwrap();
    }
    let mut phone = wijk.join(&wijk.cards("resident", 1)[0]);
    let whole = runtime.block_on(phone.sync_once(&wijk.address())).unwrap();
    let joined = phone.app().joined().unwrap();
    assert_eq!(joined.view().contributions().count(), DOCUMENTS);

    // Prove, and a subscription for each of two spaces: the server's answers wait until all three are on the wire.
    let proxy = Proxy::holding_until(wijk.port, 3);
    let moved = runtime.block_on(phone.sync_once(&proxy.address)).unwrap();
    let (up, down) = proxy.finish();
    // Frames that close the connection count as bytes, but whoever closes first needs no answer.
    let data = |frames: &[OnWire]| frames.iter().map(|f| f.kind).filter(|kind| *kind != CLOSE).collect::<Vec<_>>();
    assert_eq!(data(&up), [BINARY; 3], "one flight up, and nothing after the answers");
    assert_eq!(data(&down), [BINARY; 3], "a greeting, two signed heads, and nothing else");
    assert_eq!((moved.frames_up, moved.frames_down), (3, 3));
    let bytes = up.iter().chain(&down).map(|frame| frame.bytes).sum::<usize>();
    println!(
        "{DOCUMENTS} documents: the first sync took {} bytes down; nothing changed: {} frames of {} bytes up, {} of {} down, \
         {bytes} in all with headers",
        whole.bytes_down,
        up.len(),
        up.iter().map(|frame| frame.bytes).sum::<usize>(),
        down.len(),
        down.iter().map(|frame| frame.bytes).sum::<usize>(),
    );
    assert!(bytes < BYTES_MAX, "{bytes} bytes: {up:?} {down:?}");

    assert_eq!(server.counter("documents_opened"), 0, "at the server, after a thousand documents went through it");
    let joined = phone.app_mut().joined_mut().unwrap();
    assert_eq!(joined.documents_opened(), 0, "on the phone");
    let subject = joined.view().contributions().next().unwrap().0;
    assert!(joined.line(subject).unwrap().is_some());
    assert_eq!(joined.documents_opened(), 1, "a person looked at one");
    a_page_of_the_board_opens_one(&server);
}

/// The board's page, once there is one.
fn a_page_of_the_board_opens_one(server: &crate::support::Serve) {
    if server.get("/bestuur", "").0 == 404 {
        println!("there is no page of the board yet: documents it opens are not counted here");
        return;
    }
    until("a page of the board shows contributions", || {
        let (code, page) = server.get("/bestuur", "");
        assert_eq!(code, 200, "{page}");
        (server.counter("documents_opened") > 0).then_some(())
    });
}
