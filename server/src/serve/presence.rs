//! How many phones look at the same thing: numbers that live as long as the connections they count.
//!
//! Must never know who: a seat holds a subject and nothing of a device. One seat a connection, so the limit on connections bounds it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use samenspraak_core::model::SubjectId;
use samenspraak_core::sync::wire::Frame;
use tokio::sync::watch;

/// How many look at something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    present: u64,
    writing: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Presence {
    rooms: Mutex<HashMap<SubjectId, watch::Sender<Count>>>,
}

/// Counts one phone for as long as it is held.
pub(super) struct Seat {
    presence: Arc<Presence>,
    subject: SubjectId,
    writes: bool,
    count: watch::Receiver<Count>,
    told: Option<Count>,
}

impl Presence {
    /// A seat among those who look at this.
    pub(super) fn enter(self: &Arc<Self>, subject: SubjectId, writes: bool) -> Seat {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.entry(subject).or_default();
        room.send_modify(|count| {
            count.present += 1;
            count.writing += u64::from(writes);
        });
        let mut count = room.subscribe();
        // Whoever comes is told how many there are.
        count.mark_changed();
        Seat { presence: Arc::clone(self), subject, writes, count, told: None }
    }
}

impl Seat {
    /// Waits until there is another number than the one that was asked for last.
    pub(super) async fn changed(&mut self) {
        // The room lives as long as its seats.
        let _ = self.count.changed().await;
    }

    /// What to tell the phone, if it wasn't told already.
    pub(super) fn news(&mut self) -> Option<Frame> {
        let count = *self.count.borrow_and_update();
        let Count { present, writing } = count;
        (self.told.replace(count) != Some(count)).then_some(Frame::Attending {
            subject: Some(self.subject),
            present,
            writing,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = self.presence.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let Entry::Occupied(room) = rooms.entry(self.subject) else { return };
        room.get().send_modify(|count| {
            count.present = count.present.saturating_sub(1);
            count.writing = count.writing.saturating_sub(u64::from(self.writes));
        });
        if room.get().borrow().present == 0 {
            room.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_and_an_empty_room_is_forgotten() {
        let presence = Arc::new(Presence::default());
        let (one, other) = (SubjectId::new([1; 16]), SubjectId::new([2; 16]));
        let said = |seat: &mut Seat| match seat.news() {
            Some(Frame::Attending { present, writing, .. }) => Some((present, writing)),
            _ => None,
        };
        let mut reader = presence.enter(one, false);
        assert_eq!(said(&mut reader), Some((1, 0)));
        assert_eq!(said(&mut reader), None, "nothing changed");
        let mut writer = presence.enter(one, true);
        let _elsewhere = presence.enter(other, true);
        assert_eq!((said(&mut reader), said(&mut writer)), (Some((2, 1)), Some((2, 1))));
        drop(writer);
        assert_eq!(said(&mut reader), Some((1, 0)));
        drop(reader);
        assert_eq!(presence.rooms.lock().map(|rooms| rooms.len()).ok(), Some(1));
    }
}
