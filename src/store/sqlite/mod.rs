//! A store in one SQLite file: the default, for one daemon.
//!
//! Write-ahead log, one connection that writes (every transaction begins `immediate`), a few that only
//! read. A commit with anything for the fast lane reaches the disk before it is answered
//! (`synchronous = full`); one with samples alone survives a kill of the process, and what a power cut may
//! take is the last of them (`synchronous = normal`, which spares the disk five syncs a second).
//!
//! Samples arrive as segments (one small row a batch) and rest as chunks (one row a series and hour);
//! `compact` brings them from the one to the other, a few series a transaction, so that no commit waits
//! for it. A file beside the database is locked while it is open: two daemons on one file would both
//! believe that they lead.

mod compact;
mod history;
mod read;
mod sql;
mod write;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _};
use tokio::sync::Mutex;

use self::writer::Writer;
use super::{AlertFilter, CommitError, Retention, SampleQuery, Store, StoreError, Window};
use crate::domain::alert::{Alert, Phase, Transition};
use crate::domain::change::{Batch, Fence, Post, Role, Seq};
use crate::domain::decision::{Decision, Petition};
use crate::domain::delivery::{Attempt, Delivery, Told};
use crate::domain::fact::Fact;
use crate::domain::id::{AlertId, DecisionId, Digest, RollbackId, WorkloadId};
use crate::domain::need::{History, Need};
use crate::domain::rollback::{Rollback, Term};
use crate::domain::sample::Sample;
use crate::domain::time::Timestamp;

/// Readers: the page, the API and a restart read at once; each is a thread.
const READERS_MAX: u32 = 3;
/// Longer than any transaction of ours; somebody may look into the file with the `sqlite3` shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The write-ahead log is cut back to this many bytes when it has grown.
const LOG_BYTES_MAX: &str = "67108864";

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is not there and cannot be made.
    #[error("failed to make the directory of the database {path}")]
    Directory {
        /// Of the database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The lock file cannot be written.
    #[error("failed to write beside the database {path}: the directory must be writable")]
    NotWritable {
        /// Of the database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Somebody has it.
    #[error("the database {path} is in use by another process")]
    InUse {
        /// Of the database.
        path: PathBuf,
    },
    /// SQLite will not open it.
    #[error("failed to open the database {path}")]
    Database {
        /// Of the database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// It was written by a newer Holdfast.
    #[error(
        "the database {path} was written by a newer version (its migration {migration} is unknown here)"
    )]
    Newer {
        /// Of the database.
        path: PathBuf,
        /// Its number.
        migration: i64,
    },
    /// A migration failed.
    #[error("failed to bring the database {path} to this version")]
    Migration {
        /// Of the database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: MigrateError,
    },
    /// What is in it cannot be read.
    #[error("failed to read the database {path}")]
    Unreadable {
        /// Of the database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: StoreError,
    },
}

/// The store.
#[derive(Debug)]
pub struct Sqlite {
    /// None once it is closed.
    writer: Mutex<Option<Writer>>,
    readers: SqlitePool,
    /// Held while chunks are rewritten or removed: both work in several transactions.
    upkeep: Mutex<()>,
    /// Locked as long as the store lives.
    _lock: File,
}

/// Append-only, with the same numbers in every backend's folder.
fn migrations() -> Migrator {
    let first = include_str!("../../../migrations/sqlite/0001_first.sql");
    Migrator::with_migrations(vec![Migration::new(
        1,
        "first".into(),
        MigrationType::Simple,
        first.into_sql_str(),
        false,
    )])
}

// === impl Sqlite ===

impl Sqlite {
    /// Opens a database, makes it if it is not there, and brings it to this version.
    ///
    /// # Errors
    /// If the place is not writable, somebody else has it open, it is no database, or a newer one.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        let database = |source| OpenError::Database {
            path: path.to_owned(),
            source,
        };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let writing = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", LOG_BYTES_MAX);
        let mut connection = writing.connect().await.map_err(database)?;
        let migrated = migrations().run(&mut connection).await;
        migrated.map_err(|source| {
            let path = path.to_owned();
            match source {
                MigrateError::VersionMissing(migration) => OpenError::Newer { path, migration },
                source => OpenError::Migration { path, source },
            }
        })?;
        let writer = Writer::new(connection).await;
        let writer = writer.map_err(|source| OpenError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_lazy_with(options.read_only(true));
        Ok(Self {
            writer: Mutex::new(Some(writer)),
            readers,
            upkeep: Mutex::new(()),
            _lock: lock,
        })
    }
}

