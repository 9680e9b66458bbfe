//! Reading rows back.

use std::collections::BTreeMap;

use sqlx::SqlitePool;

use super::write::corrupt;
use super::{failed, sql, whole};
use crate::domain::alert::{Alert, Transition};
use crate::domain::change::{Post, Role, Seq};
use crate::domain::decision::Decision;
use crate::domain::delivery::{Attempt, Delivery, DeliveryState};
use crate::domain::id::{AlertId, DeliveryId, Digest, WorkloadId};
use crate::domain::objective::Severity;
use crate::domain::rollback::Rollback;
use crate::domain::time::Timestamp;
use crate::store::{AlertFilter, StoreError, Window};
use crate::wire::post::Posted;
use crate::wire::{Wire, from_json};

fn noun<T: Wire>(what: &'static str, text: &str) -> Result<T, StoreError> {
    from_json(text).map_err(|why| corrupt(what, why))
}

fn nouns<T: Wire>(what: &'static str, texts: &[String]) -> Result<Vec<T>, StoreError> {
    texts.iter().map(|text| noun(what, text)).collect()
}

fn limit(window: Window) -> i64 {
    whole(window.limit as u64)
}

fn before(window: Window) -> Option<i64> {
    window.before.map(Timestamp::as_micros)
}

/// All that a statement without parameters selects.
pub(super) async fn all<T: Wire>(
    readers: &SqlitePool,
    statement: &'static str,
    what: &'static str,
) -> Result<Vec<T>, StoreError> {
    let rows: Vec<String> = sqlx::query_scalar(statement)
        .fetch_all(readers)
        .await
        .map_err(failed("read from the database"))?;
    nouns(what, &rows)
}

/// The one with this id.
pub(super) async fn one<T: Wire>(
    readers: &SqlitePool,
    statement: &'static str,
    what: &'static str,
    id: String,
) -> Result<Option<T>, StoreError> {
    let row: Option<String> = sqlx::query_scalar(statement)
        .bind(id)
        .fetch_optional(readers)
        .await
        .map_err(failed("read from the database"))?;
    row.map(|text| noun(what, &text)).transpose()
}

pub(super) async fn inbox(
    readers: &SqlitePool,
    role: Role,
    after: Seq,
    limit: usize,
) -> Result<Vec<Post>, StoreError> {
    let rows: Vec<(i64, i64, String)> = sqlx::query_as(sql::INBOX)
        .bind(role.as_str())
        .bind(whole(after.0))
        .bind(whole(limit as u64))
        .fetch_all(readers)
        .await
        .map_err(failed("read an inbox"))?;
    let post = |(seq, at, text): (i64, i64, String)| {
        let posted: Posted = serde_json::from_str(&text).map_err(|why| corrupt("post", why))?;
        Ok(Post {
            seq: Seq(seq.cast_unsigned()),
            at: Timestamp::from_micros(at),
            change: posted.read().map_err(|why| corrupt("post", why))?,
        })
    };
    rows.into_iter().map(post).collect()
}

pub(super) async fn cursor(readers: &SqlitePool, role: Role) -> Result<Seq, StoreError> {
    let seq: Option<i64> = sqlx::query_scalar(sql::CURSOR)
        .bind(role.as_str())
        .fetch_optional(readers)
        .await
        .map_err(failed("read a cursor"))?;
    Ok(Seq(seq.unwrap_or(0).cast_unsigned()))
}

pub(super) async fn alerts(
    readers: &SqlitePool,
    filter: &AlertFilter,
    window: Window,
) -> Result<Vec<Alert>, StoreError> {
    let AlertFilter {
        tenant,
        state,
        severity,
        since,
    } = filter;
    let rows: Vec<String> = sqlx::query_scalar(sql::ALERTS)
        .bind(tenant.as_ref().map(|tenant| tenant.0.as_str()))
        .bind(state.map(crate::domain::alert::AlertState::as_str))
        .bind(severity.map(Severity::as_str))
        .bind(since.map(Timestamp::as_micros))
        .bind(before(window))
        .bind(limit(window))
        .fetch_all(readers)
        .await
        .map_err(failed("list alerts"))?;
    nouns("alert", &rows)
}

