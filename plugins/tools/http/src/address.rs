//! Which addresses a name may lead to.
//!
//! A name is chosen by whoever runs its zone, so it must not lead into this machine, its network or the cloud's
//! metadata service. Refused is everything that the IANA special-purpose registries (RFC 6890) do not mark as globally
//! reachable, and every IPv6 form that carries an IPv4 address, judged by the address carried. An address that the
//! contract itself spells out is not asked about here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 blocks that are refused: first address, prefix length, what they are.
const REFUSED_V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private network"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier's private network"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "this machine"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's own service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local, where clouds keep credentials"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private network"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "reserved for examples"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private network"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "reserved for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "reserved for examples"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "reserved for examples"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved or broadcast"),
];

/// The only block of IPv6 that is the Internet.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// What is refused inside it.
const REFUSED_V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved for protocols, Teredo among them"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "reserved for examples"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4, which carries an IPv4 address"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "reserved for examples"),
];
/// NAT64 (RFC 6052): how IPv6-only networks reach IPv4. The address carried decides.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Why a name may not lead to this address; `None` where it may.
pub fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => refusal_v4(v4),
        IpAddr::V6(v6) => refusal_v6(v6),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let holds = |base: Ipv4Addr, prefix: u32| {
        bits.checked_shr(32 - prefix) == base.to_bits().checked_shr(32 - prefix)
    };
    REFUSED_V4.iter().find(|(base, prefix, _)| holds(*base, *prefix)).map(|(_, _, what)| *what)
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [.., a, b, c, d] = address.octets();
    let carried = Ipv4Addr::new(a, b, c, d);
    if holds_v6(NAT64, address) {
        return refusal_v4(carried);
    }
    if !holds_v6(GLOBAL_V6, address) {
        return Some("not an address of the Internet");
    }
    // ISATAP (RFC 5214): an IPv4 address behind 0:5efe or 200:5efe.
    if matches!(address.segments(), [.., 0 | 0x200, 0x5efe, _, _]) {
        return refusal_v4(carried);
    }
    REFUSED_V6.iter().find(|(base, prefix, _)| holds_v6((*base, *prefix), address)).map(|(_, _, what)| *what)
}

fn holds_v6((base, prefix): (Ipv6Addr, u32), address: Ipv6Addr) -> bool {
    address.to_bits().checked_shr(128 - prefix) == base.to_bits().checked_shr(128 - prefix)
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn f32_addresses_that_are_not_the_internet_are_refused_in_every_form() {
        let refused = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:0:4136:e378::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "3ffe::1:0:5efe:a00:1",
            "2600::5efe:7f00:1",
            "2600::200:5efe:c0a8:1",
            "5f00::1",
            "4000::1",
        ];
        for text in refused {
            assert!(refusal(text.parse().unwrap()).is_some(), "{text} must be refused");
        }
    }

    #[test]
    fn addresses_of_the_internet_pass_also_next_to_the_edges() {
        let passing = [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.17",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::808:808",
            "2600::5efe:808:808",
            "3ffe::1",
        ];
        for text in passing {
            assert_eq!(refusal(text.parse().unwrap()), None, "{text} must pass");
        }
    }
}
