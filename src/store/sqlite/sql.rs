//! Every statement, named by what it does. Instants are parameters, never SQL's own `now`.

pub const BEGIN: &str = "begin immediate";
pub const COMMIT: &str = "commit";
pub const ROLL_BACK: &str = "rollback";
pub const SYNCHRONOUS_FULL: &str = "pragma synchronous = full";
pub const SYNCHRONOUS_NORMAL: &str = "pragma synchronous = normal";
pub const CHECKPOINT: &str = "pragma wal_checkpoint(truncate)";
pub const PING: &str = "select 1";

pub const CLAIM: &str = "insert into fences (role, term) values ($1, max(1, $2))
    on conflict (role) do update set term = max(term + 1, $2) returning term";
/// The newest term of a role, the place of a batch that was committed before, the newest place.
pub const BEFORE_COMMIT: &str = "select
    (select term from fences where role = $1),
    (select seq from batches where id = $2),
    coalesce((select seq from sqlite_sequence where name = 'journal'), 0)";
pub const RAISE_FENCE: &str = "insert into fences (role, term) values ($1, $2)
    on conflict (role) do update set term = excluded.term";
pub const REMEMBER_BATCH: &str = "insert into batches (id, seq) values ($1, $2) returning place";
pub const FORGET_BATCHES: &str = "delete from batches where place <= $1";

pub const POST: &str = "insert into journal (audience, at, body) values ($1, $2, $3) returning seq";
pub const INBOX: &str = "select seq, at, body from journal
    where audience = $1 and seq > $2 order by seq limit $3";
pub const CURSOR: &str = "select seq from cursors where role = $1";
pub const MOVE_CURSOR: &str = "insert into cursors (role, seq) values ($1, $2)
    on conflict (role) do update set seq = max(seq, excluded.seq)";
pub const TRIM_JOURNAL: &str = "delete from journal
    where audience = $1 and seq <= (select seq from cursors where role = $1)";

pub const SERIES: &str = "select number, name, through from series";
pub const ONE_SERIES: &str = "select number, through from series where name = $1";
pub const ADD_SERIES: &str = "insert into series (name) values ($1)
    on conflict (name) do update set name = excluded.name returning number";
pub const SERIES_IS_THROUGH: &str = "update series set through = $1 where number = $2";
pub const ALL_SERIES_ARE_THROUGH: &str = "update series set through = $1 where through < $1";

pub const ADD_SEGMENT: &str = "insert into segments (first_at, last_at, block) values ($1, $2, $3)";
/// Segments after the first place that hold anything after the second and up to the third parameter.
pub const SEGMENTS_WITH: &str = "select id, block from segments
    where id > $1 and last_at > $2 and first_at <= $3 order by id";
pub const ALL_SEGMENTS: &str = "select id, block from segments order by id";
pub const NEWEST_SEGMENT: &str = "select max(id) from segments";
pub const FORGET_SEGMENTS_THROUGH: &str = "delete from segments where id <= $1";
pub const FORGET_SEGMENTS_BEFORE: &str = "delete from segments where last_at < $1";

pub const CHUNK: &str = "select block from chunks where id = $1";
pub const CHUNKS_OLDEST_FIRST: &str =
    "select id, block from chunks where id between $1 and $2 order by id";
pub const CHUNKS_NEWEST_FIRST: &str =
    "select id, block from chunks where id between $1 and $2 order by id desc";
pub const PUT_CHUNK: &str = "insert into chunks (id, block) values ($1, $2)
    on conflict (id) do update set block = excluded.block";
pub const FORGET_CHUNKS: &str = "delete from chunks where id >= $1 and id < $2";

pub const PUT_IMAGE: &str = "insert into images (series, shape, at, bytes)
    values ($1, $2, $3, $4) on conflict (series)
    do update set shape = excluded.shape, at = excluded.at, bytes = excluded.bytes";
pub const IMAGES: &str = "select series, shape, at, bytes from images where at > $1 and at <= $2";
pub const FORGET_IMAGES: &str = "delete from images where at < $1";

pub const PUT_PHASE: &str = "insert into phases (alert_key, alert, body) values ($1, $2, $3)
    on conflict (alert_key) do update set alert = excluded.alert, body = excluded.body";
pub const PHASES: &str = "select body from phases order by alert_key";
pub const PHASES_OF_ALERT: &str = "select body from phases where alert = $1";
pub const FORGET_PHASE: &str = "delete from phases where alert_key = $1";

pub const ALERT: &str = "select body from alerts where id = $1";
pub const PUT_ALERT: &str = "insert into alerts (id, tenant, state, severity, at, body)
    values ($1, $2, $3, $4, $5, $6) on conflict (id) do update set
    state = excluded.state, severity = excluded.severity, at = excluded.at, body = excluded.body";
