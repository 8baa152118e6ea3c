//! The command line.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use samenspraak_core::membership::card::CardLink;
use samenspraak_core::model::{AreaCode, Buurt, Directory, Role, Theme};

use crate::config::{Flags, LogForm, LogSettings, Settings};
use crate::epoch::{self, Why};
use crate::error::ProgramError;
use crate::folder::Folder;
use crate::phone::PhoneArgs;
use crate::phone::people::PeopleAction;
use crate::recover::{self, Recovery};
use crate::replay::ReplayArgs;
use crate::wijk::Delivered;
use crate::{backup, demo, heal, messages, phone, replay, say, serve, size, verify, wijk};

/// Below the flags of `serve --help`.
const SERVE_HELP: &str = "\
Configuration: a TOML file, then variables, then flags; the later weighs more. The file is the one of --config or \
SAMENSPRAAK_CONFIG, else samenspraak.toml in the data folder. `key` under [tls] is SAMENSPRAAK_TLS_KEY and --set tls.key=FILE. \
All names, with what they mean: server/docs/samenspraak.toml.

Addresses: /sync for phones, /bestuur for the board; /healthz says that the process is alive, /readyz whether it can serve \
(503 and the reason if not); /metrics has numbers for Prometheus, on this machine or at metrics.listen alone.

Signals: TERM or INT ends it when what was admitted is flushed and answered, a second one at once; HUP reads the \
certificate again.";

/// How a wijk is served.
#[derive(Debug, clap::Args)]
struct ServeArgs {
    /// Data folder of the wijk.
    folder: PathBuf,
    /// Configuration file [variable: SAMENSPRAAK_CONFIG; otherwise samenspraak.toml in the folder].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on [setting: listen; otherwise 127.0.0.1:7447].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Address at which phones reach this server, for cards [setting: public_address].
    #[arg(long, value_name = "URL")]
    public_address: Option<String>,
    /// Print a resident's card to join with; the same one until somebody used it.
    #[arg(long)]
    show_card: bool,
    /// Seconds that sealed input is held, to be appended together with that of others [setting: hold_seconds].
    #[arg(long, value_name = "SECONDS")]
    hold_seconds: Option<String>,
    /// Any setting of the configuration, like tls.key=/etc/key.pem; may be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
}

impl ServeArgs {
    fn flags(&self) -> Result<Flags, ProgramError> {
        let mut flags = Flags { file: self.config.clone(), values: Vec::new() };
        for given in &self.settings {
            let (name, value) = given.split_once('=').ok_or_else(|| {
                ProgramError::Argument(format!("--set {given}: write the name of a setting, = and its value"))
            })?;
            flags.values.push((name.trim().to_owned(), value.to_owned(), "--set"));
        }
        let own = [
            ("listen", &self.listen, "--listen"),
            ("public_address", &self.public_address, "--public-address"),
            ("hold_seconds", &self.hold_seconds, "--hold-seconds"),
        ];
        for (name, value, flag) in own {
            flags.values.extend(value.clone().map(|value| (name.to_owned(), value, flag)));
        }
        Ok(flags)
    }
}

/// Samenspraak: residents take part in the policy of their wijk, with or without a network.
#[derive(Debug, Parser)]
#[command(name = "samenspraak", version)]
struct Cli {
    #[command(subcommand)]
    command: Top,
}

#[derive(Debug, Subcommand)]
enum Top {
    /// Serve a wijk to its phones.
    #[command(after_long_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Make a wijk.
    Wijk {
        #[command(subcommand)]
        action: WijkAction,
    },
    /// Make cards for people to join with.
    Invite {
        /// Data folder of the wijk.
        folder: PathBuf,
        /// Role of whoever joins.
        #[arg(long, default_value = "resident")]
        role: RoleName,
        /// How many cards.
        #[arg(long, default_value_t = 1)]
        count: usize,
        /// Only the links, one a line, without QR codes.
        #[arg(long)]
        plain: bool,
    },
    /// Do something about who belongs as the wijk's root, which stands above administrators.
    Root {
        /// Data folder of the wijk.
        folder: PathBuf,
        /// What.
        #[command(subcommand)]
        action: PeopleAction,
    },
    /// Recompute every chain and log head of a data folder and say what was found.
    Verify {
        /// Data folder of a wijk or of a phone. Nothing in it is changed.
        folder: PathBuf,
    },
    /// Say how large a wijk's data folder is, and of what: spaces, tables, files, months. Nothing in it is changed.
    Size {
        /// Data folder of a wijk on which no server runs.
        folder: PathBuf,
        /// One JSON object instead of a report.
        #[arg(long)]
        json: bool,
    },
    /// Copy a wijk's folder, also while its server runs; only what is new is written.
    Backup {
        /// Data folder of the wijk.
        folder: PathBuf,
        /// Folder of the backups; made by the first one.
        dest: PathBuf,
        /// Keep this many of the newest backups and take the others away; all are kept if it isn't given.
        #[arg(long, value_name = "COUNT")]
        keep: Option<usize>,
    },
    /// Rebuild a server's store from what is left after its files were damaged; its phones bring the rest.
    Heal {
        /// Data folder of the wijk. Its server must not run.
        folder: PathBuf,
    },
    /// Make a wijk's folder again from a backup.
    Restore {
        /// Folder of the backups.
        dest: PathBuf,
        /// The new folder.
        folder: PathBuf,
        /// Number of the backup; the newest if it isn't given.
        #[arg(long, value_name = "NUMBER")]
        backup: Option<u64>,
    },
    /// A phone in the terminal.
    Phone(PhoneArgs),
    /// Make the demo wijk in a new folder.
    Demo {
        /// The new folder.
        folder: PathBuf,
        /// Address at which phones reach the server; stands on cards.
        #[arg(long, default_value = "http://127.0.0.1:7447")]
        address: String,
    },
    /// Replay a real conversation through phones and a server, and compare every voice.
    Replay(ReplayArgs),
}

