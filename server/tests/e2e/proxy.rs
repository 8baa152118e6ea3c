//! A wire between a phone and its server that counts every byte, and can hold answers back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::support::{PATIENCE, until};

/// Kinds of WebSocket frames.
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;

/// One WebSocket frame on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnWire {
    pub kind: u8,
    /// With its header.
    pub bytes: usize,
}

/// Everything that went in one direction: the HTTP head, and frames behind it.
#[derive(Clone, Default)]
struct Stream(Arc<Mutex<Vec<u8>>>);

impl Stream {
    fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend(bytes);
    }

    /// Bytes of the HTTP head, and the frames that are complete.
    fn read(&self) -> (usize, Vec<OnWire>) {
        let bytes = self.0.lock().unwrap();
        let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return (0, Vec::new()) };
        let (head, mut at, mut frames) = (head + 4, head + 4, Vec::new());
        while let Some(frame) = frame(&bytes[at..]) {
            at += frame.bytes;
            frames.push(frame);
        }
        (head, frames)
    }
}

/// The frame at the beginning of these bytes, if it is complete.
fn frame(bytes: &[u8]) -> Option<OnWire> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (header, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap()),
        short => (2, usize::from(short)),
    };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    let whole = header + mask + length;
    (bytes.len() >= whole).then_some(OnWire { kind: first & 0x0f, bytes: whole })
}

/// See the module. Serves one connection.
pub struct Proxy {
    pub address: String,
    up: Stream,
    down: Stream,
    threads: JoinHandle<()>,
}

impl Proxy {
    /// Holds back what the server says after its first frame until the phone has sent `frames` frames.
    pub fn holding_until(server_port: u16, frames: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (up, down) = (Stream::default(), Stream::default());
        let (up_seen, down_seen) = (up.clone(), down.clone());
        let threads = std::thread::spawn(move || {
            let phone = listener.accept().unwrap().0;
            let server = TcpStream::connect(("127.0.0.1", server_port)).unwrap();
            for socket in [&phone, &server] {
                socket.set_nodelay(true).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
            }
            let ends = (phone.try_clone().unwrap(), server.try_clone().unwrap());
            let upward = std::thread::spawn({
                let up = up_seen.clone();
                move || carry(ends.0, ends.1, |bytes| up.add(bytes))
            });
            let mut passed = 0;
            carry(server, phone, |bytes| {
                down_seen.add(bytes);
                passed += bytes.len();
                let (head, came) = down_seen.read();
                let greeting = head + came.first().map_or(0, |hello| hello.bytes);
                if passed > greeting && !came.is_empty() {
                    until("the phone says everything at once", || (up_seen.read().1.len() >= frames).then_some(()));
                }
            });
            upward.join().unwrap();
        });
        Self { address, up, down, threads }
    }

    /// What went up and down, once both sides have closed.
    pub fn finish(self) -> (Vec<OnWire>, Vec<OnWire>) {
        self.threads.join().unwrap();
        for stream in [&self.up, &self.down] {
            let (head, frames) = stream.read();
            let counted = head + frames.iter().map(|frame| frame.bytes).sum::<usize>();
            assert_eq!(counted, stream.0.lock().unwrap().len(), "every byte belongs to a frame");
        }
        (self.up.read().1, self.down.read().1)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, mut each: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        each(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The other side may have closed already.
    let _ = to.shutdown(Shutdown::Write);
}
