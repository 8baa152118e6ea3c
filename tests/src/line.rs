//! A connection to the server of a world that a test speaks on itself, frame by frame.

use samenspraak_core::sync::prove_message;
use samenspraak_core::sync::server::{ServerEffect, Session};
use samenspraak_core::sync::wire::Frame;

use crate::world::{Phone, World};

/// See the module.
pub struct Line {
    session: Session,
}

impl Line {
    /// A line on which a phone's device has proved itself.
    ///
    /// # Panics
    /// When that has an effect, or the phone hasn't joined.
    #[must_use]
    pub fn prove(world: &World, phone: &mut Phone) -> Self {
        let nonce = [9; 32];
        let certificate = world.server().certificate();
        let (session, _) = Session::begin(world.wijk, certificate.clone(), nonce);
        let mut line = Self { session };
        let key = phone.joined().identity().key();
        let signature = key.sign(&prove_message(world.wijk, certificate.epoch_key, &nonce));
        assert!(line.say(world, &Frame::Prove { device: key.id(), signature }).is_empty());
        line
    }

    /// Says a frame; what the server does then.
    pub fn say(&mut self, world: &World, frame: &Frame) -> Vec<ServerEffect> {
        self.session.receive(&frame.encode(), world.server().members(), &world.server().reader())
    }
}
