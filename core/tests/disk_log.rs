//! Promise: a log on disk keeps every promise of a log, also when its store is closed and opened after each step.
#![cfg(feature = "disk")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;
use std::sync::Arc;

use samenspraak_core::model::WijkId;
use samenspraak_core::store::Store;
use samenspraak_core::store::disk::{DiskOptions, DiskStore};
use samenspraak_core::store::log::{Epoch, Log, StoreLog, conformance};

#[test]
fn a_log_in_the_disk_store_keeps_every_promise() {
    let root = tempfile::tempdir().unwrap();
    let (mut made, path) = (0, std::cell::RefCell::new(PathBuf::new()));
    let open_store = |path: &PathBuf| -> Arc<dyn Store> {
        let (store, _report) = DiskStore::open(path, DiskOptions::default()).unwrap();
        Arc::new(store)
    };
    let open = |store: Arc<dyn Store>, wijk: WijkId, epoch: Epoch| -> Box<dyn Log> {
        Box::new(StoreLog::new(store, wijk, epoch))
    };
    conformance::run(
        &mut || {
            made += 1;
            path.replace(root.path().join(made.to_string()));
            open_store(&path.borrow())
        },
        &mut |store| {
            drop(store);
            open_store(&path.borrow())
        },
        &open,
    );
}