/// Locks a file beside the database. The kernel lets go of it when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|source| OpenError::Directory {
            path: path.to_owned(),
            source,
        })?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let not_writable = |source| OpenError::NotWritable {
        path: path.to_owned(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(name)
        .map_err(not_writable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: path.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(not_writable(source)),
    }
}

fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Database {
        doing,
        source: source.into(),
    }
}

fn closed() -> StoreError {
    StoreError::Database {
        doing: "write",
        source: "the store is closed".into(),
    }
}

/// As SQLite counts; what is larger cannot be there.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for Sqlite {
    async fn claim(&self, role: Role, at_least: Term) -> Result<Term, StoreError> {
        let mut writer = self.writer.lock().await;
        writer
            .as_mut()
            .ok_or_else(closed)?
            .claim(role, at_least)
            .await
    }

    async fn commit(&self, batch: &Batch, fence: Fence) -> Result<Seq, CommitError> {
        let mut writer = self.writer.lock().await;
        let open = writer.as_mut().ok_or_else(closed);
        let writer = open.map_err(CommitError::Unavailable)?;
        writer.commit(batch, fence).await
    }

    async fn inbox(&self, role: Role, after: Seq, limit: usize) -> Result<Vec<Post>, StoreError> {
        read::inbox(&self.readers, role, after, limit).await
    }

    async fn cursor(&self, role: Role) -> Result<Seq, StoreError> {
        read::cursor(&self.readers, role).await
    }

    async fn phases(&self) -> Result<Vec<Phase>, StoreError> {
        read::all(&self.readers, sql::PHASES, "phase").await
    }

    async fn facts(&self) -> Result<Vec<Fact>, StoreError> {
        read::all(&self.readers, sql::FACTS, "fact").await
    }

    async fn told(&self) -> Result<Vec<Told>, StoreError> {
        read::all(&self.readers, sql::TOLD, "told-record").await
    }

    async fn petitions(&self) -> Result<Vec<Petition>, StoreError> {
        read::all(&self.readers, sql::PETITIONS, "petition").await
    }

    async fn due(&self) -> Result<Vec<Delivery>, StoreError> {
        read::due(&self.readers).await
    }

    async fn histories(&self, needs: &[Need]) -> Result<Vec<History>, StoreError> {
        history::histories(&self.readers, needs).await
    }

    async fn samples(&self, query: &SampleQuery) -> Result<Vec<Sample>, StoreError> {
        history::samples(&self.readers, query).await
    }

    async fn alerts(&self, filter: &AlertFilter, window: Window) -> Result<Vec<Alert>, StoreError> {
        read::alerts(&self.readers, filter, window).await
    }

    async fn alert(&self, id: AlertId) -> Result<Option<(Alert, Vec<Transition>)>, StoreError> {
        read::alert(&self.readers, id).await
    }

    async fn deliveries(
        &self,
        thread: Option<Digest>,
        window: Window,
    ) -> Result<Vec<(Delivery, Vec<Attempt>)>, StoreError> {
        read::deliveries(&self.readers, thread, window).await
    }

    async fn decisions(
        &self,
        workload: Option<&WorkloadId>,
        window: Window,
    ) -> Result<Vec<Decision>, StoreError> {
        read::decisions(&self.readers, workload, window).await
    }

    async fn decision(&self, id: DecisionId) -> Result<Option<Decision>, StoreError> {
        read::one(&self.readers, sql::DECISION, "decision", id.to_string()).await
    }

    async fn rollbacks(
        &self,
        open_only: bool,
        window: Window,
    ) -> Result<Vec<Rollback>, StoreError> {
        let statement = if open_only {
            sql::ROLLBACKS_OPEN
        } else {
            sql::ROLLBACKS
        };
        read::rollbacks(&self.readers, statement, window).await
    }

    async fn rollback(&self, id: RollbackId) -> Result<Option<Rollback>, StoreError> {
        read::one(&self.readers, sql::ROLLBACK, "rollback", id.to_string()).await
    }

    async fn retain(&self, retention: Retention, now: Timestamp) -> Result<u64, StoreError> {
        compact::retain(self, retention, now).await
    }

    async fn compact(&self) -> Result<u64, StoreError> {
        compact::compact(self).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let read = sqlx::query(sql::PING).execute(&self.readers).await;
        read.map_err(failed("read the database"))?;
        let mut writer = self.writer.lock().await;
        writer.as_mut().ok_or_else(closed)?.ping().await
    }

    async fn close(&self) {
        self.readers.close().await;
        let writer = self.writer.lock().await.take();
        if let Some(writer) = writer
            && let Err(error) = writer.connection.close().await
        {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}
