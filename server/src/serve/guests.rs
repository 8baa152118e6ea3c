//! Who is in: places for connections in all, for each address, for those who haven't proved themselves, and for requests.
//!
//! A place is given back when it is dropped, wherever a connection ends. Behind a proxy the address is what a *trusted* proxy
//! says; what others write into that header is not looked at. Nothing is kept of an address once its last connection is gone.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::limits::Limits;

/// Connections beyond the limit that are still told so; further ones are closed without a word.
const TOLD_AT_ONCE: usize = 64;
/// Proxies in a row that are looked through.
const PROXIES_MAX: usize = 8;

/// See the module.
pub struct Guests {
    all: Arc<Semaphore>,
    told: Arc<Semaphore>,
    unproven: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    per_address: usize,
    addresses: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    proxies: Vec<IpNet>,
    open: watch::Sender<usize>,
}

/// What is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All places.
    Connections,
    /// Those of one address.
    Address,
    /// Those for connections that have not proved themselves.
    Unproven,
    /// Those for requests.
    Requests,
}

impl Full {
    /// The name of the limit, as in the configuration.
    #[must_use]
    pub fn limit(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "connections_per_address",
            Self::Unproven => "handshakes",
            Self::Requests => "requests",
        }
    }
}

/// A connection's place. Held by the connection and by what was upgraded from it.
pub struct Guest {
    _all: OwnedSemaphorePermit,
    _address: Option<AddressPlace>,
    open: watch::Sender<usize>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

/// A place among those of an address.
pub struct AddressPlace {
    address: IpAddr,
    addresses: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// What stands for one household or host: an IPv6 host has all of its /64.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

impl Guests {
    /// Places as the limits say.
    #[must_use]
    pub fn new(limits: &Limits, proxies: Vec<IpNet>) -> Self {
        let semaphore = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            all: semaphore(limits.connections),
            told: semaphore(TOLD_AT_ONCE),
            unproven: semaphore(limits.handshakes),
            requests: semaphore(limits.requests),
            per_address: limits.connections_per_address,
            addresses: Arc::default(),
            proxies,
            open: watch::Sender::new(0),
        }
    }

    /// Whether an address is a proxy whose word is taken.
    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies.iter().any(|network| network.contains(&address))
    }

    /// Gives a new connection its place.
    ///
    /// # Errors
    /// What is full.
    pub fn enter(&self, peer: IpAddr) -> Result<Guest, Full> {
        let all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| Full::Connections)?;
        // A proxy's connections are counted by whom they carry, once that is known.
        let address = if self.is_proxy(peer) { None } else { self.enter_address(peer)? };
        self.open.send_modify(|open| *open += 1);
        Ok(Guest { _all: all, _address: address, open: self.open.clone() })
    }

    /// Gives a connection its place among those of an address; the machine itself has no limit.
    ///
    /// # Errors
    /// When there is none left.
    pub fn enter_address(&self, address: IpAddr) -> Result<Option<AddressPlace>, Full> {
        if address.to_canonical().is_loopback() {
            return Ok(None);
        }
        let address = counted(address);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_insert(0);
        if *count >= self.per_address {
            return Err(Full::Address);
        }
        *count += 1;
        drop(addresses);
        Ok(Some(AddressPlace { address, addresses: Arc::clone(&self.addresses) }))
    }

    /// A place to be told that there is none.
    #[must_use]
    pub fn enter_to_be_told(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.told).try_acquire_owned().ok()
    }

    /// A place until the device has proved itself.
    ///
    /// # Errors
    /// When there is none left.
    pub fn enter_unproven(&self) -> Result<OwnedSemaphorePermit, Full> {
        Arc::clone(&self.unproven).try_acquire_owned().map_err(|_| Full::Unproven)
    }

    /// A place for a request.
    ///
    /// # Errors
    /// When there is none left.
    pub fn enter_request(&self) -> Result<OwnedSemaphorePermit, Full> {
        Arc::clone(&self.requests).try_acquire_owned().map_err(|_| Full::Requests)
    }

    /// Waits until nobody is in.
    pub async fn empty(&self) {
        // The sender lives as long as these places.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Who is at the other end: the peer, or whom trusted proxies say they carry. Read from the right, for only what the last
    /// proxy wrote is known to be its own.
    #[must_use]
    pub fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.is_proxy(peer) {
            return peer;
        }
        let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
        let named: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
        let mut caller = peer;
        for name in named.iter().rev().take(PROXIES_MAX) {
            let Ok(address) = name.parse::<IpAddr>() else { break };
            caller = address;
            if !self.is_proxy(address) {
                break;
            }
        }
        caller
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::config::{Flags, Settings};

    fn guests(connections: usize, per_address: usize, proxies: &[&str]) -> Guests {
        let settings = Settings::load(std::path::Path::new("/nowhere"), &Flags::default()).unwrap();
        let limits = Limits { connections, connections_per_address: per_address, ..settings.limits };
        Guests::new(&limits, proxies.iter().map(|network| network.parse().unwrap()).collect())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_of_an_address_come_back_when_its_connections_end() {
        let guests = guests(9, 2, &[]);
        let first = guests.enter(address("192.0.2.1")).unwrap();
        let _second = guests.enter(address("::ffff:192.0.2.1")).unwrap();
        assert_eq!(guests.enter(address("192.0.2.1")).err(), Some(Full::Address));
        let _other = guests.enter(address("192.0.2.2")).unwrap();
        drop(first);
        let _third = guests.enter(address("192.0.2.1")).unwrap();
        let _host = guests.enter(address("2001:db8::1")).unwrap();
        let _same = guests.enter(address("2001:db8::2:2")).unwrap();
        assert_eq!(guests.enter(address("2001:db8::3:3:3:3")).err(), Some(Full::Address), "a host has its whole /64");
        let here: Vec<Guest> = (0..4).map(|_| guests.enter(address("127.0.0.1")).unwrap()).collect();
        assert_eq!(guests.enter(address("127.0.0.1")).err(), Some(Full::Connections));
        drop(here);
        drop((_second, _other, _third, _host, _same));
        assert!(guests.addresses.lock().unwrap().is_empty(), "nothing is kept of who was here");
        assert_eq!(*guests.open.borrow(), 0);
    }

    #[test]
    fn only_a_trusted_proxy_says_who_calls_and_only_its_own_word_counts() {
        let guests = guests(9, 1, &["10.0.0.0/8"]);
        let caller = |peer: &str, lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            guests.caller(address(peer), &headers).to_string()
        };
        assert_eq!(caller("192.0.2.9", &["192.0.2.1"]), "192.0.2.9", "a stranger names itself");
        assert_eq!(caller("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(
            caller("10.0.0.1", &["192.0.2.1, 192.0.2.2"]),
            "192.0.2.2",
            "what came before the proxy is not its word"
        );
        assert_eq!(caller("10.0.0.1", &["192.0.2.1", "192.0.2.2, 10.0.0.2"]), "192.0.2.2");
        assert_eq!(caller("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(caller("10.0.0.1", &["192.0.2.1, nonsense"]), "10.0.0.1");
        let _one = guests.enter(address("10.0.0.1")).unwrap();
        let _two = guests.enter(address("10.0.0.1")).unwrap();
    }
}
