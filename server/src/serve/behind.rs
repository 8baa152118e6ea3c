//! What a server does behind its first answers: it waits until everything can be used, says so on the terminal, and lets the
//! root's device bring what it wrote while no server ran.
//!
//! One after the other, so that phones that waited for the start have the machine. What fails here stops the server, as it would
//! have kept it from starting. Must never leave a store open that it opened.

use std::sync::Arc;
use std::time::Duration;

use samenspraak_core::membership::card::CardLink;
use tokio::sync::{mpsc, watch};

use super::Shared;
use crate::error::ProgramError;
use crate::folder::Folder;
use crate::wijk::{self, Brought};

/// How long after it could not be brought what the root's device wrote it is tried again; then twice as long, and so on. A command
/// that makes cards has the root's store for a second.
const AGAIN: Duration = Duration::from_secs(1);
/// And how many times: some two minutes in all. Then it is left to the next start.
const TRIES: u32 = 8;

/// See the module.
pub(super) struct Behind {
    pub(super) folder: Folder,
    pub(super) shared: Arc<Shared>,
    /// Where programs on this machine connect.
    pub(super) local: String,
    /// Where the board's page is for those who are given the link.
    pub(super) page: String,
    /// Whether a card is to be shown.
    pub(super) show_card: bool,
    /// One that was shown before and can be used still.
    pub(super) shown_card: Option<CardLink>,
    pub(super) failed: mpsc::UnboundedSender<ProgramError>,
}

impl Behind {
    /// Does all of it, or ends early when the server stops.
    pub(super) async fn run(self) {
        let mut stopping = self.shared.stopping.clone();
        let everything = async {
            self.shared.opening.writing().await;
            self.shared.board.opened().await;
        };
        tokio::select! {
            () = everything => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
        self.say_page();
        let with_card = self.show_card && self.shown_card.is_none();
        match self.bring(with_card, &mut stopping).await {
            Ok(fresh) => {
                tracing::info!("nothing is opened any more: the root's device has brought what it wrote");
                self.say_card(fresh);
            }
            // Whatever breaks off because the server stops is done by the next one.
            Err(error) if *stopping.borrow() => tracing::info!(error = error.line(), "broken off"),
            // The server is there until it has heard of this.
            Err(error) => drop(self.failed.send(error)),
        }
    }

    fn say_page(&self) {
        let (page, local) = (&self.page, &self.local);
        if self.shared.board.is_waiting() {
            say!(
                "samenspraak: the board page is closed while phones refill this server, until `samenspraak wijk refilled`"
            );
        } else if let Some(link) = self.shared.board.one_time_link(page) {
            let minutes = crate::board::LINK_LIFE.as_secs() / 60;
            say!("samenspraak: board page {link} (works once, for {minutes} minutes; on this machine {local}/bestuur)");
        }
    }

    /// Lets the root's device bring what it has, and make a card.
    async fn bring(
        &self,
        with_card: bool,
        stopping: &mut watch::Receiver<bool>,
    ) -> Result<Option<CardLink>, ProgramError> {
        let mut card = None;
        for again in 0..TRIES {
            match wijk::deliver_beside(&self.folder, &self.local, with_card, &mut card).await? {
                Brought::Done => {
                    card.as_ref().map_or(Ok(()), |card| self.folder.set_shown_card(&card.secret.letters()))?;
                    return Ok(card);
                }
                Brought::Later => tokio::select! {
                    () = tokio::time::sleep(AGAIN * 2_u32.pow(again)) => {}
                    _ = stopping.wait_for(|stop| *stop) => return Ok(None),
                },
            }
        }
        tracing::warn!("what the root's device wrote could not be brought; the next start does it");
        Ok(None)
    }

    fn say_card(self, fresh: Option<CardLink>) {
        if let Some(card) = fresh.or(self.shown_card) {
            say!("samenspraak: join with this card; the next start shows another one when it is used");
            crate::cli::print_card(&wijk::shown_as(card, &self.local));
        }
    }
}
