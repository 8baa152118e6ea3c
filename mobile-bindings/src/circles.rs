//! Closed circles: what is written in one only its members read; the server sees sizes and days.

use samenspraak_core::app::{App, Command, Reply, Sealing};
use samenspraak_core::membership::circle::CircleLink;
use samenspraak_core::model::{DeviceId, SpaceId};

use crate::asks::{card_count, saved};
use crate::looks::joined;
use crate::{Content, SealedStory, Wijk, WijkError};

/// Somebody in a circle: a key, and no name.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct CircleMember {
    /// The key that this device writes with there.
    pub key: String,
    /// Whether it is this device's own.
    pub own: bool,
}

/// The circle with this id, as `circles` gave it.
fn circle(app: &mut App, id: &str) -> Result<SpaceId, WijkError> {
    let found = joined(app)?.circles().into_iter().find(|space| space.to_string() == id);
    found.ok_or_else(|| WijkError::NotFound { detail: format!("there is no circle {id} on this device") })
}

fn entered(reply: Reply) -> Result<String, WijkError> {
    match reply {
        Reply::Circle(space) => Ok(space.to_string()),
        _ => Err(WijkError::unexpected("a circle was asked for, and something else came")),
    }
}

impl Wijk {
    async fn circle(&self, id: String) -> Result<SpaceId, WijkError> {
        self.glance(move |app| circle(app, &id)).await
    }
}

#[uniffi::export]
impl Wijk {
    /// Begins a closed circle, as its facilitator (facilitators). Returns its id.
    pub async fn new_circle(&self) -> Result<String, WijkError> {
        entered(self.command(Command::FoundCircle).await?)
    }

    /// Makes cards for a circle (its facilitator), at most 1,000: the texts that QR codes hold.
    pub async fn invite_to_circle(&self, circle: String, count: u32) -> Result<Vec<String>, WijkError> {
        let count = card_count(count)?;
        let circle = self.circle(circle).await?;
        let wijk = self.glance(|app| Ok(joined(app)?.identity().wijk)).await?;
        match self.command(Command::InviteToCircle { circle, count }).await? {
            Reply::CircleCards { circle, secrets } => {
                Ok(secrets.into_iter().map(|secret| CircleLink { wijk, circle, secret }.to_string()).collect())
            }
            _ => Err(WijkError::unexpected("cards were asked for and not made")),
        }
    }

    /// Comes into a circle with a card. Works without a network; what was written there is read once its facilitator's device was
    /// online. Returns the circle's id.
    pub async fn join_circle(&self, card: String) -> Result<String, WijkError> {
        let card = CircleLink::parse(&card).map_err(|error| WijkError::Card { detail: error.to_string() })?;
        entered(self.command(Command::JoinCircle { card }).await?)
    }

    /// The circles this device is in, or wants to be in.
    pub async fn circles(&self) -> Result<Vec<String>, WijkError> {
        self.look(|app| Ok(joined(app)?.circles().iter().map(ToString::to_string).collect())).await
    }

    /// Writes a note that only the circle can read. Returns its id.
    pub async fn write_in_circle(&self, circle: String, text: String) -> Result<String, WijkError> {
        let space = self.circle(circle).await?;
        saved(self.command(Command::WriteNote { space, text }).await?)
    }

    /// Sends a circle something that only it can read; nobody is told from whom. Returns its id; its receipt stands in
    /// [`Wijk::own_sealed`].
    pub async fn seal_for_circle(&self, circle: String, content: Content) -> Result<String, WijkError> {
        let space = self.circle(circle).await?;
        saved(self.command(Command::Seal { space, sealing: Sealing::Story(content.into()) }).await?)
    }

    /// What was written in a circle, and what was sent to it.
    pub async fn circle_texts(&self, circle: String) -> Result<Vec<SealedStory>, WijkError> {
        let space = self.circle(circle).await?;
        self.look(move |app| Ok(joined(app)?.sealed_items(space)?.into_iter().map(Into::into).collect())).await
    }

    /// Who is in a circle.
    pub async fn circle_members(&self, circle: String) -> Result<Vec<CircleMember>, WijkError> {
        let space = self.circle(circle).await?;
        self.look(move |app| {
            let joined = joined(app)?;
            let (members, own) = (joined.replica().members(), joined.key_in(space).id());
            let present = members.closed(space).into_iter().flat_map(|closed| closed.present(members, space));
            Ok(present.map(|(key, _)| CircleMember { key: key.to_string(), own: key == own }).collect())
        })
        .await
    }

    /// Takes somebody out of a circle (its facilitator): what comes after can't be read with that key.
    pub async fn remove_from_circle(&self, circle: String, key: String) -> Result<(), WijkError> {
        let circle = self.circle(circle).await?;
        let key = DeviceId::from_hex(&key)
            .ok_or_else(|| WijkError::invalid(format!("{key:?} is no key: 64 hexadecimal digits")))?;
        self.command(Command::RemoveFromCircle { circle, key }).await.map(drop)
    }
}
