//! The one connection that writes.
//!
//! Transactions are begun and ended by statements of ours, not by the driver's `Transaction`: when SQLite
//! itself rolls back (a full disk does that), the driver goes on counting a transaction that is over and
//! refuses every later one. Here a transaction that was not seen to end (an error, a commit that was
//! abandoned) is rolled back before the next begins, whether it is still there or not.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::write::{Pen, Written, probe};
use super::{closed, failed, sql, whole};
use crate::domain::change::{Batch, Change, Fence, Lane, Role, Seq};
use crate::domain::id::ProbeId;
use crate::domain::rollback::Term;
use crate::store::segment::SeriesNumber;
use crate::store::{CommitError, StoreError};

/// The connection, with what it knows by heart.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    /// A transaction was begun and not seen to end.
    unfinished: bool,
    /// How hard transactions press; none if that is not known.
    lane: Option<Lane>,
    series: BTreeMap<ProbeId, SeriesNumber>,
}

// === impl Writer ===

impl Writer {
    pub(super) async fn new(mut connection: SqliteConnection) -> Result<Self, StoreError> {
        let rows: Vec<(i64, String, i64)> = sqlx::query_as(sql::SERIES)
            .fetch_all(&mut connection)
            .await
            .map_err(failed("read the names of the series"))?;
        let mut series = BTreeMap::new();
        for (number, name, _) in rows {
            series.insert(probe(&name)?, number.cast_unsigned());
        }
        Ok(Self {
            connection,
            unfinished: false,
            lane: None,
            series,
        })
    }

    pub(super) async fn claim(&mut self, role: Role, at_least: Term) -> Result<Term, StoreError> {
        self.begin(Lane::Now).await?;
        let term: i64 = sqlx::query_scalar(sql::CLAIM)
            .bind(role.as_str())
            .bind(whole(at_least.0))
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed("claim a role"))?;
        self.end().await?;
        Ok(Term(term.cast_unsigned()))
    }

    pub(super) async fn ping(&mut self) -> Result<(), StoreError> {
        self.begin(Lane::Soon).await?;
        self.end().await
    }

    pub(super) async fn commit(&mut self, batch: &Batch, fence: Fence) -> Result<Seq, CommitError> {
        let lane = batch.changes.iter().map(Change::lane).max();
        let begun = self.begin(lane.unwrap_or(Lane::Soon)).await;
        begun.map_err(CommitError::Unavailable)?;
        let mut fresh = BTreeMap::new();
        let mut pen = Pen {
            connection: &mut self.connection,
            known: &self.series,
            fresh: &mut fresh,
        };
        let seq = match pen.write(batch, fence).await {
            Ok(Written::Now(seq)) => seq,
            Ok(Written::Before(seq)) => {
                self.abandon().await;
                return Ok(seq);
            }
            Err(error) => {
                self.abandon().await;
                return Err(error);
            }
        };
        self.end().await.map_err(CommitError::Ambiguous)?;
        self.series.append(&mut fresh);
        Ok(seq)
    }

    /// Begins a transaction that presses as hard as the lane asks for (which can't be said inside of one).
    pub(super) async fn begin(&mut self, lane: Lane) -> Result<(), StoreError> {
        if self.unfinished {
            self.abandon().await;
        }
        if self.lane != Some(lane) {
            let pragma = match lane {
                Lane::Now => sql::SYNCHRONOUS_FULL,
                Lane::Soon => sql::SYNCHRONOUS_NORMAL,
            };
            self.lane = None;
            self.run(pragma, "set how commits reach the disk").await?;
            self.lane = Some(lane);
        }
        self.unfinished = true;
        self.run(sql::BEGIN, "begin a transaction").await
    }

    /// Commits it.
    pub(super) async fn end(&mut self) -> Result<(), StoreError> {
        self.run(sql::COMMIT, "commit").await?;
        self.unfinished = false;
        Ok(())
    }

    /// Rolls it back, if it is still there.
    async fn abandon(&mut self) {
        if let Err(error) = self.run(sql::ROLL_BACK, "roll back").await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the transaction was over already"
            );
        }
        self.unfinished = false;
    }

    async fn run(
        &mut self,
        statement: &'static str,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let run = sqlx::query(statement).execute(&mut self.connection).await;
        run.map(drop).map_err(failed(doing))
    }
}

/// Begins a transaction of upkeep, between commits.
pub(super) async fn upkeep(writer: &mut Option<Writer>) -> Result<&mut Writer, StoreError> {
    let writer = writer.as_mut().ok_or_else(closed)?;
    writer.begin(Lane::Soon).await?;
    Ok(writer)
}
