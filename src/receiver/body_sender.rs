//! The sender of a body, as the body budget counts senders.

use std::net::{IpAddr, Ipv6Addr};

use crate::delivery::ConnectionId;

/// A client address and a connection id. Both have their share of the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) address: Option<IpAddr>,
    pub(super) connection: ConnectionId,
}

impl Sender {
    /// `connection` is the one in the request's URL. IPv6 clients count by their network of 64 bits.
    pub(super) fn new(address: Option<IpAddr>, connection: ConnectionId) -> Self {
        let address = address.map(|address| match address.to_canonical() {
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 @ IpAddr::V4(_) => v4,
        });
        Self {
            address,
            connection,
        }
    }
}
