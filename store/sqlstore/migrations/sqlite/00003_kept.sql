-- +goose Up

-- What SIP keeps for a while: subscriptions, messages for phones that are away.
CREATE TABLE kept (
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    domain  TEXT NOT NULL,
    user    TEXT NOT NULL,
    expires INTEGER NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX kept_by_number ON kept (kind, domain, user, id);

-- +goose Down
DROP TABLE kept;
