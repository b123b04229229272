package sqlstore

import (
	"database/sql"
	"fmt"

	"github.com/pressly/goose/v3"
)

// A dialect is all that differs between the databases, but for how parameters
// are written: [conn] has that. Queries are otherwise written so that both
// understand them.
type dialect struct {
	goose      goose.Dialect
	migrations string // their folder
	// shared says that other nodes write at the same time: locks are rows then,
	// and a transaction may have to be tried again.
	shared   bool
	moment   *sql.TxOptions // of a transaction that reads what was at one moment
	bodyText string         // the body of a document as text
}

func onSQLite() dialect {
	return dialect{
		goose: goose.DialectSQLite3, migrations: "migrations/sqlite",
		moment:   &sql.TxOptions{ReadOnly: true},
		bodyText: "CAST(body AS TEXT)",
	}
}

func onPostgres() dialect {
	return dialect{
		goose: goose.DialectPostgres, migrations: "migrations/postgres",
		shared:   true,
		moment:   &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
		bodyText: "body_text(body)",
	}
}

// Locks that nodes on one database take, beside their own number; see [lockKey].
const (
	lockMigrate = -1 // who brings the schema up to date
	lockHouse   = -2 // who takes away what is kept no longer
	lockSystem  = -3 // who writes settings that are checked across domains
	lockMerge   = -4 // who merges the tail of the records
)

// lockKey is the arguments of an advisory lock: those of another schema in the
// same database are others.
func lockKey(n int) string {
	return fmt.Sprintf("(hashtext('bellhop ' || current_schema()), %d)", n)
}
