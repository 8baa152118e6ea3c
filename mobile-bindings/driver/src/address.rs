//! Where on a server its sync is found.

use crate::SyncError;

/// The WebSocket address of a server's address, as it stands on a card.
///
/// # Errors
/// [`SyncError::Address`] when it isn't one.
pub fn sync_url(address: &str) -> Result<String, SyncError> {
    let forms = [("https://", "wss"), ("http://", "ws")];
    let host = |(prefix, scheme)| Some((scheme, address.strip_prefix(prefix)?.trim_end_matches('/')));
    match forms.into_iter().find_map(host) {
        Some((scheme, host)) if !host.is_empty() => Ok(format!("{scheme}://{host}/sync")),
        _ => Err(SyncError::Address { address: address.to_owned() }),
    }
}