#[derive(Debug, Subcommand)]
enum WijkAction {
    /// Make root, server and a first board device in a new folder.
    New {
        /// The new folder.
        folder: PathBuf,
        /// Name of the wijk.
        #[arg(long)]
        name: String,
        /// Its municipality.
        #[arg(long)]
        municipality: String,
        /// CBS code: WK and 6 characters.
        #[arg(long)]
        code: String,
        /// Year the CBS codes are of.
        #[arg(long)]
        year: u64,
        /// A buurt: its CBS code, = and its name; may be given several times.
        #[arg(long = "buurt", value_name = "CODE=NAME")]
        buurten: Vec<String>,
        /// Address at which phones reach the server; stands on cards.
        #[arg(long, default_value = "http://127.0.0.1:7447")]
        address: String,
    },
    /// Print the root's key, to be kept on paper: from it alone a lost server is made again.
    RootKey {
        /// Data folder of the wijk.
        folder: PathBuf,
    },
    /// Make an empty server from the root's key after everything was lost; its phones refill it.
    Recover(RecoverArgs),
    /// Say that enough phones have refilled the server: root and board write again.
    Refilled {
        /// Data folder of the wijk. Its server must not run.
        folder: PathBuf,
    },
    /// Have the server begin a new epoch when it starts next: phones then compare what they have with it.
    NewEpoch {
        /// Data folder of the wijk.
        folder: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct RecoverArgs {
    /// The new folder.
    folder: PathBuf,
    /// The wijk: 64 hexadecimal digits, as they stand on every card and on the paper with the root's key.
    #[arg(long)]
    wijk: String,
    /// File with the letters of the root's key.
    #[arg(long, value_name = "FILE")]
    root_key: PathBuf,
    /// Name of the wijk.
    #[arg(long)]
    name: String,
    /// Address at which phones reach the server: the one that stands on their cards.
    #[arg(long, default_value = "http://127.0.0.1:7447")]
    address: String,
    /// A copy of keys/server.json, for a wijk that was made by an older version.
    #[arg(long, value_name = "FILE")]
    server_key: Option<PathBuf>,
    /// A copy of erased.log, so that what was erased stays erased.
    #[arg(long, value_name = "FILE")]
    erased: Option<PathBuf>,
}

/// Roles as they are typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleName {
    /// Lives in the wijk.
    Resident,
    /// Leads meetings.
    Facilitator,
    /// Sits on the board.
    Board,
    /// Keeps the server.
    Administrator,
    /// Signs agreements for an organisation; by a grant, not on a card.
    Party,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Resident => Self::Resident,
            RoleName::Facilitator => Self::Facilitator,
            RoleName::Board => Self::Board,
            RoleName::Administrator => Self::Administrator,
            RoleName::Party => Self::Party,
        }
    }
}

