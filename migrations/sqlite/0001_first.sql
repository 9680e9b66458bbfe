-- Everything Holdfast remembers. Instants are microseconds since the Unix epoch, ids hexadecimal text,
-- bodies the JSON of `wire`; columns beside a body are there because a statement asks by them.

create table fences (
    role text primary key,
    term integer not null
) strict, without rowid;

-- Batches that were committed: the same id again is the same batch.
create table batches (
    place integer primary key autoincrement,
    id    text not null unique,
    seq   integer not null
) strict;

-- The inboxes of the machines; a row goes when its reader has read it. Places are never given twice.
create table journal (
    seq      integer primary key autoincrement,
    audience text not null,
    at       integer not null,
    body     text not null
) strict;
create index journal_by_audience on journal (audience, seq);

create table cursors (
    role text primary key,
    seq  integer not null
) strict, without rowid;

-- Samples: written as segments (one a batch, of many series), resting as chunks (one a series and hour).
create table series (
    number  integer primary key,
    name    text not null unique,
    -- Samples in segments up to this one are in chunks.
    through integer not null default 0
) strict;

create table segments (
    id         integer primary key autoincrement,
    first_at   integer not null,
    last_at    integer not null,
    block      blob not null
) strict;

-- id = series number * 2^24 + hours since the epoch: one series' past lies together.
create table chunks (
    id    integer primary key,
    block blob not null
) strict;

create table images (
    series text primary key,
    shape  text not null,
    at     integer not null,
    bytes  blob not null
) strict;

create table phases (
    alert_key text primary key,
    alert     text,
    body      text not null
) strict;
create index phases_by_alert on phases (alert) where alert is not null;

create table alerts (
    id       text primary key,
    tenant   text not null,
    state    text not null,
    severity text not null,
    at       integer not null,
    body     text not null
) strict;
create index alerts_by_time on alerts (at);

create table transitions (
    place integer primary key,
    alert text not null,
    body  text not null
) strict;
create index transitions_by_alert on transitions (alert, place);

create table petitions (
    id       text primary key,
    standing integer not null,
    at       integer not null,
    body     text not null
) strict;
create index petitions_standing on petitions (standing);

-- Append-only, but for the bake progress of a template, of which the last is enough.
create table facts (
    place  integer primary key autoincrement,
    target text not null,
    baked  text,
    body   text not null
) strict;
create index facts_of_baking on facts (target, baked) where baked is not null;

create table decisions (
    id       text primary key,
    workload text not null,
    at       integer not null,
    body     text not null
) strict;
create index decisions_by_time on decisions (at);
create index decisions_by_workload on decisions (workload, at);

create table rollbacks (
    id        text primary key,
    decision  text not null,
    open      integer not null,
    requested integer not null,
    ended     integer,
    body      text not null
) strict;
create index rollbacks_by_time on rollbacks (requested);
create index rollbacks_open on rollbacks (requested) where open = 1;

create table deliveries (
    id       text primary key,
    receiver text not null,
    thread   text not null,
    position integer not null,
    created  integer not null,
    state    text not null,
    due      integer not null,
    attempts integer not null,
    body     text not null
) strict;
create index deliveries_by_time on deliveries (created);
create index deliveries_by_thread on deliveries (thread, created);
create index deliveries_due on deliveries (receiver, thread, position) where state = 'due';

create table attempts (
    delivery text not null,
    number   integer not null,
    body     text not null,
    primary key (delivery, number)
) strict;

create table told (
    receiver text not null,
    alert    text not null,
    open     integer not null,
    at       integer not null,
    body     text not null,
    primary key (receiver, alert)
) strict;
create index told_open on told (open);