pub const ALERTS: &str = "select body from alerts
    where ($1 is null or tenant = $1) and ($2 is null or state = $2)
    and ($3 is null or severity = $3) and ($4 is null or at >= $4)
    and ($5 is null or at < $5) order by at desc, id limit $6";
pub const ADD_TRANSITION: &str = "insert into transitions (alert, body) values ($1, $2)";
pub const TRANSITIONS: &str = "select body from transitions where alert = $1 order by place";
pub const FORGET_TRANSITIONS: &str = "delete from transitions where alert in
    (select id from alerts where state in ('resolved', 'inactive') and at < $1)";
pub const FORGET_ALERTS: &str =
    "delete from alerts where state in ('resolved', 'inactive') and at < $1";

pub const PUT_PETITION: &str = "insert into petitions (id, standing, at, body)
    values ($1, $2, $3, $4) on conflict (id)
    do update set standing = excluded.standing, at = excluded.at, body = excluded.body";
pub const PETITIONS: &str = "select body from petitions where standing = 1 order by id";
pub const FORGET_PETITIONS: &str = "delete from petitions where standing = 0 and at < $1";

pub const ADD_FACT: &str = "insert into facts (target, baked, body) values ($1, $2, $3)";
pub const FORGET_BAKED: &str = "delete from facts where target = $1 and baked = $2";
pub const FACTS: &str = "select body from facts order by place";

pub const PUT_DECISION: &str = "insert into decisions (id, workload, at, body)
    values ($1, $2, $3, $4) on conflict (id) do update set at = excluded.at, body = excluded.body";
pub const DECISION: &str = "select body from decisions where id = $1";
pub const DECISIONS: &str = "select body from decisions
    where ($1 is null or at < $1) order by at desc, id limit $2";
pub const DECISIONS_OF_WORKLOAD: &str = "select body from decisions
    where workload = $3 and ($1 is null or at < $1) order by at desc, id limit $2";
pub const FORGET_DECISIONS: &str = "delete from decisions
    where at < $1 and id not in (select decision from rollbacks)";

pub const PUT_ROLLBACK: &str = "insert into rollbacks (id, decision, open, requested, ended, body)
    values ($1, $2, $3, $4, $5, $6) on conflict (id) do update set
    decision = excluded.decision, open = excluded.open, requested = excluded.requested,
    ended = excluded.ended, body = excluded.body";
pub const ROLLBACK: &str = "select body from rollbacks where id = $1";
pub const ROLLBACKS: &str = "select body from rollbacks
    where ($1 is null or requested < $1) order by requested desc, id limit $2";
pub const ROLLBACKS_OPEN: &str = "select body from rollbacks
    where open = 1 and ($1 is null or requested < $1) order by requested desc, id limit $2";
pub const FORGET_ROLLBACKS: &str =
    "delete from rollbacks where open = 0 and coalesce(ended, requested) < $1";

/// A delivery that is there already goes on as it stands.
pub const ADD_DELIVERY: &str = "insert into deliveries
    (id, receiver, thread, position, created, state, due, attempts, body)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (id) do nothing";
pub const DUE: &str = "select state, due, attempts, body from deliveries
    where state = 'due' order by receiver, thread, position";
pub const DELIVERIES: &str = "select state, due, attempts, body from deliveries
    where ($1 is null or thread = $1) and ($2 is null or created < $2)
    order by created desc, id limit $3";
pub const ATTEMPTS: &str = "select body from attempts where delivery in
    (select id from deliveries where ($1 is null or thread = $1)
    and ($2 is null or created < $2) order by created desc, id limit $3) order by delivery, number";
pub const TRY_DELIVERY: &str = "update deliveries
    set state = $2, due = $3, attempts = max(attempts, $4) where id = $1";
pub const PUT_ATTEMPT: &str = "insert into attempts (delivery, number, body) values ($1, $2, $3)
    on conflict (delivery, number) do update set body = excluded.body";
pub const FORGET_ATTEMPTS: &str = "delete from attempts where delivery in
    (select id from deliveries where state <> 'due' and created < $1)";
pub const FORGET_DELIVERIES: &str = "delete from deliveries where state <> 'due' and created < $1";

pub const PUT_TOLD: &str = "insert into told (receiver, alert, open, at, body)
    values ($1, $2, $3, $4, $5) on conflict (receiver, alert)
    do update set open = excluded.open, at = excluded.at, body = excluded.body";
pub const TOLD: &str = "select body from told where open = 1 order by receiver, alert";
pub const FORGET_TOLD: &str = "delete from told where open = 0 and at < $1";
