//! What an HTTP answer, or the lack of one, means for a delivery.
//!
//! Texts made here are stored, logged and shown: they consist of status codes and of our own words,
//! because an error of a client library may carry the URL, and a body may carry anything.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use super::Sent;
use crate::domain::time::{Spelled, Timestamp};

/// Judges a status: taken, try again, or never.
#[must_use]
pub fn of_status(status: StatusCode, after: Option<Duration>, detail: Option<&str>) -> Sent {
    let mut text = match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    };
    if let Some(detail) = detail {
        text = format!("{text}: {detail}");
    }
    let again = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if status.is_success() {
        Sent::Taken(text.into())
    } else if status.is_server_error() || again.contains(&status) {
        Sent::Again {
            why: text.into(),
            after,
        }
    } else if status.is_redirection() {
        Sent::Refused(format!("{text}: redirects are not followed").into())
    } else {
        Sent::Refused(text.into())
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    let date = Timestamp::from_micros(date.ok()?.as_microsecond());
    Some(date.since(now))
}

/// No answer within the deadline.
#[must_use]
pub fn timed_out(after: Duration) -> Sent {
    again(format!("timed out after {}", Spelled(after)))
}

/// Try again, for a reason of ours.
#[must_use]
pub fn again(why: impl Into<Arc<str>>) -> Sent {
    Sent::Again {
        why: why.into(),
        after: None,
    }
}

/// What went wrong on the way, in our own words.
#[must_use]
pub fn fault(error: &(dyn Error + 'static)) -> &'static str {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            if let Some(text) = of_kind(io.kind()) {
                return text;
            }
            // The source of an I/O error is its content's source, so the content would be skipped.
            if let Some(inner) = io.get_ref() {
                next = Some(inner);
                continue;
            }
        }
        if error.is::<rustls::Error>() {
            return TLS;
        }
        if let Some(hyper) = error.downcast_ref::<hyper::Error>()
            && (hyper.is_incomplete_message() || hyper.is_closed())
        {
            return CLOSED;
        }
        if error.to_string() == "dns error" {
            return "the name of the host cannot be resolved";
        }
        next = error.source();
    }
    "the connection failed"
}

const TLS: &str = "the TLS handshake failed";
const CLOSED: &str = "the connection was closed before the answer";

const fn of_kind(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("the connection was refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Some("the connection was reset")
        }
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Some(CLOSED),
        io::ErrorKind::TimedOut => Some("the connection timed out"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some("the host cannot be reached")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16) -> &'static str {
        match of_status(StatusCode::from_u16(status).unwrap(), None, None) {
            Sent::Taken(_) => "taken",
            Sent::Again { .. } => "again",
            Sent::Refused(_) => "refused",
        }
    }

    #[test]
    fn only_a_status_that_may_change_is_tried_again() {
        for status in [200, 201, 202, 204] {
            assert_eq!(verdict(status), "taken", "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(verdict(status), "again", "{status}");
        }
        for status in [
            301, 302, 307, 400, 401, 403, 404, 405, 409, 410, 413, 418, 422,
        ] {
            assert_eq!(verdict(status), "refused", "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
        let cases = [
            ("120", Some(120)),
            ("0", Some(0)),
            ("Mon, 05 Jan 2026 09:01:30 GMT", Some(90)),
            ("Mon, 05 Jan 2026 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ];
        for (text, seconds) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expected, "{text}");
        }
    }
}
