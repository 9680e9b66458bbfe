//! The other side of `cargo xtask bench`: a target that does as little as possible, and the bare loop of
//! requests that Holdfast's figures are held against. Each runs as a process of its own, so that its CPU
//! time is not counted as Holdfast's.
//!
//! `bench_http serve` prints the address it listens on, and answers until it is killed;
//! `bench_http ask ADDRESS COUNT` asks that often, a new connection each, and prints `per_cpu_second N`.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nhost: target\r\nconnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
/// Requests at a time: enough that the loop never waits for an answer.
const TOGETHER: u32 = 16;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve"] => runtime.block_on(serve()),
        ["ask", address, count] => {
            let (address, count) = (address.parse()?, count.parse()?);
            runtime.block_on(ask(address, count / 10))?; // What starting costs is not counted.
            let before = cpu_seconds()?;
            runtime.block_on(ask(address, count))?;
            let spent = cpu_seconds()? - before;
            println!("per_cpu_second {:.0}", f64::from(count) / spent);
            Ok(())
        }
        _ => bail!("bench_http serve | bench_http ask ADDRESS COUNT"),
    }
}

async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                open.spawn(answer(stream));
            }
        }
    }
}

/// A client that goes away is its own business.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 1024];
    let mut filled = 0;
    while filled < request.len() && !request[..filled].ends_with(b"\r\n\r\n") {
        match stream.read(&mut request[filled..]).await? {
            0 => return Ok(()),
            read => filled += read,
        }
    }
    stream.write_all(ANSWER).await
}

async fn ask(address: SocketAddr, count: u32) -> anyhow::Result<()> {
    let mut asking = JoinSet::new();
    for _ in 0..TOGETHER {
        asking.spawn(async move {
            for _ in 0..count / TOGETHER {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(REQUEST).await?;
                let mut answer = Vec::with_capacity(256);
                stream.read_to_end(&mut answer).await?;
                anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "another answer");
            }
            Ok(())
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended??;
    }
    Ok(())
}

/// User and system time of this process. The kernel counts in hundredths of a second.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("Linux keeps the account")?;
    let (_, fields) = stat
        .rsplit_once(')')
        .context("the name stands in brackets")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
    Ok(f64::from(ticks) / 100.0)
}
