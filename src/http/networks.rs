//! Source addresses: networks from the settings, and who is behind a proxy.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{HeaderMap, HeaderValue, X_FORWARDED_FOR};
use ipnet::IpNet;

/// So many hops of `X-Forwarded-For` are looked at, from the right.
const MAX_HOPS: usize = 16;

/// Networks of IP addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads networks such as `10.0.0.0/8`, `2001:db8::/32` and single addresses.
    ///
    /// # Errors
    /// The first text that is none, with what is wrong.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Networks, String> {
        let entries = texts.into_iter().zip(1..);
        // By its number: what was written there by mistake may be a secret.
        let networks = entries.map(|(text, number)| network(text).map_err(|fault| format!("entry {number} {fault}")));
        networks.collect::<Result<_, _>>().map(Networks)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is the whole internet.
    pub fn hold_everything(&self) -> bool {
        self.0.iter().any(|network| network.prefix_len() == 0)
    }

    /// Whether one of them holds the address.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who asks, where these are the trusted proxies: the peer of the connection, or when that is a proxy, what the proxies
    /// wrote to `X-Forwarded-For`, read from the right up to the first address that is not theirs. What stands left of it
    /// was written by the caller and proves nothing.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contain(client) {
            return client;
        }
        let values: Vec<&HeaderValue> = headers.get_all(X_FORWARDED_FOR).collect();
        let hops = values.iter().rev().filter_map(|value| value.to_str().ok()).flat_map(|value| value.rsplit(','));
        for hop in hops.take(MAX_HOPS) {
            // What cannot be read came from no proxy of ours.
            let Some(address) = address(hop.trim()) else { break };
            client = address;
            if !self.contain(client) {
                break;
            }
        }
        client
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| "is not a network; write for example 10.0.0.0/8".to_owned())?;
    if network.trunc() != network {
        return Err(format!("has bits behind its prefix; write {} or {}", network.trunc(), network.addr()));
    }
    Ok(network)
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// The network around an address, for logs: enough to tell providers apart, not who it is.
pub(super) fn vicinity(address: IpAddr) -> String {
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).map(|network| network.trunc().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies = Networks::parse(proxies.iter().copied()).unwrap();
        let mut request = TestRequest::default();
        for value in forwarded {
            request = request.append_header(("X-Forwarded-For", *value));
        }
        proxies.client(peer.parse().unwrap(), request.to_http_request().headers()).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client(&[], "127.0.0.1", &["192.0.2.1"]), "127.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "203.0.113.9", &["192.0.2.1"]), "203.0.113.9");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "::ffff:10.1.2.3", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_the_caller_wrote_is_not_believed() {
        let proxies = ["10.0.0.0/8", "2001:db8:1::/48"];
        assert_eq!(client(&proxies, "10.0.0.1", &["127.0.0.1, 192.0.2.66, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(client(&proxies, "10.0.0.1", &["127.0.0.1, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(client(&proxies, "10.0.0.1", &["192.0.2.66", "198.51.100.7,10.0.0.2"]), "198.51.100.7");
        assert_eq!(client(&proxies, "10.0.0.1", &["198.51.100.7, 2001:db8:1::5"]), "198.51.100.7");
        // Nonsense ends the search at the last proxy.
        assert_eq!(client(&proxies, "10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client(&proxies, "10.0.0.1", &["198.51.100.7,"]), "10.0.0.1");
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (text, expected) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected);
        }
        for text in ["", "unknown", "_hidden", "192.0.2.1.", "192.0.2.0/24", "4242424242424242"] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn faulty_networks_are_refused_with_advice() {
        for text in ["10.0.0.0/33", "kmic.kz", "10.0.0", ""] {
            assert!(Networks::parse([text]).is_err(), "{text}");
        }
        assert!(Networks::parse(["10.1.2.3/8"]).unwrap_err().contains("10.0.0.0/8"));
        assert!(Networks::parse(["::/0"]).unwrap().hold_everything());
        assert_eq!(vicinity("192.0.2.77".parse().unwrap()), "192.0.2.0/24");
    }
}
