//! The server on a real socket: graceful end, and a Host header that is really looked at.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::http::fake;

async fn say(port: u16, request: String) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn it_answers_on_a_socket_until_it_is_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let (server, _) = fake::afternoon().await.server();
    let asking = async {
        let get = format!("GET /livez HTTP/1.1\r\nHost: x:{port}\r\nConnection: close\r\n\r\n");
        let live = say(port, get).await;
        assert!(live.starts_with("HTTP/1.1 200"), "{live}");
        let post = |host: &str| {
            format!(
                "POST /-/reload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        };
        let own = say(port, post(&format!("127.0.0.1:{port}"))).await;
        assert!(own.starts_with("HTTP/1.1 200"), "{own}");
        let foreign = say(port, post("rebound.example")).await;
        assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
        // A connection that is open and says nothing does not hold the end up.
        let idle = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stop.cancel();
        idle
    };
    let both = async { tokio::join!(server.serve(listener, stop.clone()), asking) };
    let (end, _idle) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .unwrap();
    end.unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}
