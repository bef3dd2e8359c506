//! How many calls a caller may make a second. A caller is a token, a certificate, or the address of
//! a peer that has neither.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use crate::grpc::status;

/// The limits of one caller. 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// `limits.calls_per_second`
    pub calls: u32,
    /// `limits.creates_per_second`
    pub creates: u32,
}

/// How many addresses are stored, before those that have not called for a second are forgotten.
/// More than there can be connections.
const MOST_ADDRESSES: usize = 2 << 16;

const SECOND: u64 = 1_000_000_000;

/// A token bucket, which holds the calls of one second: the time when it is full again, in
/// nanoseconds since the start.
#[derive(Debug, Default)]
struct Bucket(AtomicU64);

impl Bucket {
    /// Takes a call out, or says when there is one.
    fn take(&self, now: u64, per_second: u32) -> Result<(), Duration> {
        let Some(cost) = SECOND.checked_div(per_second.into()) else { return Ok(()) };
        let full_after = |full: u64| full.max(now) + cost;
        let is_left = |full: u64| Some(full_after(full)).filter(|full| *full <= now + SECOND);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_left) {
            Ok(_) => Ok(()),
            Err(full) => Err(Duration::from_nanos(full_after(full) - (now + SECOND))),
        }
    }
}

/// The buckets of one caller.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    calls: Bucket,
    creates: Bucket,
}

impl Buckets {
    fn are_full(&self, now: u64) -> bool {
        [&self.calls, &self.creates].iter().all(|bucket| bucket.0.load(Ordering::Relaxed) <= now)
    }
}

/// The limits, and the buckets of each address.
#[derive(Debug)]
pub(super) struct Rates {
    limits: RateLimits,
    start: Instant,
    addresses: Mutex<BTreeMap<IpAddr, Arc<Buckets>>>,
}

impl Rates {
    /// `None` without limits.
    pub(super) fn new(limits: RateLimits) -> Option<Self> {
        let rates = Self { limits, start: Instant::now(), addresses: Mutex::default() };
        (limits != RateLimits::default()).then_some(rates)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).expect("a process runs less than 584 years")
    }

    /// The buckets of this address.
    pub(super) fn of_address(&self, address: IpAddr) -> Arc<Buckets> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= MOST_ADDRESSES {
            let now = self.now();
            addresses.retain(|_, buckets| Arc::strong_count(buckets) > 1 || !buckets.are_full(now));
            // All of them have called within a second: forget those without a connection.
            if addresses.len() >= MOST_ADDRESSES {
                addresses.retain(|_, buckets| Arc::strong_count(buckets) > 1);
            }
        }
        Arc::clone(addresses.entry(network(address)).or_default())
    }

    /// Takes a call out of the buckets, or refuses it.
    pub(super) fn take(
        &self,
        caller: &str,
        buckets: &Buckets,
        is_create: bool,
    ) -> Result<(), Status> {
        let RateLimits { calls, creates } = self.limits;
        let now = self.now();
        if is_create {
            buckets.creates.take(now, creates).map_err(|wait| {
                status::rate_limited(caller, "limits.creates_per_second", creates, wait)
            })?;
        }
        buckets
            .calls
            .take(now, calls)
            .map_err(|wait| status::rate_limited(caller, "limits.calls_per_second", calls, wait))
    }
}

/// One machine can have 2⁶⁴ addresses of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_has_as_many_calls_as_the_limit() {
        let bucket = Bucket::default();
        let taken = |now: u64| (0..100).filter(|_| bucket.take(now, 4).is_ok()).count();
        assert_eq!(taken(0), 4);
        assert_eq!(taken(SECOND / 4 - 1), 0);
        assert_eq!(taken(SECOND / 4), 1);
        assert_eq!(taken(SECOND), 3);
        assert_eq!(taken(100 * SECOND), 4, "calls of other seconds are not kept");
        assert_eq!(bucket.take(100 * SECOND, 4), Err(Duration::from_millis(250)));
        assert!((0..100).all(|_| bucket.take(0, 0).is_ok()), "0 is no limit");
    }

    // The time stands still: on a busy machine the loop below takes longer than a second.
    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_network_share_and_idle_ones_are_forgotten() {
        let rates = Rates::new(RateLimits { calls: 1, creates: 0 }).unwrap();
        let left = |text: &str| rates.of_address(text.parse().unwrap());
        let same = |a: &str, b: &str| Arc::ptr_eq(&left(a), &left(b));
        assert!(same("2001:db8::1", "2001:db8::2"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        let (connected, busy) = (left("192.0.2.1"), left("192.0.2.2"));
        assert!(rates.take("busy", &busy, false).is_ok());
        drop(busy);
        for address in 0..u32::try_from(2 * MOST_ADDRESSES).unwrap() {
            left(&std::net::Ipv4Addr::from(address).to_string());
            assert!(rates.addresses.lock().unwrap().len() <= MOST_ADDRESSES);
        }
        assert!(Arc::ptr_eq(&connected, &left("192.0.2.1")));
        assert!(rates.take("busy", &left("192.0.2.2"), false).is_err());
    }
}
