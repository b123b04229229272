-- +goose Up

-- What SIP keeps for a while: subscriptions, messages for phones that are away.
CREATE TABLE kept (
    kind    TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    domain  TEXT COLLATE "C" NOT NULL,
    "user"  TEXT COLLATE "C" NOT NULL,
    expires BIGINT NOT NULL,
    body    BYTEA NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX kept_by_number ON kept (kind, domain, "user", id);

-- +goose Down
DROP TABLE kept;
