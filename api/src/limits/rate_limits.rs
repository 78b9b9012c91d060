//! Rate limits: token buckets by access key and by address, and the concurrent requests of a key.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callsweep_core::settings::LimitSettings;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// The limits of the settings, and how far each is used.
pub struct RateLimits {
    keys: Option<DefaultKeyedRateLimiter<String>>,
    addresses: Option<DefaultKeyedRateLimiter<IpAddr>>,
    concurrency: Option<NonZeroU32>,
    in_flight: Arc<InFlightByKey>,
}

/// Requests in flight, by access key. A key without any has no entry.
type InFlightByKey = Mutex<HashMap<String, u32>>;

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

/// Which limit a request is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverLimit {
    /// As metrics name it.
    pub limit: &'static str,
    /// When it is worth another try.
    pub wait: Duration,
}

impl RateLimits {
    /// The limits of the settings, with nothing used.
    #[must_use]
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            keys: bucket(settings.key_per_second, settings.key_burst),
            addresses: bucket(settings.address_per_second, settings.address_burst),
            concurrency: NonZeroU32::new(settings.key_concurrency),
            in_flight: Arc::default(),
        }
    }

    /// Takes a token of an address, before anything is known of who calls.
    ///
    /// # Errors
    /// It has none left.
    pub fn take_by_address(&self, address: IpAddr) -> Result<(), OverLimit> {
        take(self.addresses.as_ref(), &network(address), "address")
    }

    /// Takes a token of a key that is authenticated: nobody can use up the tokens of another. The request counts
    /// as in flight until what is returned is dropped.
    ///
    /// # Errors
    /// It has none left, or too many of its requests are in flight.
    pub fn take_by_key(&self, access_key: &str) -> Result<InFlight, OverLimit> {
        take(self.keys.as_ref(), &access_key.to_owned(), "key")?;
        let most = self.concurrency.map_or(u32::MAX, NonZeroU32::get);
        let mut by_key = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let now = by_key.entry(access_key.to_owned()).or_default();
        if *now >= most {
            return Err(OverLimit { limit: "key_concurrency", wait: Duration::ZERO });
        }
        *now += 1;
        Ok(InFlight { access_key: access_key.to_owned(), by_key: self.in_flight.clone() })
    }

    /// The requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> InFlightCount {
        InFlightCount(self.in_flight.clone())
    }

    /// Drops buckets that are full again, which a new one equals. Called every few seconds, it bounds the memory by the
    /// clients of that time.
    pub fn forget_full(&self) {
        if let Some(keys) = &self.keys {
            keys.retain_recent();
        }
        if let Some(addresses) = &self.addresses {
            addresses.retain_recent();
            addresses.shrink_to_fit();
        }
    }
}

/// `None`: no limit.
fn bucket<K: Hash + Eq + Clone>(per_second: u32, burst: u32) -> Option<DefaultKeyedRateLimiter<K>> {
    let per_second = NonZeroU32::new(per_second)?;
    let burst = NonZeroU32::new(burst).unwrap_or(per_second);
    Some(RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)))
}

fn take<K: Hash + Eq + Clone>(
    bucket: Option<&DefaultKeyedRateLimiter<K>>,
    key: &K,
    limit: &'static str,
) -> Result<(), OverLimit> {
    let Some(bucket) = bucket else { return Ok(()) };
    let over =
        |full: governor::NotUntil<_>| OverLimit { limit, wait: full.wait_time_from(DefaultClock::default().now()) };
    bucket.check_key(key).map_err(over)
}

/// The network that has one bucket: an IPv6 client has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Counts the requests in flight, without holding anything else of the server.
#[derive(Debug, Clone)]
pub struct InFlightCount(Arc<InFlightByKey>);

impl InFlightCount {
    /// How many there are now, of all keys.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

/// A request in flight.
#[derive(Debug)]
pub struct InFlight {
    access_key: String,
    by_key: Arc<InFlightByKey>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = by_key.get_mut(&self.access_key) {
            *now -= 1;
            if *now == 0 {
                by_key.remove(&self.access_key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: LimitSettings = LimitSettings {
        key_per_second: 0,
        key_burst: 0,
        key_concurrency: 0,
        key_connections: 0,
        address_per_second: 0,
        address_burst: 0,
        connections: 1,
    };

    #[test]
    fn a_bucket_holds_its_burst_for_each_by_itself() {
        // One token in a second: none comes back while this runs.
        let limits = RateLimits::new(&LimitSettings { address_per_second: 1, address_burst: 3, ..NONE });
        let take = |address: &str| limits.take_by_address(address.parse().unwrap());
        assert!((0..3).all(|_| take("10.0.0.1").is_ok()));
        let over = take("::ffff:10.0.0.1").unwrap_err();
        assert_eq!(over.limit, "address");
        assert!(over.wait <= Duration::from_secs(1));
        assert!(take("10.0.0.2").is_ok());
        assert!((0..3).all(|n| take(&format!("2001:db8::{n}")).is_ok()));
        assert!(take("2001:db8::ffff:1").is_err(), "an IPv6 client has a whole /64");
        limits.forget_full();
        assert!(take("10.0.0.1").is_err(), "who is over a limit is not forgotten");
    }

    #[test]
    fn requests_at_the_same_time_are_counted_until_they_end() {
        let limits = RateLimits::new(&LimitSettings { key_concurrency: 2, ..NONE });
        let (first, second) = (limits.take_by_key("a").unwrap(), limits.take_by_key("a").unwrap());
        assert_eq!(limits.take_by_key("a").unwrap_err().limit, "key_concurrency");
        drop(first);
        let third = limits.take_by_key("a").unwrap();
        assert!(limits.take_by_key("b").is_ok());
        drop((second, third));
        assert!(limits.in_flight.lock().unwrap().is_empty());
    }

    #[test]
    fn nothing_is_limited_by_zero() {
        let limits = RateLimits::new(&NONE);
        let held: Vec<_> = (0..1000).map(|_| limits.take_by_key("a").unwrap()).collect();
        assert_eq!(held.len(), 1000);
        assert!((0..1000).all(|_| limits.take_by_address(IpAddr::from([127, 0, 0, 1])).is_ok()));
    }
}
