//! Which servers may be asked: hosts are checked by name, addresses when they are connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, Url};

use crate::config::Network;

/// IPv4 ranges without public servers: this machine, private and link-local networks, carrier-grade NAT, metadata services,
/// documentation, benchmarks, 6to4 relays, multicast, and reserved ranges.
const PRIVATE: [Ipv4Net; 16] = [
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(168, 63, 129, 16), 32),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 88, 99, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
    Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
    Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Ranges inside the public part of IPv6 without public servers: protocol assignments (Teredo among them), documentation, 6to4.
const PRIVATE_V6: [Ipv6Net; 4] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    Ipv6Net::new_assert(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// The hosts and addresses that may be asked.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    hosts: Vec<Pattern>,
    networks: Vec<Network>,
}

#[derive(Debug, Clone)]
struct Pattern {
    host: String,
    /// Written as `*.host`: matches every name below `host`, and not `host` itself.
    wildcard: bool,
    port: Option<u16>,
}

impl Guard {
    pub(super) fn new(hosts: &[String], networks: &[Network]) -> Self {
        Self { hosts: hosts.iter().map(|host| Pattern::read(host)).collect(), networks: networks.to_vec() }
    }

    /// Whether a host is listed in `outgoing.allow_hosts`. False for every host if the list is empty.
    pub(super) fn lists(&self, host: &str, port: u16) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host, port))
    }

    /// Refuses a URL whose host is not listed, or is written as an address that is not allowed.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), String> {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err("the URL has no host".into());
        };
        let text = host.to_string();
        if !self.hosts.is_empty() && !self.lists(&text, port) {
            return Err(format!("{text}:{port} is not listed in `outgoing.allow_hosts`"));
        }
        match host {
            Host::Ipv4(address) => self.check_address(address.into()),
            Host::Ipv6(address) => self.check_address(address.into()),
            Host::Domain(_) => Ok(()),
        }
    }

    /// Refuses an address that is neither public nor allowed. If it embeds an IPv4 address, both must be allowed.
    pub(super) fn check_address(&self, address: IpAddr) -> Result<(), String> {
        let allowed = |address: IpAddr| is_public(address) || self.networks.iter().any(|net| net.contains(address));
        let embedded = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => embedded(address).map(IpAddr::V4),
        };
        if allowed(address) && embedded.is_none_or(allowed) {
            return Ok(());
        }
        Err(format!("{address} is not a public address and not listed in `outgoing.allow_addresses`"))
    }
}

impl Pattern {
    fn read(text: &str) -> Self {
        let (host, wildcard) = match text.strip_prefix("*.") {
            Some(host) => (host, true),
            None => (text, false),
        };
        // The last colon begins the port in `[::1]:80` and `host:80`, but not in `[::1]`.
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            Some(_) | None => (host, None),
        };
        Self { host: normalized(host), wildcard, port }
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        let host = normalized(host);
        let matches = match self.wildcard {
            true => host.strip_suffix(&self.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            false => host == self.host,
        };
        matches && self.port.is_none_or(|expected| expected == port)
    }
}

/// A name in the form that is compared: lower case, without a final dot.
fn normalized(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !PRIVATE.iter().any(|net| net.contains(&address)),
        // All public addresses begin with 001; private, link-local and most embedded IPv4 addresses do not.
        IpAddr::V6(address) => address.to_bits() >> 125 == 1 && !PRIVATE_V6.iter().any(|net| net.contains(&address)),
    }
}

