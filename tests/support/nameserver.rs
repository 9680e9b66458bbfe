//! A nameserver that answers whatever it is asked, until it falls silent.
//!
//! For Holdfast's self-check an answer of any content will do; it refuses every question.

use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A running nameserver; it stops when dropped.
pub struct Nameserver {
    address: SocketAddr,
    speaks: watch::Sender<bool>,
    _answering: JoinSet<()>,
}

impl Nameserver {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let (speaks, spoken) = watch::channel(true);
        let mut answering = JoinSet::new();
        answering.spawn(async move {
            let mut packet = [0; 512];
            // A packet that could not be read or sent is a lost packet, which is in the nature of UDP.
            loop {
                let Ok((length, from)) = socket.recv_from(&mut packet).await else {
                    continue;
                };
                if *spoken.borrow() && length >= 12 {
                    // It is an answer, and its code is 5: refused.
                    packet[2] |= 0x80;
                    packet[3] = 5;
                    socket.send_to(&packet[..length], from).await.ok();
                }
            }
        });
        Self {
            address,
            speaks,
            _answering: answering,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers nothing any more.
    pub fn fall_silent(&self) {
        self.speaks.send_replace(false);
    }

    /// Answers again.
    pub fn speak(&self) {
        self.speaks.send_replace(true);
    }
}
