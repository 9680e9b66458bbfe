//! A TCP proxy that stands before something real and breaks on demand, at run time.
//!
//! ```text
//!   client ──► proxy ──► upstream        Pass
//!          ─x                            Refuse: nobody listens, open connections are reset
//!          ──► (silence)                 BlackHole: accepted, then nothing, open ones included
//!          ──► proxy ──► upstream        LoseAnswers: requests arrive, nothing comes back
//!          ──► proxy                     HoldRequests: they wait here until it is mended; answers pass
//!          ──► proxy ──► upstream        CutMidBody: half of the next answer's body, then a reset
//!          ──► proxy ──► upstream        Slow: each piece of an answer is held back
//!          ──► proxy                     Answer: this HTTP answer, whatever was asked
//! ```
//!
//! A packet dropped on the way to `connect` cannot be had on loopback without the firewall; to a client
//! with one deadline over the whole request it looks the same as `BlackHole`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::doorway;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Pass,
    Refuse,
    BlackHole,
    /// What was asked has happened, and the asker cannot know. A new TLS connection cannot even begin, so
    /// break one that is open.
    LoseAnswers,
    /// What is asked happens when it is mended, whatever the asker has become by then.
    HoldRequests,
    CutMidBody,
    Slow(Duration),
    /// For plain HTTP: a status, a content type and a body, then the connection is closed.
    Answer {
        status: u16,
        content_type: &'static str,
        body: String,
    },
}

pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    /// Told whenever the listener was opened or closed, so that `set` is true when it returns.
    listening: watch::Receiver<bool>,
    _tasks: JoinSet<()>,
}

impl FaultProxy {
    /// Starts passing everything to `upstream`, which need not be there yet.
    pub async fn start(upstream: SocketAddr) -> Self {
        let (listener, address) = doorway::open_somewhere().await;
        let (fault, faults) = watch::channel(Fault::Pass);
        let (told, listening) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, upstream, faults, told));
        Self {
            address,
            fault,
            listening,
            _tasks: tasks,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks or mends it; connections already open are concerned too.
    pub async fn set(&mut self, fault: Fault) {
        let listens = fault != Fault::Refuse;
        self.fault.send_replace(fault);
        self.listening
            .wait_for(|now| *now == listens)
            .await
            .expect("the proxy's task runs");
    }
}

/// The listener's two states; the address is held in both.
enum Door {
    Open(TcpListener),
    Closed(TcpSocket),
}

impl Door {
    fn close(self, address: SocketAddr) -> Self {
        match self {
            Self::Open(listener) => {
                drop(listener);
                Self::Closed(doorway::hold(address))
            }
            closed @ Self::Closed(_) => closed,
        }
    }

    fn open(self) -> Self {
        match self {
            Self::Closed(held) => Self::Open(doorway::open(held)),
            open @ Self::Open(_) => open,
        }
    }

    async fn accept(&self) -> std::io::Result<TcpStream> {
        match self {
            Self::Open(listener) => listener.accept().await.map(|(client, _)| client),
            Self::Closed(_) => std::future::pending().await,
        }
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    mut faults: watch::Receiver<Fault>,
    told: watch::Sender<bool>,
) {
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    let mut door = Door::Open(listener);
    let mut connections = JoinSet::new();
    loop {
        let refuses = *faults.borrow_and_update() == Fault::Refuse;
        door = if refuses {
            door.close(address)
        } else {
            door.open()
        };
        told.send_replace(!refuses);
        // Fair on purpose: all arms are cancel-safe and none must starve.
        tokio::select! {
            accepted = door.accept() => {
                if let Ok(client) = accepted {
                    connections.spawn(connection(client, upstream, faults.clone()));
                }
            }
            changed = faults.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// What became of a piece of an answer.
enum Flow {
    On,
    Reset,
}

async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut faults: watch::Receiver<Fault>,
) {
    let mut server = None;
    let mut from_client = vec![0; 16 * 1024];
    let mut from_server = vec![0; 16 * 1024];
    loop {
        let fault = faults.borrow_and_update().clone();
        match &fault {
            Fault::Refuse => return reset(client),
            Fault::BlackHole => {
                if faults.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Fault::Answer {
                status,
                content_type,
                body,
            } => {
                return answer(client, *status, content_type, body).await;
            }
            Fault::Pass
            | Fault::LoseAnswers
            | Fault::HoldRequests
            | Fault::CutMidBody
            | Fault::Slow(_) => {}
        }
        let server = match &mut server {
            Some(server) => server,
            none => match TcpStream::connect(upstream).await {
                Ok(connected) => none.insert(connected),
                // What stands behind is not there: the client shall see the same.
                Err(_) => return reset(client),
            },
        };
        tokio::select! {
            // The fault first: once `set` has returned, nothing more passes under the old one.
            biased;
            changed = faults.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            read = client.read(&mut from_client), if fault != Fault::HoldRequests => match read {
                Ok(count) if count > 0 => {
                    if server.write_all(&from_client[..count]).await.is_err() {
                        return reset(client);
                    }
                }
                Ok(_) | Err(_) => return,
            },
            read = server.read(&mut from_server) => match read {
                Ok(count) if count > 0 => {
                    let piece = &from_server[..count];
                    if let Flow::Reset = answer_piece(&mut client, piece, &fault).await {
                        return reset(client);
                    }
                }
                Ok(_) | Err(_) => return,
            },
        }
    }
}

/// Passes on a piece of the upstream's answer, or as much of it as the fault lets through.
async fn answer_piece(client: &mut TcpStream, piece: &[u8], fault: &Fault) -> Flow {
    let (passed, then) = match fault {
        Fault::LoseAnswers => return Flow::On,
        Fault::CutMidBody => (&piece[..cut(piece)], Flow::Reset),
        Fault::Slow(delay) => {
            tokio::time::sleep(*delay).await;
            (piece, Flow::On)
        }
        // The others are seen before anything is read.
        Fault::Pass
        | Fault::Refuse
        | Fault::BlackHole
        | Fault::HoldRequests
        | Fault::Answer { .. } => (piece, Flow::On),
    };
    match client.write_all(passed).await {
        Ok(()) => then,
        Err(_) => Flow::Reset,
    }
}

/// How much of an answer is let through: its head and half of what there is of the body. Of what has no
/// head (TLS, a later piece) half.
fn cut(piece: &[u8]) -> usize {
    let body_at = piece
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(0, |at| at + 4);
    body_at + (piece.len() - body_at) / 2
}

async fn answer(mut client: TcpStream, status: u16, content_type: &str, body: &str) {
    // The request is read first, else the client may see a reset instead of the answer.
    let mut request = vec![0; 16 * 1024];
    if !matches!(client.read(&mut request).await, Ok(count) if count > 0) {
        return;
    }
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} Fault\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    if client.write_all(text.as_bytes()).await.is_ok() {
        // The other side may be gone already, and that is as good an end.
        client.shutdown().await.ok();
    }
}

/// Ends a connection as a crash or a firewall would: by a reset and not by a polite end.
fn reset(client: TcpStream) {
    // If it cannot be set, the polite end that follows is still an end.
    client.set_zero_linger().ok();
    drop(client);
}
