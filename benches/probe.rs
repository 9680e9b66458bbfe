//! What looking costs: HTTP probes per second of Holdfast's own CPU, new connection each, against a target
//! on loopback, and as a ratio to a bare loop of requests in the same run.
//!
//! `cargo bench --bench probe` (Linux: the CPU time of a thread is read from `/proc`). The target has a
//! thread of its own whose CPU does not count. Three figures: the bare loop (connect, write, read, close),
//! a look with its phases and its deadline, and the whole prober with schedule, tasks, sight and metrics.
//! Then a minute of 5 000 probes @30 s: CPU, and how well the schedule is kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast::clock::Clock;
use holdfast::daemon::prober::Prober;
use holdfast::daemon::tasks::Tasks;
use holdfast::domain::event::JudgeEvent;
use holdfast::domain::id::{Name, TenantId};
use holdfast::domain::sample::Outcome;
use holdfast::domain::spec::{Spec, Tenant};
use holdfast::domain::target::{HttpExpectation, HttpTarget, Probe, Target};
use holdfast::probe::means::Means;
use holdfast::probe::selfcheck::SelfCheck;
use holdfast::probe::{Kept, build};
use holdfast::telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Looks of one measurement.
const LOOKS: u32 = 40_000;
/// Looks at a time in the first two measurements.
const TOGETHER: u32 = 16;
/// Probes of the whole prober, over this many tenants, since one tenant may only look 32 times at once.
const PROBES: u32 = 5_000;
const TENANTS: u32 = 50;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

fn main() {
    // Only `cargo bench` says this; a test run just sees that everything works.
    let (looks, every) = if std::env::args_os().any(|argument| argument == "--bench") {
        (LOOKS, Duration::from_secs(30))
    } else {
        (LOOKS / 100, Duration::from_secs(2))
    };
    let address = target();
    let runtime = runtime();
    let bare = per_cpu_second("bare loop", looks, || {
        runtime.block_on(bare(address, looks))
    });
    let look = per_cpu_second("look", looks, || runtime.block_on(look(address, looks)));
    // So often that the thread is never idle. What starting costs is not counted here.
    let mut running = runtime.block_on(async { start(address, Duration::from_millis(250)) });
    runtime.block_on(take(&mut running, looks / 10));
    let whole = per_cpu_second("prober", looks, || {
        runtime.block_on(take(&mut running, looks))
    });
    running.tasks.stop().cancel();
    drop(runtime);
    println!("look/bare   {:.2}", look / bare);
    println!("prober/bare {:.2}", whole / bare);
    at_rest(address, every);
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
}

/// The work is done on this thread alone, so its CPU time is all there is.
fn per_cpu_second(name: &str, looks: u32, work: impl FnOnce()) -> f64 {
    let before = cpu();
    work();
    let spent = cpu() - before;
    let rate = f64::from(looks) / spent.as_secs_f64();
    println!(
        "{name:<11} {rate:>8.0} per CPU-second ({:?} each)",
        spent / looks
    );
    rate
}

/// Time that this thread has been on a CPU.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    let first = text
        .split_whitespace()
        .next()
        .expect("it has three numbers");
    Duration::from_nanos(first.parse().expect("it is a number"))
}

/// A target that does as little as possible, on a thread of its own.
fn target() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("sockets can be");
    std::thread::spawn(move || {
        runtime().block_on(async move {
            let listener = TcpListener::from_std(listener).expect("it is nonblocking");
            let mut connections = JoinSet::new();
            loop {
                let Ok((mut stream, _)) = listener.accept().await else {
                    continue;
                };
                while connections.try_join_next().is_some() {}
                connections.spawn(async move {
                    let mut request = [0_u8; 1024];
                    if stream
                        .read(&mut request)
                        .await
                        .is_ok_and(|length| length > 0)
                    {
                        stream.write_all(ANSWER).await.ok();
                    }
                });
            }
        });
    });
    address
}

