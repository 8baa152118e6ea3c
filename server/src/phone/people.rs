//! Who belongs, in the terminal: people, devices, cards and roles, for phones and for the root of a wijk's folder.

use std::fmt::Display;

use clap::{Subcommand, ValueEnum};
use samenspraak_core::app::people::{CardsItem, PersonItem};
use samenspraak_core::app::{Command, PeopleCommand, Reply};
use samenspraak_core::membership::card::CardLink;
use samenspraak_core::model::{
    BatchId, Gives, Organisation, PersonId, RevocationReason, RevocationTarget, Role, SubjectId,
};

use super::by_beginning;
use super::print::{ID_CHARS, one_line, saved};
use crate::cli::{RoleName, print_card};
use crate::client::{Driver, SyncError};
use crate::error::ProgramError;
use crate::messages;

/// What can be done about who belongs. Ids may be given by their beginnings.
#[derive(Debug, Subcommand)]
pub enum PeopleAction {
    /// Everybody who belongs or belonged, by pseudonym, with roles and devices.
    Members,
    /// Cards that were made, and how many somebody can still join with.
    Cards,
    /// Make cards for people to join with (facilitators, board, administrators).
    Invite {
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
    /// Take cards back that nobody used yet: nobody can join with them any more.
    Withdraw {
        /// The batch, as `cards` shows it.
        batch: String,
    },
    /// Give a person a role.
    Grant {
        /// The person, as `members` shows it.
        person: String,
        /// The role.
        role: RoleName,
        /// For a party: its organisation, as `organisations` shows it.
        #[arg(long)]
        organisation: Option<String>,
    },
    /// Take a device, a person or a role away. What was written before stays; later words count nowhere.
    Revoke {
        /// What.
        what: RevokedName,
        /// Its id, as `members` shows it.
        id: String,
        /// Why.
        #[arg(long)]
        reason: ReasonName,
    },
    /// Organisations that can be party to agreements.
    Organisations,
    /// Name one more of them (administrators).
    Organisation {
        /// Its name.
        name: String,
    },
}

/// What can be done about one's own place in the wijk.
#[derive(Debug, Subcommand)]
pub enum OwnAction {
    /// A card for one more device of your own.
    InviteDevice {
        /// Only the link, without a QR code.
        #[arg(long)]
        plain: bool,
    },
    /// Leave the wijk with all your devices. What you wrote stays; erase first what must go.
    Leave {
        /// Yes, really.
        #[arg(long)]
        yes: bool,
    },
}

/// What can be taken away, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RevokedName {
    /// One device.
    Device,
    /// A person with all devices and roles.
    Person,
    /// A role, by the id behind it in `members`.
    Role,
}

/// Why, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReasonName {
    /// Lost or stolen.
    Lost,
    /// The person left, or the role ended.
    Left,
    /// The wijk was harmed with it.
    Abuse,
}

impl From<ReasonName> for RevocationReason {
    fn from(name: ReasonName) -> Self {
        match name {
            ReasonName::Lost => Self::Lost,
            ReasonName::Left => Self::Left,
            ReasonName::Abuse => Self::Abuse,
        }
    }
}

/// Runs one action.
///
/// # Errors
/// When it can't be done.
pub(crate) fn run(phone: &mut Driver, action: PeopleAction) -> Result<(), ProgramError> {
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    match action {
        PeopleAction::Members => {
            for person in joined.people() {
                print_person(&person);
            }
            Ok(())
        }
        PeopleAction::Cards => {
            let cards = joined.cards();
            if cards.is_empty() {
                say!("{}", messages::text("cards-none"));
            }
            cards.iter().for_each(print_cards);
            Ok(())
        }
        PeopleAction::Invite { role, count, plain } => {
            let (server, wijk) = (joined.identity().server.clone(), joined.identity().wijk);
            let reply = phone.command(Command::Invite { role: role.into(), count })?;
            let Reply::Cards { secrets, .. } = reply else { return Ok(()) };
            for secret in secrets {
                let link = CardLink { server: server.clone(), wijk, secret, device_of: None };
                if plain { say!("{link}") } else { print_card(&link) }
            }
            Ok(())
        }
        PeopleAction::Withdraw { batch } => {
            let known = joined.cards().into_iter().filter_map(|cards| cards.batch);
            let batch = by_beginning("batch of cards", &batch, known)?;
            withdraw(phone, batch)
        }
        PeopleAction::Grant { person, role, organisation } => {
            let person = self::person(phone, &person)?;
            let organisation = organisation.map(|id| self::organisation(phone, &id)).transpose()?;
            let reply = phone.command(Command::Grant { person, role: role.into(), organisation })?;
            saved(phone, &reply)
        }
        PeopleAction::Revoke { what, id, reason } => {
            let target = target(phone, what, &id)?;
            let reply = phone.command(PeopleCommand::Revoke { target, reason: reason.into() }.into())?;
            saved(phone, &reply)
        }
        PeopleAction::Organisations => {
            for organisation in joined.organisations() {
                say!("{}  {}", organisation.subject, one_line(&organisation.name));
            }
            Ok(())
        }
        PeopleAction::Organisation { name } => {
            let reply = phone.command(PeopleCommand::NameOrganisation(Organisation { name }).into())?;
            saved(phone, &reply)
        }
    }
}

