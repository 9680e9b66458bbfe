//! From a host name to an open connection, and from an operating system's error to a fault.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::attempt::Progress;
use crate::domain::observation::{Fault, Stage};

/// Lookups at a time. `getaddrinfo` blocks a thread, for up to 5 s × tries × search domains if a
/// nameserver is dead, and goes on after the look that asked has given up. The runtime has 512 such
/// threads; an eighth of them can hang without anything else noticing.
const LOOKUPS_MAX: usize = 64;

/// A host and a port.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug)]
enum Host {
    Address(IpAddr),
    Name(Arc<str>),
}

/// The system's resolver, with a limit on how many threads it may hold.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    slots: Arc<Semaphore>,
}

// === impl Endpoint ===

impl Endpoint {
    /// A literal address (IPv6 with or without brackets) is not asked for at the resolver.
    pub(super) fn new(host: &str, port: u16) -> Self {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        let host = match bare.parse() {
            Ok(address) => Host::Address(address),
            Err(_) => Host::Name(bare.into()),
        };
        Self { host, port }
    }

    /// Opens a connection: the stages `resolve` (for names) and `connect`.
    pub(super) async fn open(
        &self,
        resolver: &Resolver,
        progress: &mut Progress,
    ) -> Result<TcpStream, Fault> {
        match &self.host {
            Host::Address(address) => {
                progress.enter(Stage::Connect);
                let address = SocketAddr::new(*address, self.port);
                TcpStream::connect(address)
                    .await
                    .map_err(|error| connect_fault(&error))
            }
            Host::Name(name) => {
                progress.enter(Stage::Resolve);
                let addresses = resolver.lookup(name.clone(), self.port).await?;
                progress.enter(Stage::Connect);
                first_open(&addresses, progress.deadline()).await
            }
        }
    }
}

/// Tries one address after the other. None may use more than its share of the time that is left, or a
/// dead first address (an IPv6 without a route) would hide a healthy second one.
async fn first_open(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Fault> {
    let mut fault = Fault::NameUnknown;
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let tries = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = if tries == 1 {
            // The last one may wait until the look's own deadline ends it.
            left + Duration::from_secs(1)
        } else {
            left / tries
        };
        fault = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => connect_fault(&error),
            Err(_) => Fault::TimedOut,
        };
    }
    Err(fault)
}

// === impl Resolver ===

impl Resolver {
    pub(super) fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(LOOKUPS_MAX)),
        }
    }

    async fn lookup(&self, name: Arc<str>, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        let Ok(slot) = self.slots.clone().acquire_owned().await else {
            return Err(Fault::ResolverSilent("no lookup is free".into()));
        };
        let asked = tokio::task::spawn_blocking(move || {
            // The slot is free when the thread is, not when the look has given up.
            let _slot = slot;
            (name.as_ref(), port)
                .to_socket_addrs()
                .map(|addresses| addresses.collect::<Vec<_>>())
        });
        match asked.await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(Fault::NameUnknown),
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(lookup_fault(&error)),
            Err(_) => Err(Fault::Local("the lookup was abandoned".into())),
        }
    }
}

/// `getaddrinfo`'s codes come to us only as text (`std` keeps the number to itself). A name that does
/// not exist is an answer; everything else is a resolver that gave none.
fn lookup_fault(error: &io::Error) -> Fault {
    if let Some(fault) = local(error) {
        return fault;
    }
    let text = error.to_string();
    let unknown = [
        "Name or service not known",  // glibc: EAI_NONAME
        "No address associated",      // glibc: EAI_NODATA
        "Name does not resolve",      // musl: EAI_NONAME
        "Name has no usable address", // musl: EAI_NODATA
        "nodename nor servname",      // BSD
    ];
    if unknown.iter().any(|known| text.contains(known)) {
        return Fault::NameUnknown;
    }
    let bare = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    Fault::ResolverSilent(bare.into())
}

/// An error while a connection was opened.
pub(super) fn connect_fault(error: &io::Error) -> Fault {
    stream_fault(error).unwrap_or_else(|| Fault::Local(error.kind().to_string().into()))
}

/// An error of a connection; none if it is not the operating system's.
pub(super) fn stream_fault(error: &io::Error) -> Option<Fault> {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Some(Fault::Refused),
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::NotConnected
        | Kind::UnexpectedEof => Some(Fault::Reset),
        Kind::TimedOut => Some(Fault::TimedOut),
        Kind::NetworkUnreachable | Kind::HostUnreachable => Some(Fault::Unreachable),
        _ => local(error),
    }
}

/// Errors that speak of this machine only.
fn local(error: &io::Error) -> Option<Fault> {
    use io::ErrorKind as Kind;
    // Linux: ENOMEM, ENFILE, EMFILE, ENOBUFS; `std` has no stable kinds for the last three.
    let exhausted = match error.raw_os_error() {
        Some(23 | 24) => Some("too many open files"),
        Some(12 | 105) => Some("out of memory"),
        _ => None,
    };
    let why = match error.kind() {
        _ if exhausted.is_some() => exhausted?,
        Kind::AddrNotAvailable => "no local address or port is free",
        Kind::NetworkDown => "the network interface is down",
        Kind::PermissionDenied => "a local rule forbids the connection",
        _ => return None,
    };
    Some(Fault::Local(why.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_system_errors_become_the_faults_they_are() {
        let cases = [
            (111, Fault::Refused),
            (104, Fault::Reset),
            (32, Fault::Reset),
            (110, Fault::TimedOut),
            (101, Fault::Unreachable),
            (113, Fault::Unreachable),
            (24, Fault::Local("too many open files".into())),
            (23, Fault::Local("too many open files".into())),
            (99, Fault::Local("no local address or port is free".into())),
            (100, Fault::Local("the network interface is down".into())),
        ];
        for (code, fault) in cases {
            assert_eq!(
                connect_fault(&io::Error::from_raw_os_error(code)),
                fault,
                "errno {code}"
            );
        }
    }

    #[test]
    fn an_unknown_name_is_an_answer_and_a_failing_resolver_is_none() {
        let said = |text: &str| {
            lookup_fault(&io::Error::other(format!(
                "failed to lookup address information: {text}"
            )))
        };
        assert_eq!(said("Name or service not known"), Fault::NameUnknown);
        assert_eq!(
            said("No address associated with hostname"),
            Fault::NameUnknown
        );
        assert_eq!(
            said("Temporary failure in name resolution"),
            Fault::ResolverSilent("Temporary failure in name resolution".into())
        );
        assert_eq!(
            said("Non-recoverable failure in name resolution"),
            Fault::ResolverSilent("Non-recoverable failure in name resolution".into())
        );
    }

    #[tokio::test]
    async fn a_dead_first_address_does_not_hide_a_healthy_second_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = {
            let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            other.local_addr().unwrap()
        };
        let addresses = [closed, listener.local_addr().unwrap()];
        let deadline = Instant::now() + Duration::from_secs(5);
        let stream = first_open(&addresses, deadline).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
        assert_eq!(
            first_open(&addresses[..1], deadline).await.unwrap_err(),
            Fault::Refused
        );
    }

    #[test]
    fn literal_addresses_are_not_looked_up() {
        for literal in ["127.0.0.1", "::1", "[::1]"] {
            assert!(matches!(Endpoint::new(literal, 80).host, Host::Address(_)));
        }
        assert!(matches!(
            Endpoint::new("api.acme.svc", 80).host,
            Host::Name(_)
        ));
    }
}