pub(super) async fn alert(
    readers: &SqlitePool,
    id: AlertId,
) -> Result<Option<(Alert, Vec<Transition>)>, StoreError> {
    let doing = "read an alert";
    let Some(alert) = one(readers, sql::ALERT, "alert", id.to_string()).await? else {
        return Ok(None);
    };
    let rows: Vec<String> = sqlx::query_scalar(sql::TRANSITIONS)
        .bind(id.to_string())
        .fetch_all(readers)
        .await
        .map_err(failed(doing))?;
    Ok(Some((alert, nouns("transition", &rows)?)))
}

/// The columns that change while a delivery lives, and its body as it was made.
type DeliveryRow = (String, i64, u32, String);

fn delivery((state, due, attempts, text): DeliveryRow) -> Result<Delivery, StoreError> {
    let made: Delivery = noun("delivery", &text)?;
    let state = DeliveryState::parse(&state)
        .ok_or_else(|| corrupt("delivery", format!("`{state}` is no state")))?;
    Ok(Delivery {
        state,
        attempts,
        due: Timestamp::from_micros(due),
        ..made
    })
}

pub(super) async fn due(readers: &SqlitePool) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<DeliveryRow> = sqlx::query_as(sql::DUE)
        .fetch_all(readers)
        .await
        .map_err(failed("list due deliveries"))?;
    rows.into_iter().map(delivery).collect()
}

pub(super) async fn deliveries(
    readers: &SqlitePool,
    thread: Option<Digest>,
    window: Window,
) -> Result<Vec<(Delivery, Vec<Attempt>)>, StoreError> {
    let thread = thread.map(|thread| thread.to_string());
    let rows: Vec<DeliveryRow> = sqlx::query_as(sql::DELIVERIES)
        .bind(thread.as_deref())
        .bind(before(window))
        .bind(limit(window))
        .fetch_all(readers)
        .await
        .map_err(failed("list deliveries"))?;
    let tries: Vec<String> = sqlx::query_scalar(sql::ATTEMPTS)
        .bind(thread.as_deref())
        .bind(before(window))
        .bind(limit(window))
        .fetch_all(readers)
        .await
        .map_err(failed("list attempts"))?;
    let mut attempts: BTreeMap<DeliveryId, Vec<Attempt>> = BTreeMap::new();
    for attempt in nouns::<Attempt>("attempt", &tries)? {
        attempts.entry(attempt.delivery).or_default().push(attempt);
    }
    let with_attempts = |row| {
        let delivery = delivery(row)?;
        let attempts = attempts.remove(&delivery.id).unwrap_or_default();
        Ok((delivery, attempts))
    };
    rows.into_iter().map(with_attempts).collect()
}

pub(super) async fn decisions(
    readers: &SqlitePool,
    workload: Option<&WorkloadId>,
    window: Window,
) -> Result<Vec<Decision>, StoreError> {
    let statement = match workload {
        Some(_) => sql::DECISIONS_OF_WORKLOAD,
        None => sql::DECISIONS,
    };
    let mut query = sqlx::query_scalar(statement)
        .bind(before(window))
        .bind(limit(window));
    if let Some(workload) = workload {
        query = query.bind(workload.to_string());
    }
    let rows: Vec<String> = query
        .fetch_all(readers)
        .await
        .map_err(failed("list decisions"))?;
    nouns("decision", &rows)
}

pub(super) async fn rollbacks(
    readers: &SqlitePool,
    statement: &'static str,
    window: Window,
) -> Result<Vec<Rollback>, StoreError> {
    let rows: Vec<String> = sqlx::query_scalar(statement)
        .bind(before(window))
        .bind(limit(window))
        .fetch_all(readers)
        .await
        .map_err(failed("list rollbacks"))?;
    nouns("rollback", &rows)
}
