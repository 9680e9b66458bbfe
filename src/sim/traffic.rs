//! A load generator: so many requests a second, bounded in flight, until it is dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// Requests under way at once; at 50 a second this bears answers of five seconds.
const IN_FLIGHT_MAX: usize = 256;
/// How long a request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What came of the requests so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrafficCounts {
    /// Answers, by status code.
    pub by_code: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Requests not sent, since too many were under way.
    pub skipped: u64,
    /// How long the slowest answer took.
    pub slowest: Duration,
}

/// Running traffic; it stops when dropped.
pub struct Traffic {
    counts: Arc<Mutex<TrafficCounts>>,
    _sending: JoinSet<()>,
}

impl Traffic {
    /// Starts sending GET requests to a URL.
    ///
    /// # Errors
    /// If the HTTP client cannot be made.
    pub fn start(url: String, per_second: u32) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_WITHIN)
            .build()?;
        let counts = Arc::new(Mutex::default());
        let mut sending = JoinSet::new();
        sending.spawn(send(http, url, per_second.max(1), Arc::clone(&counts)));
        Ok(Self {
            counts,
            _sending: sending,
        })
    }

    /// What came of the requests so far.
    pub fn counts(&self) -> TrafficCounts {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl TrafficCounts {
    /// Answers of all codes.
    pub fn answered(&self) -> u64 {
        self.by_code.values().sum()
    }

    /// Answers from 500 on, and requests without one.
    pub fn failed(&self) -> u64 {
        self.by_code
            .range(500..)
            .map(|(_, count)| count)
            .sum::<u64>()
            + self.unanswered
    }
}

async fn send(
    http: reqwest::Client,
    url: String,
    per_second: u32,
    counts: Arc<Mutex<TrafficCounts>>,
) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    // A machine that was busy must not be flooded with what it missed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut in_flight = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = in_flight.join_next() => {
                if let Err(error) = ended {
                    tracing::warn!(%error, "a request of the simulated traffic broke off");
                }
            }
            _ = ticks.tick() => {
                if in_flight.len() < IN_FLIGHT_MAX {
                    in_flight.spawn(request(http.clone(), url.clone(), Arc::clone(&counts)));
                } else {
                    counts.lock().unwrap_or_else(PoisonError::into_inner).skipped += 1;
                }
            }
        }
    }
}

async fn request(http: reqwest::Client, url: String, counts: Arc<Mutex<TrafficCounts>>) {
    let began = Instant::now();
    let answer = match http.get(url).send().await {
        // The body is read, so that the connection can be used again.
        Ok(answer) => {
            let code = answer.status().as_u16();
            answer.bytes().await.map(|_| code)
        }
        Err(error) => Err(error),
    };
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    match answer {
        Ok(code) => *counts.by_code.entry(code).or_default() += 1,
        Err(_) => counts.unanswered += 1,
    }
    counts.slowest = counts.slowest.max(began.elapsed());
}
