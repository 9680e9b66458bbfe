//! The one connection that writes.

use std::collections::BTreeMap;

use sqlx::{Connection as _, SqliteConnection};

use super::write::{Pen, Written, probe};
use super::{closed, failed, sql, whole};
use crate::domain::change::{Batch, Change, Fence, Lane, Role, Seq};
use crate::domain::id::ProbeId;
use crate::domain::rollback::Term;
use crate::store::segment::SeriesNumber;
use crate::store::{CommitError, StoreError};

/// The connection that writes, with what it knows by heart.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: SqliteConnection,
    lane: Lane,
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
            lane: Lane::Now,
            series,
        })
    }

    pub(super) async fn claim(&mut self, role: Role, at_least: Term) -> Result<Term, StoreError> {
        let doing = "claim a role";
        self.take(Lane::Now).await?;
        let term: i64 = sqlx::query_scalar(sql::CLAIM)
            .bind(role.as_str())
            .bind(whole(at_least.0))
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed(doing))?;
        Ok(Term(term.cast_unsigned()))
    }

    pub(super) async fn ping(&mut self) -> Result<(), StoreError> {
        let begun = self.connection.begin_with(sql::BEGIN).await;
        let transaction = begun.map_err(failed("write to the database"))?;
        let ended = transaction.rollback().await;
        ended.map_err(failed("write to the database"))
    }

    pub(super) async fn commit(&mut self, batch: &Batch, fence: Fence) -> Result<Seq, CommitError> {
        let lane = batch.changes.iter().map(Change::lane).max();
        self.take(lane.unwrap_or(Lane::Soon))
            .await
            .map_err(CommitError::Unavailable)?;
        let begun = self.connection.begin_with(sql::BEGIN).await;
        let begun = begun.map_err(failed("begin a transaction"));
        let mut transaction = begun.map_err(CommitError::Unavailable)?;
        let mut fresh = BTreeMap::new();
        let mut pen = Pen {
            connection: &mut transaction,
            known: &self.series,
            fresh: &mut fresh,
        };
        let seq = match pen.write(batch, fence).await? {
            Written::Before(seq) => return Ok(seq),
            Written::Now(seq) => seq,
        };
        let committed = transaction.commit().await.map_err(failed("commit"));
        committed.map_err(CommitError::Ambiguous)?;
        self.series.append(&mut fresh);
        Ok(seq)
    }

    /// Sets how hard the next transaction presses; can't be changed inside of one.
    async fn take(&mut self, lane: Lane) -> Result<(), StoreError> {
        if lane != self.lane {
            let pragma = match lane {
                Lane::Now => sql::SYNCHRONOUS_FULL,
                Lane::Soon => sql::SYNCHRONOUS_NORMAL,
            };
            let set = sqlx::query(pragma).execute(&mut self.connection).await;
            set.map_err(failed("set how commits reach the disk"))?;
            self.lane = lane;
        }
        Ok(())
    }
}

/// Runs statements of upkeep in a transaction of their own, between commits.
pub(super) async fn upkeep<'a>(
    writer: &'a mut Option<Writer>,
) -> Result<sqlx::Transaction<'a, sqlx::Sqlite>, StoreError> {
    let writer = writer.as_mut().ok_or_else(closed)?;
    writer.take(Lane::Soon).await?;
    let begun = writer.connection.begin_with(sql::BEGIN).await;
    begun.map_err(failed("begin a transaction"))
}