/// The IPv4 address inside a mapped, compatible, NAT64 (`64:ff9b::/96`) or 6to4 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match (a, b) {
        // `::` and `::1` are addresses of IPv6 itself, the unspecified one and the loopback.
        (0, 0) if address.is_loopback() || address.is_unspecified() => None,
        (0, 0) if (c, d, e) == (0, 0, 0) && (f == 0 || f == 0xffff) => Some(join(g, h)),
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => Some(join(g, h)),
        (0x2002, _) => Some(join(b, c)),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(hosts: &[&str], networks: &[&str]) -> Guard {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let networks: Vec<Network> = networks.iter().map(|network| network.parse().unwrap()).collect();
        Guard::new(&hosts, &networks)
    }

    fn allows(guard: &Guard, url: &str) -> bool {
        guard.check_url(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn a_private_address_is_refused_in_every_notation() {
        let guard = guard(&[], &[]);
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://①②⑦.0.0.1/",
            "http://0/",
            "http://10.1.2.3/",
            "http://172.31.255.255/",
            "http://192.168.0.1/",
            "http://169.254.169.254/",
            "http://168.63.129.16/",
            "http://100.100.100.200/",
            "http://100.127.0.1/",
            "http://198.19.0.1/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://192.0.0.192/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::127.0.0.1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::ffff:8.8.8.8]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[64:ff9b::808:808]/",
            "http://[64:ff9b:1::1]/",
            "http://[2002:7f00:1::]/",
            "http://[2002:808:808::]/",
            "http://[2001:0:53aa::1]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://[fec0::1]/",
            "http://[ff02::1]/",
            "http://[2001:db8::1]/",
            "http://[5f00::1]/",
        ] {
            assert!(!allows(&guard, url), "{url}");
        }
    }

    #[test]
    fn public_servers_are_allowed() {
        let guard = guard(&[], &[]);
        for url in [
            "http://8.8.8.8/",
            "http://100.63.255.255/",
            "http://100.128.0.1/",
            "http://172.32.0.1/",
            "http://11.0.0.1/",
            "http://[2606:4700::1111]/",
            "http://[2a00:1450::1]/",
            "https://example.com/",
        ] {
            assert!(allows(&guard, url), "{url}");
        }
    }

    #[test]
    fn an_embedded_address_and_the_address_around_it_must_both_be_allowed() {
        assert!(!allows(&guard(&[], &["64:ff9b::/96"]), "http://[64:ff9b::7f00:1]/"));
        assert!(allows(&guard(&[], &["64:ff9b::/96"]), "http://[64:ff9b::808:808]/"));
        assert!(allows(&guard(&[], &["64:ff9b::/96", "127.0.0.0/8"]), "http://[64:ff9b::7f00:1]/"));
        assert!(!allows(&guard(&[], &["127.0.0.0/8"]), "http://[::ffff:127.0.0.1]/"));
        assert!(allows(&guard(&[], &["127.0.0.0/8"]), "http://0x7f.1:99/"));
    }

    #[test]
    fn the_loopback_of_ipv6_is_allowed_by_its_own_address() {
        assert!(allows(&guard(&[], &["::1"]), "http://[::1]:80/"));
        assert!(allows(&guard(&[], &["::"]), "http://[::]/"));
        assert!(!allows(&guard(&[], &["::1"]), "http://[::2]/") && !allows(&guard(&[], &["::1"]), "http://127.0.0.1/"));
        assert!(!allows(&guard(&[], &["0.0.0.1", "127.0.0.0/8"]), "http://[::1]/"));
    }

    #[test]
    fn a_list_of_hosts_excludes_all_others() {
        let guard = guard(&["api.example.com", "*.shop.test:8443", "[2606:4700::1111]"], &[]);
        for url in [
            "https://api.example.com/x",
            "https://API.example.com.:9/",
            "https://a.shop.test:8443/",
            "https://b.a.shop.test:8443/",
            "http://[2606:4700::1111]/",
        ] {
            assert!(allows(&guard, url), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://api.example.com.evil.test/",
            "https://evilapi.example.com/",
            "https://shop.test:8443/",
            "https://a.shop.test/",
            "https://evilshop.test:8443/",
            "https://8.8.8.8/",
        ] {
            assert!(!allows(&guard, url), "{url}");
        }
    }
}
