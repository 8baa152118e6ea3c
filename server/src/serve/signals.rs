//! What the system tells the server (stop, read the certificate again) and what the server tells it (ready, alive, stopping).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use super::Shared;
use super::tls::{LOOK_EVERY, Tls};
use super::writer::HANGS_AFTER;

/// Exit code of a server that was told twice to stop, as shells have it for an interrupt.
const AT_ONCE: i32 = 130;

/// Signals to stop. Listened for from the moment it is made: before that TERM would end the process at once.
pub struct Stop {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the system has no signals for this process.
    pub fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits until it is asked to stop.
    pub async fn asked(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        // When it can't be listened for, nobody can ask.
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }

    /// From now on a second signal ends the process at once. That is a crash as far as the store is concerned, and as safe: what
    /// was acknowledged is in the journal.
    pub fn end_at_once_when_asked_again(mut self) {
        tokio::spawn(async move {
            self.asked().await;
            tracing::warn!("asked to stop a second time: ending at once");
            std::process::exit(AT_ONCE);
        });
    }
}

/// Reads the certificate again when it changed, and when the process is told.
pub(super) async fn reload(tls: Option<Arc<Tls>>) {
    #[cfg(unix)]
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    #[cfg(unix)]
    let Ok(mut hangup) = hangup else { return tracing::error!("HUP can't be listened for") };
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        #[cfg(unix)]
        let told = tokio::select! {
            _ = hangup.recv() => true,
            _ = look.tick() => false,
        };
        #[cfg(not(unix))]
        let told = {
            look.tick().await;
            false
        };
        match &tls {
            Some(tls) if told => tokio::task::block_in_place(|| tls.reload()),
            Some(tls) => tokio::task::block_in_place(|| tls.reload_if_changed()),
            None if told => tracing::info!("told to read the certificate again, and there is none"),
            None => {}
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(state);
}

/// Tells that phones can connect.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells that the server stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells that the server is alive, as often as was asked for and only while the writer is: one that hangs is restarted.
pub(super) async fn watchdog(shared: Arc<Shared>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((limit / 2).max(Duration::from_millis(100)));
    let writer = &shared.opening.wait().await.writer;
    loop {
        tick.tick().await;
        match writer.trouble(HANGS_AFTER) {
            None => tell(&[NotifyState::Watchdog]),
            Some(why) => tracing::error!(why, "not alive"),
        }
    }
}