/// Runs one action about one's own place.
///
/// # Errors
/// When it can't be done.
pub(super) fn run_own(phone: &mut Driver, action: OwnAction) -> Result<(), ProgramError> {
    match action {
        OwnAction::InviteDevice { plain } => {
            let reply = phone.command(PeopleCommand::InviteDevice.into())?;
            if let Reply::DeviceCard { card, .. } = reply {
                if plain {
                    say!("{card}")
                } else {
                    print_card(&card)
                }
                say!("{}", messages::text("device-card-hint"));
            }
            Ok(())
        }
        OwnAction::Leave { yes: false } => {
            let what = "leaving can't be taken back; say `leave --yes`, and erase first what must go".to_owned();
            Err(ProgramError::Argument(what))
        }
        OwnAction::Leave { yes: true } => {
            phone.command(PeopleCommand::Leave.into())?;
            say!("{}", messages::text("leave-done"));
            Ok(())
        }
    }
}

fn withdraw(phone: &mut Driver, batch: BatchId) -> Result<(), ProgramError> {
    let reply = phone.command(PeopleCommand::WithdrawCards { batch }.into())?;
    if let Reply::Withdrawn { unused, .. } = reply {
        say!("{}", messages::with("cards-withdrawn-now", &[("unused", unused.into())]));
    }
    Ok(())
}

fn person(phone: &Driver, id: &str) -> Result<PersonId, ProgramError> {
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    by_beginning("person", id, joined.people().into_iter().map(|item| item.person))
}

fn organisation(phone: &Driver, id: &str) -> Result<SubjectId, ProgramError> {
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    by_beginning("organisation", id, joined.organisations().into_iter().map(|item| item.subject))
}

fn target(phone: &Driver, what: RevokedName, id: &str) -> Result<RevocationTarget, ProgramError> {
    let joined = phone.app().joined().ok_or(SyncError::NotJoined)?;
    let people = joined.people();
    Ok(match what {
        RevokedName::Person => RevocationTarget::Person(person(phone, id)?),
        RevokedName::Device => {
            let devices = people.iter().flat_map(|person| &person.devices).map(|item| item.device);
            RevocationTarget::Device(by_beginning("device", id, devices)?)
        }
        RevokedName::Role => {
            let grants = people.iter().flat_map(|person| &person.roles).filter_map(|role| role.grant);
            RevocationTarget::Grant(by_beginning("role", id, grants)?)
        }
    })
}

/// The beginning of an id, as lists show it.
fn beginning(id: impl Display) -> String {
    id.to_string().chars().take(ID_CHARS).collect()
}

fn role_name(role: Role) -> String {
    match role {
        Role::Resident => messages::text("role-resident"),
        Role::Facilitator => messages::text("role-facilitator"),
        Role::Board => messages::text("role-board"),
        Role::Administrator => messages::text("role-administrator"),
        Role::Party => messages::text("role-party"),
    }
}

/// Why somebody or something no longer belongs.
pub(super) fn why(reason: RevocationReason) -> String {
    match reason {
        RevocationReason::Lost => messages::text("revoked-lost"),
        RevocationReason::Left => messages::text("revoked-left"),
        RevocationReason::Abuse => messages::text("revoked-abuse"),
    }
}

fn ended(revoked: Option<RevocationReason>) -> String {
    let text = |reason| format!("  [{}]", messages::with("revoked-because", &[("why", why(reason).into())]));
    revoked.map(text).unwrap_or_default()
}

fn print_person(item: &PersonItem) {
    let own = if item.is_self { format!("  {}", messages::text("person-self")) } else { String::new() };
    say!("{}{own}{}", beginning(item.person), ended(item.revoked));
    for role in &item.roles {
        let grant = role.grant.map(|id| format!("  {}", beginning(id))).unwrap_or_default();
        say!("  {}{grant}{}", role_name(role.role), ended(role.revoked));
    }
    for device in &item.devices {
        let this = if device.is_this { format!("  {}", messages::text("device-this")) } else { String::new() };
        let id = messages::with("device-line", &[("id", beginning(device.device).into())]);
        say!("  {id}{this}{}", ended(device.revoked));
    }
}

fn print_cards(item: &CardsItem) {
    let batch = item.batch.map(beginning).unwrap_or_default();
    let gives = match item.gives {
        Gives::Role(role) => role_name(role),
        Gives::Device(_) => messages::text("cards-for-device"),
    };
    let values = [("made", item.made.into()), ("used", item.used.into()), ("left", item.outstanding().into())];
    let withdrawn = if item.withdrawn { format!("  [{}]", messages::text("cards-withdrawn")) } else { String::new() };
    say!("{batch}  {gives}: {}{withdrawn}", messages::with("cards-count", &values));
}
