//! Who may write: without tokens, only this machine, asked by its own name.
//!
//! The peer must be loopback. That alone would let any web page in a browser on this machine write (it
//! can send requests to loopback, by its own address or by a name that it rebinds), so the Host must be
//! this server's loopback name with its port, and an Origin, if there is one, must be the same. A request
//! that a proxy passed on is somebody else's.

use std::net::SocketAddr;

use axum::http::{HeaderMap, StatusCode, header};

use super::problem::Problem;

/// Names of this machine that nobody else can take.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Headers that a proxy leaves.
const FORWARDED: [&str; 4] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
];

/// Whether this request may write.
pub(super) fn allowed(
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    port: u16,
) -> Result<(), Problem> {
    let refuse = |why: &str| {
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "writing-refused",
            format!("writing is taken only from this machine itself: {why}"),
        ))
    };
    if !peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        return refuse("the request comes from another address");
    }
    if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        return refuse("the request was passed on by a proxy");
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (
        hosts.next().and_then(|host| host.to_str().ok()),
        hosts.next(),
    ) {
        (Some(host), None) => host,
        (Some(_) | None, _) => return refuse("there is not exactly one Host header"),
    };
    if !is_own(host, port) {
        return refuse("the Host header does not name this server's loopback address and port");
    }
    for origin in headers.get_all(header::ORIGIN) {
        let same = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("http://"))
            .is_some_and(|origin| origin.eq_ignore_ascii_case(host));
        if !same {
            return refuse("the Origin header names another site");
        }
    }
    Ok(())
}

fn is_own(host: &str, port: u16) -> bool {
    NAMES.iter().any(|name| {
        let Some(rest) = host
            .get(..name.len())
            .filter(|start| start.eq_ignore_ascii_case(name))
            .and_then(|_| host.get(name.len()..))
        else {
            return false;
        };
        match rest.strip_prefix(':') {
            Some(digits) => digits.parse() == Ok(port),
            None => rest.is_empty() && port == 80,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 9811;

    fn writes(peer: &str, lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        allowed(Some(peer.parse().unwrap()), &headers, PORT).is_ok()
    }

    #[test]
    fn this_machine_may_write_by_each_of_its_names() {
        for host in [
            "localhost:9811",
            "LOCALHOST:9811",
            "127.0.0.1:9811",
            "[::1]:9811",
        ] {
            assert!(writes("127.0.0.1:40000", &[("host", host)]), "{host}");
        }
        assert!(writes("[::1]:40000", &[("host", "[::1]:9811")]));
        assert!(writes(
            "[::ffff:127.0.0.1]:1",
            &[("host", "localhost:9811")]
        ));
        let same = [
            ("host", "localhost:9811"),
            ("origin", "http://localhost:9811"),
        ];
        assert!(writes("127.0.0.1:40000", &same));
    }

    #[test]
    fn strangers_may_not() {
        assert!(!writes("192.0.2.7:40000", &[("host", "localhost:9811")]));
        assert!(!writes("127.0.0.1:40000", &[]));
        for host in [
            "evil.example:9811",
            "localhost.evil.example:9811",
            "127.0.0.1.evil.example:9811",
            "localhost",
            "localhost:80",
            "localhost:9811:9811",
            "",
        ] {
            assert!(!writes("127.0.0.1:40000", &[("host", host)]), "{host}");
        }
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:80",
            "https://localhost:9811",
        ] {
            let lines = [("host", "localhost:9811"), ("origin", origin)];
            assert!(!writes("127.0.0.1:40000", &lines), "{origin}");
        }
        let twice = [("host", "localhost:9811"), ("host", "evil.example")];
        assert!(!writes("127.0.0.1:40000", &twice));
        let passed_on = [("host", "localhost:9811"), ("x-forwarded-for", "192.0.2.7")];
        assert!(!writes("127.0.0.1:40000", &passed_on));
        assert!(allowed(None, &HeaderMap::new(), PORT).is_err());
    }
}
