//! What happens when the server's disk goes back in time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use samenspraak_core::app::{Command, Reply};
use samenspraak_core::model::{Content, Role, SpaceId};
use samenspraak_core::store::{Batch, MemoryStore, Store, Table};
use samenspraak_tests::world::World;

fn copy(from: &dyn Store) -> Batch {
    let mut batch = Batch::new();
    for table in Table::ALL {
        for row in from.scan(table, &[], None, usize::MAX).unwrap() {
            batch.put(table, row.key, row.value);
        }
    }
    batch
}

fn put_back(store: &dyn Store, old: &Batch) {
    let mut batch = Batch::new();
    for table in Table::ALL {
        for row in store.scan(table, &[], None, usize::MAX).unwrap() {
            batch.delete(table, row.key);
        }
    }
    batch.append(old.clone());
    store.commit(&batch).unwrap();
}

#[test]
fn a_server_restored_from_an_old_copy_gets_back_what_its_phones_wrote() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut world = World::with_store(11, Arc::clone(&store));
    let mut resident = world.join(Role::Resident);
    world.sync(&mut resident);
    let old = copy(store.as_ref());
    let mut subjects = Vec::new();
    for at in 0..3 {
        let content = Content { title: format!("Nummer {at}"), text: "Tekst".into(), ..Content::default() };
        match world.ask(&mut resident, Command::Contribute(content)).unwrap() {
            Reply::Saved { subject, .. } => subjects.push(subject),
            other => panic!("{other:?}"),
        }
        world.sync(&mut resident);
    }
    put_back(store.as_ref(), &old);
    world.restart_server();
    assert!(world.server().replica().subject(SpaceId::Open, subjects[0]).unwrap().is_none());
    let synced = world.sync(&mut resident);
    assert_eq!(synced.settled, Some(None), "{synced:?}");
    for subject in subjects {
        assert!(world.server().replica().subject(SpaceId::Open, subject).unwrap().is_some());
    }
    // And it stays quiet afterwards: the phone knows the new history.
    let synced = world.sync(&mut resident);
    assert_eq!((synced.settled, synced.flights_up), (Some(None), 1), "{synced:?}");
}