/// Runs the program.
#[must_use]
pub fn run() -> ExitCode {
    let done = dispatch(Cli::parse().command);
    match done.and_then(|()| say::unsaid().map_or(Ok(()), |error| Err(ProgramError::Unsaid(error)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            remark!("samenspraak: {}", error.line());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Structured lines on the error stream: JSON for machines, plain for people. They name stores, spaces, sizes and reasons,
/// never words, names or ids of persons.
fn start_log(settings: &LogSettings) {
    use tracing_subscriber::EnvFilter;
    // Checked when the settings were read.
    let filter = EnvFilter::new(&settings.filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let as_text = match settings.form {
        LogForm::Auto => std::io::stderr().is_terminal(),
        LogForm::Text => true,
        LogForm::Json => false,
    };
    if as_text {
        builder.with_ansi(false).compact().init();
    } else {
        builder.json().flatten_event(true).init();
    }
}

fn dispatch(command: Top) -> Result<(), ProgramError> {
    // Before the log, because it says how that looks; a wrong value is said on a plain line.
    let serving = match command {
        Top::Serve(args) => {
            let settings = Settings::load(&args.folder, &args.flags()?)?;
            start_log(&settings.log);
            let folder = Folder::open(&args.folder)?;
            return runtime()?.block_on(serve::run(folder, settings, args.show_card));
        }
        other => other,
    };
    start_log(&LogSettings::from_environment()?);
    match serving {
        Top::Verify { folder } => verify::run(&folder),
        Top::Size { folder, json } => size::run(&folder, json),
        Top::Wijk { action: WijkAction::New { folder, name, municipality, code, year, buurten, address } } => {
            let directory = directory(name, municipality, &code, year, &buurten)?;
            let made = wijk::found(&folder, directory, &address)?;
            say!("wijk {} made in {}", made.file().wijk, folder.display());
            say!("next: samenspraak serve {0}, and samenspraak invite {0}", folder.display());
            Ok(())
        }
        Top::Backup { folder, dest, keep } => {
            let made = backup::take(&folder, &dest, keep)?;
            say!("backup {}: {} files, {} bytes, {} of them new", made.number, made.files, made.bytes, made.new_bytes);
            say!("It holds the wijk's words and every key in its folder: keep it as safe as the server itself.");
            if made.kept > 1 {
                let older = made.kept - 1;
                say!(
                    "{older} older ones are kept; words that people erased since may still be in them (--keep takes them away)"
                );
            }
            Ok(())
        }
        Top::Heal { folder } => heal::heal(&folder),
        Top::Restore { dest, folder, backup } => {
            let restored = backup::restore::restore(&dest, &folder, backup)?;
            let day = crate::date::date(restored.day);
            say!("backup {} of {day} restored in {}: {} entries", restored.number, folder.display(), restored.entries);
            say!("Never serve the old folder again. Phones bring what is missing once this one is served;");
            say!("when enough of them came: samenspraak wijk refilled {}", folder.display());
            Ok(())
        }
        Top::Wijk { action: WijkAction::RootKey { folder } } => recover::print_root_key(&folder),
        Top::Wijk { action: WijkAction::Recover(args) } => {
            let RecoverArgs { folder, wijk, root_key, name, address, server_key, erased } = args;
            let made = recover::recover(&folder, &Recovery { wijk, root_key, name, address, server_key, erased })?;
            say!("an empty server of wijk {} made in {}", made.file().wijk, folder.display());
            say!(
                "next: samenspraak serve {0}, and when enough phones came, samenspraak wijk refilled {0}",
                folder.display()
            );
            Ok(())
        }
        Top::Wijk { action: WijkAction::Refilled { folder } } => recover::refilled(&folder),
        Top::Wijk { action: WijkAction::NewEpoch { folder } } => {
            Folder::open(&folder)?;
            epoch::ask(&folder, Why::Asked)?;
            say!("the next start of the server begins a new epoch");
            Ok(())
        }
        other => runtime()?.block_on(with_network(other)),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, ProgramError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|source| {
        let place = "threads for the network".to_owned();
        ProgramError::Store(samenspraak_core::store::StoreError::Io { place, source })
    })
}

async fn with_network(command: Top) -> Result<(), ProgramError> {
    match command {
        Top::Invite { folder, role, count, plain } => {
            let folder = Folder::open(&folder)?;
            let (links, delivered) = wijk::invite(&folder, role.into(), count).await?;
            for link in &links {
                if plain { say!("{link}") } else { print_card(link) }
            }
            if delivered == Delivered::WhenServerStarts {
                remark!("samenspraak: the server is busy; the cards work once it has started again");
            }
            Ok(())
        }
        Top::Root { folder, action } => {
            let delivered = wijk::as_root(&Folder::open(&folder)?, |root| phone::people::run(root, action)).await?;
            if delivered == Delivered::WhenServerStarts {
                remark!("samenspraak: the server is busy; this counts once it has started again");
            }
            Ok(())
        }
        Top::Phone(args) => phone::run(args).await,
        Top::Demo { folder, address } => demo::make(&folder, &address),
        Top::Replay(args) => replay::run(args).await,
        Top::Serve(_)
        | Top::Wijk { .. }
        | Top::Verify { .. }
        | Top::Size { .. }
        | Top::Backup { .. }
        | Top::Restore { .. }
        | Top::Heal { .. } => Ok(()),
    }
}

/// Prints a card: QR code, letters, link.
pub fn print_card(link: &CardLink) {
    if let Ok(code) = qrcode::QrCode::new(link.to_string()) {
        let picture = code.render::<qrcode::render::unicode::Dense1x2>().quiet_zone(true).build();
        say!("{picture}");
    }
    say!("{}\n{link}\n", link.secret.letters());
}

fn directory(
    name: String,
    municipality: String,
    code: &str,
    reference_year: u64,
    buurten: &[String],
) -> Result<Directory, ProgramError> {
    let area = |text: &str| AreaCode::parse(text).map_err(|error| ProgramError::Argument(error.to_string()));
    let buurt = |text: &String| {
        let (code, name) = text.split_once('=').ok_or_else(|| {
            ProgramError::Argument(format!("{text:?} is no buurt: write its CBS code, = and its name"))
        })?;
        Ok(Buurt { code: area(code)?, name: name.to_owned() })
    };
    let themes = (1..=5).map(|number| Theme { number, name: messages::text(&format!("theme-{number}")) }).collect();
    let buurten = buurten.iter().map(buurt).collect::<Result<Vec<_>, ProgramError>>()?;
    Ok(Directory { name, municipality, code: area(code)?, reference_year, themes, buurten, counter: 1 })
}
