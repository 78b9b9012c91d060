//! Where a request comes from, behind proxies too. Rate limits, the addresses of keys, the ledger and the log all ask here.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// Hops that are looked at from the right. A chain of trusted proxies has two or three; the rest is what a client wrote.
const HOPS: usize = 16;

/// The client's address. `peer`: where the connection comes from.
///
/// X-Forwarded-For counts only from a proxy in `trusted` (`api.trusted_proxies`). It is read from the right, because each
/// proxy adds to its end the address that it was called from: the client's is the last that is no trusted proxy's. What
/// stands before it was written by the client. An entry that is no address ends the search at the proxy that sent it.
#[must_use]
pub fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut address = peer?.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&address) {
        return Some(address);
    }
    let fields: Vec<&[u8]> = headers.get_all("x-forwarded-for").map(HeaderValue::as_bytes).collect();
    let hops = fields.iter().rev().flat_map(|field| field.rsplit(|b| *b == b','));
    for hop in hops.take(HOPS) {
        let Some(next) = std::str::from_utf8(hop).ok().and_then(|hop| parse(hop.trim())) else { break };
        address = next;
        if !is_trusted(&address) {
            break;
        }
    }
    Some(address)
}

/// An address, with or without a port.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderName;

    fn seen(peer: &str, fields: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(HeaderName::from_static("x-forwarded-for"), HeaderValue::from_str(field).unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client_address(Some(peer.parse().unwrap()), &headers, &trusted).unwrap().to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_who_the_client_is() {
        assert_eq!(seen("192.0.2.1", &["203.0.113.9"]), "192.0.2.1", "it is a client's own header");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(seen("::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
        assert_eq!(seen("fd00::1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn it_is_read_from_the_right_as_far_as_proxies_are_trusted() {
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1", "203.0.113.9,10.0.0.2"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3", "a client inside the network");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9, "]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[&"10.0.0.2,".repeat(3_000)]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.9:5000"]), "203.0.113.9");
    }
}
