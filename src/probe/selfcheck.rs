//! Holdfast's own eyes: does the API server answer, does its nameserver?
//!
//! Asked only when a look at a target got no answer at all, and then at most once in
//! [`SELF_CHECK_PATIENCE`]: when a thousand probes fail in the same moment they share one check. What is
//! asked does not matter, only that anything comes back. That a connection is opened is no answer: a
//! sidecar or a gateway on this side of the break opens any.

use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::domain::sight::{SELF_CHECK_PATIENCE, SelfChecks};

/// The checks that are configured, and what they said last.
#[derive(Debug)]
pub struct SelfCheck {
    api_server: Option<String>,
    nameserver: Option<SocketAddr>,
    last: Mutex<Option<(Instant, SelfChecks)>>,
}

// === impl SelfCheck ===

impl SelfCheck {
    /// `api_server` is `host:port` (an address where possible: a name would test the resolver instead).
    #[must_use]
    pub fn new(api_server: Option<String>, nameserver: Option<SocketAddr>) -> Self {
        Self {
            api_server,
            nameserver,
            last: Mutex::new(None),
        }
    }

    /// No checks: Holdfast trusts its eyes.
    #[must_use]
    pub fn none() -> Self {
        Self::new(None, None)
    }

    /// What the checks say now. Whoever asks while another one asks gets the same answer.
    pub async fn look(&self) -> SelfChecks {
        if self.api_server.is_none() && self.nameserver.is_none() {
            return SelfChecks::default();
        }
        let mut last = self.last.lock().await;
        if let Some((at, checks)) = *last
            && at.elapsed() < SELF_CHECK_PATIENCE
        {
            return checks;
        }
        let (api_server, dns) = tokio::join!(self.api_server(), self.dns());
        let checks = SelfChecks { api_server, dns };
        // Valid from its end: those who waited for it take it instead of asking one after the other.
        *last = Some((Instant::now(), checks));
        checks
    }

    async fn api_server(&self) -> Option<bool> {
        let address = self.api_server.as_ref()?;
        let answered = tokio::time::timeout(SELF_CHECK_PATIENCE, knock(address)).await;
        Some(matches!(answered, Ok(Ok(()))))
    }

    async fn dns(&self) -> Option<bool> {
        let nameserver = self.nameserver?;
        let answered = tokio::time::timeout(SELF_CHECK_PATIENCE, ask(nameserver)).await;
        Some(matches!(answered, Ok(Ok(()))))
    }
}

/// The first nameserver of `resolv.conf`.
#[must_use]
pub fn nameserver(resolv_conf: &Path) -> Option<SocketAddr> {
    first_nameserver(&std::fs::read_to_string(resolv_conf).ok()?)
}

fn first_nameserver(text: &str) -> Option<SocketAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        if words.next()? != "nameserver" {
            return None;
        }
        // A scope (`fe80::1%eth0`) is left to the resolver; such a server is not asked.
        Some(SocketAddr::new(words.next()?.parse().ok()?, 53))
    })
}

/// Asks in plain HTTP, which an API server answers in one round trip also where it expects TLS: it says
/// that it does. Any byte is an answer.
async fn knock(address: &str) -> std::io::Result<()> {
    const QUESTION: &[u8] = b"GET /livez HTTP/1.1\r\nHost: kubernetes\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(QUESTION).await?;
    stream.read_u8().await.map(|_| ())
}

/// Asks for the root's nameservers, which any resolver answers or refuses: both are answers.
async fn ask(nameserver: SocketAddr) -> std::io::Result<()> {
    const ID: [u8; 2] = [0x48, 0x46];
    // RFC 1035, 4.1: id, recursion desired, one question; the root, NS, IN.
    const QUESTION: [u8; 17] = [ID[0], ID[1], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let any = if nameserver.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).await?;
    // A connected socket takes packets from the nameserver only.
    socket.connect(nameserver).await?;
    socket.send(&QUESTION).await?;
    let mut answer = [0_u8; 512];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= 12 && answer[..2] == ID {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::stand_in::{Act, StandIn};
    use tokio::net::TcpListener;

    async fn closed_port() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    }

    #[tokio::test]
    async fn an_api_server_that_answers_is_seen() {
        let server = StandIn::new(|_| Act::status("400 Bad Request")).await;
        let address = server.address().to_string();
        let checks = SelfCheck::new(Some(address), None).look().await;
        assert_eq!(checks.api_server, Some(true));
        assert_eq!(checks.dns, None);
        assert!(!checks.blind());
    }

    #[tokio::test]
    async fn a_connection_that_is_opened_and_silent_is_no_answer() {
        for act in [|| Act::Silence, || Act::Close] {
            let server = StandIn::new(move |_| act()).await;
            let address = server.address().to_string();
            let checks = SelfCheck::new(Some(address), None).look().await;
            assert_eq!(checks.api_server, Some(false));
        }
    }

    #[tokio::test]
    async fn one_that_refuses_leaves_holdfast_blind() {
        let check = SelfCheck::new(Some(closed_port().await), None);
        assert!(check.look().await.blind());
    }

    #[tokio::test]
    async fn a_nameserver_that_refuses_the_question_has_answered() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let check = SelfCheck::new(None, Some(server.local_addr().unwrap()));
        let answer = async {
            let mut packet = [0_u8; 512];
            let (length, from) = server.recv_from(&mut packet).await.unwrap();
            // A response with code 5: refused.
            packet[2] |= 0x80;
            packet[3] = 5;
            server.send_to(&packet[..length], from).await.unwrap();
        };
        let (checks, ()) = tokio::join!(check.look(), answer);
        assert_eq!(checks.dns, Some(true));
    }

    #[tokio::test]
    async fn a_silent_nameserver_is_given_up_in_time_and_asked_once_for_all() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let check = SelfCheck::new(None, Some(server.local_addr().unwrap()));
        let begin = Instant::now();
        let answers = futures::future::join_all((0..50).map(|_| check.look())).await;
        assert!(answers.iter().all(|checks| checks.blind()));
        assert!(begin.elapsed() < SELF_CHECK_PATIENCE * 4);
        let mut questions = 0;
        let mut packet = [0_u8; 512];
        while server.try_recv(&mut packet).is_ok() {
            questions += 1;
        }
        assert_eq!(questions, 1);
    }

    #[test]
    fn the_first_nameserver_is_read_as_the_resolver_reads_it() {
        let text = "# by kubelet\nsearch acme.svc.cluster.local\nnameserver 10.96.0.10\nnameserver 1.1.1.1\n";
        assert_eq!(
            first_nameserver(text),
            Some("10.96.0.10:53".parse().unwrap())
        );
        assert_eq!(
            first_nameserver("nameserver fd00::a\n"),
            Some("[fd00::a]:53".parse().unwrap())
        );
        assert_eq!(first_nameserver("nameserver2 1.1.1.1\n"), None);
    }
}
