//! A range of addresses, written as `10.0.0.0/8`, or as one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the range contains the address. An IPv6 range never contains an IPv4 address, nor the reverse.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The parser of ipnet would accept `010.0.0.1`, which other programs read as 8.0.0.1.
        let network = match text.split_once('/') {
            Some((first, bits)) => {
                first.parse().ok().zip(bits.parse().ok()).and_then(|(first, bits)| IpNet::new(first, bits).ok())
            }
            None => text.parse::<IpAddr>().ok().map(IpNet::from),
        };
        network.map(Self).ok_or_else(|| {
            format!("`{text}` is not a valid address range: write it as 10.0.0.0/8, fd00::/8 or 127.0.0.1")
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_range_contains_the_addresses_that_begin_with_its_bits() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("10.9.9.9/8", "10.255.0.1") && !contains("10.9.9.9/8", "11.0.0.1"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && contains("::/0", "fe80::1"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fc00::1"));
        assert!(!contains("::/0", "10.0.0.1") && !contains("0.0.0.0/0", "::1"));
    }

    #[test]
    fn an_invalid_range_is_refused_with_an_example() {
        for text in
            ["", "10", "10.0.0.0/33", "::1/129", "10.0.0.0/", "example.com", "10.0.0.0/8/8", "010.0.0.1", "010.0.0.1/8"]
        {
            assert!(text.parse::<Network>().unwrap_err().contains("10.0.0.0/8"), "{text}");
        }
    }
}
