-- +goose Up

-- What several nodes on one database need. Every saved state of the bindings of
-- an AOR has a version and replaces the one that it was made from.
ALTER TABLE bindings ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- Followers read on from the version of a domain.
CREATE INDEX history_by_version ON history (domain, epoch, n);

-- Names this database among all: shared copies of it are kept under the name.
INSERT INTO meta (name, value) VALUES ('id', floor(random() * 9e18)::bigint);

-- Which keys the nodes have: a digest of each, so that a node with a ring of
-- its own is found out.
CREATE TABLE keys (
    id     BIGINT PRIMARY KEY,
    digest BYTEA NOT NULL
);

-- +goose Down
DROP TABLE keys;
DELETE FROM meta WHERE name = 'id';
DROP INDEX history_by_version;
ALTER TABLE bindings DROP COLUMN version;
