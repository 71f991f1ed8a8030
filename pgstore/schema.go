package pgstore

import (
	"context"
	_ "embed"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Schema makes the tables authos_sessions, authos_cache and authos_seen, for migrations of your
// own. It may run again.
//
//go:embed migrations/0001_authos.sql
var Schema string

// migrateLock is the advisory lock under which [Migrate] runs: two CREATE TABLE IF NOT EXISTS at
// the same time may fail. The number is "authos" in ASCII.
const migrateLock = 0x617574686f73

// Migrate runs [Schema] in one transaction; several processes may do so at the same time. The
// tables are made in the first schema of the search_path.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", pgx.QueryExecModeExec, int64(migrateLock)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, Schema) // several statements, without parameters
		return err
	})
	return failure("making the tables", clean(err))
}
