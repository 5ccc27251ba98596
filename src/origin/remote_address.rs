//! Which addresses an `https://` origin may lead to: the globally routable ones, by a list of
//! what is allowed. Looked up by ourselves and checked on the very addresses that are dialled, so
//! that no name and no change of a name between two looks leads into the network of the service.
//! Never dials.

use super::remote::RemoteFault;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Looks names up as the system does and keeps what is public.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(RemoteFault::PrivateAddress.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is globally routable unicast. Everything the IANA registries of special
/// purposes name is not, nor are forms that carry an IPv4 address inside an IPv6 one, since
/// whoever translates them decides where they lead.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    #[expect(
        clippy::unnested_or_patterns,
        reason = "a line each is easier to check against the registry"
    )]
    let special = matches!(
        (a, b, c, d),
        // This network, private, loopback.
        (0 | 10 | 127, ..) | (172, 16..=31, ..) | (192, 168, ..)
        // Carriers' own translation, and one cloud's metadata.
        | (100, 64..=127, ..)
        // Link-local: the metadata of most clouds.
        | (169, 254, ..)
        // Protocol assignments, documentation, AS112, AMT, 6to4 relays.
        | (192, 0, 0 | 2, _) | (192, 31, 196, _) | (192, 52, 193, _) | (192, 88, 99, _)
        | (192, 175, 48, _) | (198, 51, 100, _) | (203, 0, 113, _)
        // Benchmarks.
        | (198, 18 | 19, ..)
        // Looks public and is the host of an Azure machine.
        | (168, 63, 129, 16)
        // Multicast, reserved, broadcast.
        | (224..=255, ..)
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, _, _, e, f, ..] = address.segments();
    // Global unicast is 2000::/3. Outside of it lie loopback, mapped and compatible IPv4, both
    // NAT64 prefixes, discard, unique local, link-local, segment routing and multicast.
    let global = a & 0xE000 == 0x2000;
    #[expect(
        clippy::unnested_or_patterns,
        reason = "a line each is easier to check against the registry"
    )]
    let special = matches!(
        (a, b),
        // Protocol assignments: Teredo, benchmarks, ORCHID.
        (0x2001, 0..=0x1FF)
        // Documentation.
        | (0x2001, 0x0DB8) | (0x3FFF, 0..=0x0FFF)
        // 6to4.
        | (0x2002, _)
        // AS112.
        | (0x2620, 0x004F)
    );
    // ISATAP: an IPv4 address behind this interface identifier, in any network.
    let isatap = matches!(e, 0 | 0x0200) && f == 0x5EFE;
    global && !special && !isatap
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr as _;

    #[test]
    fn what_is_not_globally_routable_is_refused_in_every_spelling() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.1.1",
            "192.175.48.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:93.184.216.34",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::a00:1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "2620:4f:8000::1",
            "2a00:1450:4001:800:0:5efe:a00:1",
            "2a00:1450:4001:800:200:5efe:808:808",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(IpAddr::from_str(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn public_addresses_and_the_neighbours_of_special_ones_are_let_through() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "168.63.129.17",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:2800:220:1::1",
            "2a00:1450:4001:800::200e",
            "3ffe:ffff::1",
        ] {
            assert!(is_public(IpAddr::from_str(text).unwrap()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused_in_a_sentence() {
        let name = "localhost".parse().unwrap();
        let Err(error) = PublicOnly.resolve(name).await else { panic!("it was let through") };
        assert_eq!(error.downcast_ref(), Some(&RemoteFault::PrivateAddress));
        assert!(error.to_string().contains("ALLOW_PRIVATE"), "{error}");
    }
}