async fn bare(address: SocketAddr, looks: u32) {
    let request = format!("GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let request: Arc<[u8]> = request.into_bytes().into();
    let mut loops = JoinSet::new();
    for _ in 0..TOGETHER {
        let request = request.clone();
        loops.spawn(async move {
            for _ in 0..looks / TOGETHER {
                let mut stream = TcpStream::connect(address).await.expect("it listens");
                stream.write_all(&request).await.expect("it reads");
                let mut answer = [0_u8; 1024];
                let length = stream.read(&mut answer).await.expect("it answers");
                assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
            }
        });
    }
    loops.join_all().await;
}

fn probe(address: SocketAddr, number: u32, every: Duration) -> Probe {
    let text = format!("t{}/p{number}", number % TENANTS);
    Probe {
        id: text.parse().expect("it is TENANT/PROBE"),
        target: Target::Http(Box::new(HttpTarget {
            url: format!("http://{address}/health"),
            method: "GET".into(),
            headers: BTreeMap::new(),
            body: None,
            expect: HttpExpectation::default(),
            value: None,
            redirects_max: 0,
        })),
        every,
        timeout: Duration::from_secs(5),
        retries: 0,
        labels: BTreeMap::new(),
    }
}

async fn look(address: SocketAddr, looks: u32) {
    let probe = probe(address, 0, Duration::from_secs(30));
    let look = build(&probe, &Means::system(), &Kept::Nothing);
    let mut loops = JoinSet::new();
    for _ in 0..TOGETHER {
        let look = look.clone();
        loops.spawn(async move {
            let clock = Clock::system();
            for _ in 0..looks / TOGETHER {
                let observation = look.look(clock.now()).await;
                assert!(observation.result.is_ok(), "{observation:?}");
            }
        });
    }
    loops.join_all().await;
}

fn spec(address: SocketAddr, every: Duration) -> Spec {
    let mut spec = Spec::default();
    for tenant in 0..TENANTS {
        let id = TenantId(Name::try_new(&format!("t{tenant}")).expect("it is a name"));
        let probes = (0..PROBES / TENANTS)
            .map(|n| Arc::new(probe(address, n * TENANTS + tenant, every)))
            .map(|probe| (probe.id.probe.clone(), probe))
            .collect();
        let tenant = Tenant {
            id: id.clone(),
            plan: None,
            namespaces: Vec::new(),
            labels: BTreeMap::new(),
            probes,
            objectives: Vec::new(),
            workloads: BTreeMap::new(),
        };
        spec.tenants.insert(id, Arc::new(tenant));
    }
    spec
}

struct Running {
    samples: mpsc::Receiver<JudgeEvent>,
    tasks: Tasks,
    _spec: watch::Sender<Arc<Spec>>,
}

fn start(address: SocketAddr, every: Duration) -> Running {
    let (output, samples) = mpsc::channel(1024);
    let (sender, receiver) = watch::channel(Arc::new(spec(address, every)));
    let tasks = Tasks::new(CancellationToken::new());
    let mut registry = prometheus_client::registry::Registry::default();
    let prober = Prober {
        tasks: tasks.clone(),
        clock: Clock::system(),
        metrics: Arc::new(Metrics::register(&mut registry)),
        means: Means::system(),
        self_check: SelfCheck::none(),
        spec: receiver,
        output,
    };
    drop(prober.start());
    Running {
        samples,
        tasks,
        _spec: sender,
    }
}

async fn take(running: &mut Running, looks: u32) {
    for _ in 0..looks {
        let Some(JudgeEvent::Sample(sample)) = running.samples.recv().await else {
            continue;
        };
        assert_eq!(sample.outcome(), Outcome::Good);
    }
}

/// 5 000 probes @30 s for two intervals: the CPU they take, and how far the distance of two looks of a
/// probe is from its interval.
fn at_rest(address: SocketAddr, every: Duration) {
    let runtime = runtime();
    let begun = tokio::time::Instant::now();
    let before = cpu();
    let mut off = runtime.block_on(deviations(address, every));
    let share = (cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    off.sort_unstable();
    println!(
        "{PROBES} probes every {every:?}: {:.1} millicores",
        share * 1e3
    );
    if let Some(last) = off.len().checked_sub(1) {
        println!(
            "deviation from schedule p50 {:?}, p99 {:?}, most {:?}",
            off[last / 2],
            off[last * 99 / 100],
            off[last]
        );
    }
}

async fn deviations(address: SocketAddr, every: Duration) -> Vec<Duration> {
    let mut running = start(address, every);
    let mut last = BTreeMap::new();
    let mut off = Vec::new();
    let end = tokio::time::Instant::now() + every * 2;
    while let Ok(Some(event)) = tokio::time::timeout_at(end, running.samples.recv()).await {
        let JudgeEvent::Sample(sample) = event else {
            continue;
        };
        if let Some(before) = last.insert(sample.series, sample.span.to) {
            off.push(sample.span.to.since(before).abs_diff(every));
        }
    }
    running.tasks.stop().cancel();
    off
}
