//! A target for tests: a real listener on loopback that does what it is told with each connection.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A self-signed certificate for `localhost` and `127.0.0.1`, made for these tests and used nowhere else.
const CERTIFICATE: &[u8] = include_bytes!("stand_in/cert.pem");
const KEY: &[u8] = include_bytes!("stand_in/key.pem");

/// What to do with a request.
pub(crate) enum Act {
    /// Write this and close.
    Answer(Vec<u8>),
    /// Write the first, wait, write the second, close.
    Slowly(Vec<u8>, Duration, Vec<u8>),
    /// Keep the connection open and say nothing.
    Silence,
    /// Write this, then this again and again for as long as somebody reads.
    Endless(Vec<u8>, Vec<u8>),
    /// Close without an answer.
    Close,
}

impl Act {
    pub(crate) fn status(status: &str) -> Self {
        Self::Answer(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").into())
    }

    pub(crate) fn body(body: &str) -> Self {
        let length = body.len();
        Self::Answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").into())
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::Answer(
            format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into(),
        )
    }
}

/// How connections are taken.
#[derive(Clone)]
enum Taking {
    Plain,
    Tls(TlsAcceptor),
    /// Resets each connection as soon as something was sent on it.
    Resetting,
}

type Script = Arc<dyn Fn(&str) -> Act + Send + Sync>;

/// The listener; its end is the end of everything it does.
pub(crate) struct StandIn {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl StandIn {
    pub(crate) async fn new(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        Self::taking(Taking::Plain, Arc::new(script)).await
    }

    pub(crate) async fn resetting() -> Self {
        Self::taking(Taking::Resetting, Arc::new(|_| Act::Close)).await
    }

    pub(crate) async fn tls(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
                PrivateKeyDer::from_pem_slice(KEY).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::taking(Taking::Tls(acceptor), Arc::new(script)).await
    }

    async fn taking(taking: Taking, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, taking, script, Arc::clone(&requests)));
        Self {
            address,
            requests,
            _tasks: tasks,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of the requests that came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Trusts the stand-in's certificate.
pub(crate) fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap())
        .unwrap();
    roots
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn accept(
    listener: TcpListener,
    taking: Taking,
    script: Script,
    requests: Arc<Mutex<Vec<String>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (taking, script, requests) = (taking.clone(), script.clone(), requests.clone());
        let serve: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            match taking {
                Taking::Plain => serve(stream, &script, &requests).await,
                Taking::Resetting => reset(stream).await,
                Taking::Tls(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &script, &requests).await;
                    }
                }
            }
        });
        connections.spawn(serve);
    }
}

/// A socket that is closed with unread bytes in it sends a reset.
async fn reset(stream: TcpStream) {
    stream.readable().await.unwrap();
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    script: &Script,
    requests: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let head = String::from_utf8(head).unwrap();
    let act = script(&head);
    requests.lock().unwrap().push(head);
    // What the probe leaves unread is its own choice.
    match act {
        Act::Answer(bytes) => {
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
        }
        Act::Slowly(first, pause, second) => {
            stream.write_all(&first).await.ok();
            tokio::time::sleep(pause).await;
            stream.write_all(&second).await.ok();
        }
        Act::Silence => {
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
        Act::Endless(first, again) => {
            let mut written = stream.write_all(&first).await;
            while written.is_ok() {
                written = stream.write_all(&again).await;
            }
        }
        Act::Close => {}
    }
}
