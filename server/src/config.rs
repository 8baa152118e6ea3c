//! The server's configuration: file, environment and flags, in that order of weight, over defaults.
//!
//! One table of names ([`KEYS`]) stands behind all three: `tls.key` is `key` under `[tls]` in the file, the variable
//! `SAMENSPRAAK_TLS_KEY`, and `--set tls.key=…`. Everything that is wrong is said at once, each with where it came from,
//! and nothing is served then. Must never hold a secret: a key is a file that is named here. Not here: what a limit is for
//! (`serve::limits`), what a certificate must be (`serve::tls`). `server/docs/samenspraak.toml` explains every name.

mod layers;
mod read;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use crate::error::ProgramError;
use crate::serve::limits::{self, Limits};
pub use layers::{Flags, KEYS, variable};
pub(crate) use read::Reading;

/// Where the server listens: on the machine itself, so that a new administrator opens nothing to the world unknowingly.
pub const LISTEN: &str = "127.0.0.1:7447";
/// How long sealed input is held before it is appended, unless enough came together earlier: so that who was connected at a
/// moment says little about who wrote what. Long enough for others to come by in a busy hour, short beside the weeks an answer
/// takes.
pub const HOLD: Duration = Duration::from_secs(10 * 60);
/// Sealed input waits no longer than this, whatever is asked for: a day is the step in which days of receipt are told.
const HOLD_SECONDS_MAX: u64 = 24 * 60 * 60;
/// What is logged: warnings of the libraries, and what the server does.
pub const LOG: &str = "warn,samenspraak_server=info";
/// The configuration file in a data folder, used when none is named.
pub const FILE: &str = "samenspraak.toml";

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line of text each.
    Text,
    /// One JSON object each.
    Json,
}

impl std::str::FromStr for LogForm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A filter of `tracing-subscriber`, like `warn,samenspraak_server=debug`.
    pub filter: String,
    /// How lines look.
    pub form: LogForm,
}

/// The files of TLS, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and behind it those that lead to an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Everything an administrator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where phones connect.
    pub listen: SocketAddr,
    /// Address at which phones reach the server, if it isn't the one in `wijk.json`; stands on cards.
    pub public_address: Option<String>,
    /// How long sealed input is held.
    pub hold: Duration,
    /// What is logged.
    pub log: LogSettings,
    /// TLS, if the server does it itself.
    pub tls: Option<TlsFiles>,
    /// Where `/metrics` is answered beside the loopback, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Proxies whose word about addresses is taken.
    pub proxies: Vec<IpNet>,
    /// Limits and quotas.
    pub limits: Limits,
}

impl Settings {
    /// Reads the configuration of a wijk's folder: the file that is named by flag or variable, else `samenspraak.toml` in the
    /// folder if it is there.
    ///
    /// # Errors
    /// [`ProgramError::Config`] with everything that is wrong.
    pub fn load(folder: &Path, flags: &Flags) -> Result<Self, ProgramError> {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from_layers(folder, variables.collect(), flags)
    }

    fn from_layers(folder: &Path, variables: Vec<(String, String)>, flags: &Flags) -> Result<Self, ProgramError> {
        let layered = layers::merge(folder, variables, flags).map_err(|problems| ProgramError::Config { problems })?;
        let mut read = Reading::new(layered);
        let settings = Self::read(&mut read);
        let problems = read.finish();
        if problems.is_empty() { Ok(settings) } else { Err(ProgramError::Config { problems }) }
    }

    fn read(read: &mut Reading) -> Self {
        let (certificate, key) = (read.optional("tls.certificate", "a file"), read.optional("tls.key", "a file"));
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => read.problem("tls.certificate", "needs tls.key as well"),
            (None, Some(_)) => read.problem("tls.key", "needs tls.certificate as well"),
        };
        Self {
            listen: read.address("listen").unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7447))),
            public_address: read.checked("public_address", "an address like https://wijk.example", |text| {
                crate::client::sync_address(text).is_ok().then(|| text.trim_end_matches('/').to_owned())
            }),
            hold: Duration::from_secs(read.number("hold_seconds", 0..=HOLD_SECONDS_MAX, HOLD.as_secs())),
            log: log_settings(read),
            tls,
            metrics_listen: read.address("metrics.listen"),
            proxies: read.list("proxy.trusted", "addresses or networks like 10.0.0.0/8", |text| {
                text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
            }),
            limits: limits::read(read),
        }
    }
}

impl LogSettings {
    /// What the environment says, for commands that have no configuration.
    ///
    /// # Errors
    /// [`ProgramError::Config`] when a variable has another form.
    pub fn from_environment() -> Result<Self, ProgramError> {
        let values = ["log", "log_format"].map(|key| (variable(key), std::env::var(variable(key)).ok()));
        let given = values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let layered = layers::only_variables(given).map_err(|problems| ProgramError::Config { problems })?;
        let mut read = Reading::new(layered);
        let settings = log_settings(&mut read);
        let problems = read.finish();
        if problems.is_empty() { Ok(settings) } else { Err(ProgramError::Config { problems }) }
    }
}

fn log_settings(read: &mut Reading) -> LogSettings {
    let filter = read.checked("log", "a filter like warn,samenspraak_server=debug", |text| {
        EnvFilter::try_new(text).is_ok().then(|| text.to_owned())
    });
    let form = read.checked("log_format", "auto, text or json", |text| text.parse().ok());
    LogSettings { filter: filter.unwrap_or_else(|| LOG.to_owned()), form: form.unwrap_or(LogForm::Auto) }
}

#[cfg(test)]
mod tests;
