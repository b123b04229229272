-- +goose Up

-- What belongs to the store as a whole. epoch is the first part of every
-- version; a restore raises it.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('epoch', 1), ('synced', 0);

-- The version of each domain; '' is the system's own. Rows are never deleted,
-- so that a domain made again goes on counting.
CREATE TABLE versions (
    domain TEXT PRIMARY KEY,
    n      INTEGER NOT NULL
) WITHOUT ROWID;

-- All that is provisioned: JSON under a version.
CREATE TABLE documents (
    domain TEXT NOT NULL,
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    epoch  INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    at     INTEGER NOT NULL, -- milliseconds of Unix time, as all times here
    actor  TEXT NOT NULL,
    source TEXT NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (domain, kind, name)
) WITHOUT ROWID;

-- What documents are found by: host names, public numbers, membership.
CREATE TABLE document_keys (
    ix     TEXT NOT NULL,
    value  TEXT NOT NULL,
    domain TEXT NOT NULL,
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    PRIMARY KEY (ix, value, domain, kind, name)
) WITHOUT ROWID;
CREATE INDEX document_keys_by_document ON document_keys (domain, kind, name);
CREATE UNIQUE INDEX document_keys_unique ON document_keys (ix, value) WHERE ix IN ('host', 'public');

-- Every state a document had, in the order of writing: history, and what
-- followers read. Secrets never come here.
CREATE TABLE history (
    id     INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    epoch  INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    actor  TEXT NOT NULL,
    source TEXT NOT NULL,
    body   BLOB -- NULL: it was deleted
);
CREATE INDEX history_by_document ON history (domain, kind, name, id);

-- Sign-ins and API tokens, by the SHA-256 of their secret.
CREATE TABLE sessions (
    hash    TEXT PRIMARY KEY,
    domain  TEXT NOT NULL,
    user    TEXT NOT NULL,
    expires INTEGER NOT NULL,
    body    BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (domain, user);
CREATE TABLE tokens (
    hash   TEXT PRIMARY KEY,
    domain TEXT NOT NULL,
    name   TEXT NOT NULL,
    body   BLOB NOT NULL,
    UNIQUE (domain, name)
) WITHOUT ROWID;

-- The bindings of an AOR, packed.
CREATE TABLE bindings (
    domain  TEXT NOT NULL,
    user    TEXT NOT NULL,
    expires INTEGER NOT NULL,
    packed  BLOB NOT NULL,
    PRIMARY KEY (domain, user)
) WITHOUT ROWID;

-- Records of calls. The id is in time order: rows are appended.
CREATE TABLE records (
    id     INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    body   BLOB NOT NULL -- {"call": ..., "story": [...]}
);

-- Which numbers were in which calls. A secondary index would dirty a page for
-- every call; so a batch appends one row to the tail, and the tail is merged
-- into a run, which is appended too, sorted by number.
CREATE TABLE record_tail (
    seq     INTEGER PRIMARY KEY,
    calls   INTEGER NOT NULL,
    entries BLOB NOT NULL
);
CREATE TABLE record_runs (
    run  INTEGER PRIMARY KEY,
    low  INTEGER NOT NULL, -- smallest and greatest id in it
    high INTEGER NOT NULL
);
CREATE TABLE record_entries (
    run    INTEGER NOT NULL,
    domain TEXT NOT NULL,
    number TEXT NOT NULL,
    ids    BLOB NOT NULL,
    PRIMARY KEY (run, domain, number)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE record_entries;
DROP TABLE record_runs;
DROP TABLE record_tail;
DROP TABLE records;
DROP TABLE bindings;
DROP TABLE tokens;
DROP TABLE sessions;
DROP TABLE history;
DROP TABLE document_keys;
DROP TABLE documents;
DROP TABLE versions;
DROP TABLE meta;
