//! An address that can be closed and opened again without ever being anybody else's.
//!
//! A socket that is bound and not listening refuses connections and keeps its port.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Listens on a free port of loopback.
pub async fn open_somewhere() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    let address = listener
        .local_addr()
        .expect("a bound socket has an address");
    (listener, address)
}

/// Holds an address that refuses connections. The listener must have been dropped.
pub fn hold(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket
        .set_reuseaddr(true)
        .expect("a new socket takes options");
    socket
        .bind(address)
        .expect("the port was ours a moment ago");
    socket
}

/// Opens a held address.
pub fn open(held: TcpSocket) -> TcpListener {
    held.listen(1024).expect("a bound socket can listen")
}
