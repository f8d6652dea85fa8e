//! The header of the PROXY protocol, version 2, which tells the instance where a connection comes from.
//!
//! <https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt>, section 2.2.

use std::net::{IpAddr, SocketAddr};

use crate::stream::Ends;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, and the connection of the proxy itself.
const LOCAL: u8 = 0x20;
/// Version 2, and the connection of a client.
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// The header for a client. One over a unix socket has no address, and is told as the proxy's own connection.
pub(crate) fn header(ends: Option<&Ends>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some(Ends { client, local }) = ends else {
        header.extend([LOCAL, UNSPECIFIED, 0, 0]);
        return header;
    };
    match (client.ip(), local.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([PROXY, TCP_OVER_IPV4, 0, 12]);
            header.extend(from.octets().into_iter().chain(to.octets()));
        }
        (from, to) => {
            header.extend([PROXY, TCP_OVER_IPV6, 0, 36]);
            header.extend([from, to].into_iter().flat_map(octets));
        }
    }
    header.extend([client, local].into_iter().map(SocketAddr::port).flat_map(u16::to_be_bytes));
    header
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, local: &str) -> Ends {
        let parse = |text: &str| text.parse().expect("an address");
        Ends { client: parse(client), local: parse(local) }
    }

    #[test]
    fn the_header_has_both_addresses_in_network_order() {
        let header4 = header(Some(&ends("10.0.0.7:258", "127.0.0.1:5432")));
        assert_eq!(header4[..12], SIGNATURE);
        assert_eq!(header4[12..], [0x21, 0x11, 0, 12, 10, 0, 0, 7, 127, 0, 0, 1, 1, 2, 0x15, 0x38]);
        let header6 = header(Some(&ends("[::1]:258", "[::2]:5432")));
        assert_eq!((header6.len(), &header6[12..16]), (52, &[0x21, 0x21, 0, 36][..]));
        assert_eq!((header6[31], header6[47], &header6[48..]), (1, 2, &[1, 2, 0x15, 0x38][..]));
        assert_eq!(header(None)[12..], [0x20, 0, 0, 0]);
    }
}
