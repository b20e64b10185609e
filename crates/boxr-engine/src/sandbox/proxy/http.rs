//! What a client of HTTP asks a proxy for (RFC 9110, section 9.3.6; RFC 9112, section 3.2).

/// A request that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub host: String,
    pub port: u16,
    /// What the server is sent first; `None` where the client asks for a tunnel.
    pub head: Option<Vec<u8>>,
}

/// Headers that are between the client and its proxy, and not for the server (RFC 9110, section 7.6.1). `Host` is the
/// URL's (RFC 9112, section 3.2.2).
const HOP: [&str; 6] = [
    "proxy-connection",
    "proxy-authorization",
    "connection",
    "keep-alive",
    "host",
    "upgrade-insecure-requests",
];

/// Reads the lines of a request; `None` where they are none that a proxy serves.
pub(super) fn request(lines: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(lines).ok()?;
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_token =
        !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    if !is_token || words.next().is_some() || !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return None;
    }
    if method == "CONNECT" {
        let (host, port) = authority(target, None)?;
        return Some(Request { host, port, head: None });
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(at);
    let (host, port) = authority(place, Some(80))?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {place}\r\n");
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, _) = line.split_once(':')?;
        // A folded or broken line could be read as something else by the server.
        if name.is_empty() || name.bytes().any(|byte| !byte.is_ascii_graphic()) || line.contains('\r') {
            return None;
        }
        if !HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop)) {
            head.push_str(line);
            head.push_str("\r\n");
        }
    }
    // One request for each connection: the next one may be for another host.
    head.push_str("Connection: close\r\n\r\n");
    Some(Request { host, port, head: Some(head.into_bytes()) })
}

/// `HOST:PORT`, without a user.
fn authority(text: &str, usual: Option<u16>) -> Option<(String, u16)> {
    if text.contains('@') {
        return None;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, after.strip_prefix(':').or((after.is_empty()).then_some(""))?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" => usual?,
        digits => digits
            .parse()
            .ok()
            .filter(|port| *port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()))?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tunnels_and_urls() {
        let tunnel = request(b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(tunnel, Request { host: "example.org".into(), port: 443, head: None });
        let plain = b"GET http://example.org/a?b HTTP/1.1\r\nHost: evil\r\nProxy-Connection: keep-alive\r\nAccept: */*\r\nConnection: x\r\n\r\n";
        let plain = request(plain).unwrap();
        assert_eq!((plain.host.as_str(), plain.port), ("example.org", 80));
        assert_eq!(
            String::from_utf8(plain.head.unwrap()).unwrap(),
            "GET /a?b HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(request(b"GET http://[::1]:81 HTTP/1.1\r\n\r\n").unwrap().port, 81);
        assert_eq!(request(b"GET http://[::1]:81?x HTTP/1.0\n\n").unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_request_for_a_proxy_is_none() {
        for text in [
            "",
            "GET",
            "GET / HTTP/1.1\r\n\r\n",
            "GET https://a/ HTTP/1.1\r\n\r\n",
            "GET ftp://a/ HTTP/1.1\r\n\r\n",
            "CONNECT a HTTP/1.1\r\n\r\n",
            "CONNECT a:0 HTTP/1.1\r\n\r\n",
            "CONNECT a:99999 HTTP/1.1\r\n\r\n",
            "CONNECT a:+1 HTTP/1.1\r\n\r\n",
            "CONNECT u@a:1 HTTP/1.1\r\n\r\n",
            "CONNECT :1 HTTP/1.1\r\n\r\n",
            "GET http://u@a/ HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/2\r\n\r\n",
            "GET http://a/ x HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n folded\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nno colon\r\n\r\n",
            "G\u{1}T http://a/ HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(request(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(request(&bytes));
        }

        #[test]
        fn no_line_break_gets_into_a_head(path in "[ -~\r\n]{0,30}", header in "[ -~\r\n]{0,30}") {
            let text = format!("GET http://a/{path} HTTP/1.1\r\nX: {header}\r\n\r\n");
            if let Some(Request { head: Some(head), .. }) = request(text.as_bytes()) {
                let head = String::from_utf8(head).unwrap();
                prop_assert_eq!(head.matches("\r\n\r\n").count(), 1);
            }
        }
    }
}
