//! One request and its answer on one connection.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::pin;

use ::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::BODY_BYTES_MAX;
use crate::domain::observation::{Fault, Stage};
use crate::probe::attempt::Progress;
use crate::probe::connect::stream_fault;

/// The body of a request: the configuration's text.
pub(super) type Body = Full<Bytes>;

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Empty if nobody wants to read it.
    pub(super) body: Vec<u8>,
}

/// Whether the answer's body is part of the expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It is kept, and must fit.
    Whole,
    /// It is read to its end, to see that it has one, but not kept; beyond the limit it is left.
    Passing,
}

/// Sends the request and reads the answer: the stages `first-byte` and `body`.
pub(super) async fn exchange<S>(
    stream: S,
    request: Request<Body>,
    wanted: Wanted,
    progress: &mut Progress,
) -> Result<Answer, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    progress.enter(Stage::FirstByte);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| fault(&error))?;
    let mut carrier = Carrier {
        connection,
        ended: false,
    };
    let response = carrier
        .beside(sender.send_request(request))
        .await
        .map_err(|error| fault(&error))?;
    progress.enter(Stage::Body);
    let (head, body) = response.into_parts();
    let body = read(body, wanted, &mut carrier).await?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
    })
}

async fn read<S>(
    mut body: Incoming,
    wanted: Wanted,
    carrier: &mut Carrier<S>,
) -> Result<Vec<u8>, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let too_large = || Fault::TooLarge(BODY_BYTES_MAX as u64);
    let announced = body.size_hint().lower();
    if wanted == Wanted::Whole && announced > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut kept = Vec::new();
    let mut seen = 0;
    while !body.is_end_stream() {
        let Some(frame) = carrier.beside(body.frame()).await else {
            break;
        };
        let frame = frame.map_err(|error| fault(&error))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        seen += data.len();
        match wanted {
            Wanted::Whole if seen > BODY_BYTES_MAX => return Err(too_large()),
            Wanted::Whole => kept.extend_from_slice(data),
            Wanted::Passing if seen >= BODY_BYTES_MAX => break,
            Wanted::Passing => {}
        }
    }
    Ok(kept)
}

/// The connection, polled in the same task as what it carries.
struct Carrier<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    connection: http1::Connection<TokioIo<S>, Body>,
    ended: bool,
}

impl<S> Carrier<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Polls the connection first: it writes the request, and when it has read the answer, `carried`
    /// is ready in the same turn. The connection's own error also ends what it carries. It is never shut
    /// down by halves: the look drops it whole when it has seen enough.
    async fn beside<F: Future>(&mut self, carried: F) -> F::Output {
        let mut carried = pin!(carried);
        poll_fn(|cx| {
            if !self.ended && self.connection.poll_without_shutdown(cx).is_ready() {
                self.ended = true;
            }
            carried.as_mut().poll(cx)
        })
        .await
    }
}

/// What stopped the exchange.
fn fault(error: &hyper::Error) -> Fault {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            if let Some(fault) = stream_fault(io) {
                return fault;
            }
            if let Some(tls) = io.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                return Fault::Tls(tls.to_string().into());
            }
        }
        cause = inner.source();
    }
    let closed = error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || error.is_body_write_aborted();
    if closed {
        return Fault::Reset;
    }
    // `hyper` names the part that it could not read, never its content.
    Fault::Protocol(error.to_string().into())
}
