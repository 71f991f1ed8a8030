package pgstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/atrest"
	"github.com/authos-go/authos/internal/lease"
)

// Key encrypts values: 32 random bytes, kept elsewhere than in the database. It prints as
// "[redacted]" and refuses to be marshalled.
type Key = atrest.Key

var (
	errNoResponse = errors.New("no response from PostgreSQL in time")
	errStandby    = errors.New("this PostgreSQL is a standby, which may hold old tokens: " +
		"use a connection to the primary (target_session_attrs=read-write)")
)

const retryPause = 50 * time.Millisecond

// query runs a statement that gives one row, or none, and scans it. Every statement here may run
// twice, so one whose connection was lost runs again: a pool may hold connections that died with
// the server or the proxy before it.
func query(ctx context.Context, pool *pgxpool.Pool, into []any, sql string, args ...any) (found bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lease.Patience, errNoResponse)
	defer cancel()
	for {
		// No prepared statements: PgBouncer in transaction mode does not know them.
		err = pool.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...).Scan(into...)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, pgx.ErrNoRows):
			return false, nil
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		}
		if !lostConnection(err) {
			return false, clean(err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return false, errors.Join(context.Cause(ctx), clean(err))
		}
	}
}

// lostConnection reports whether another connection may do better: PostgreSQL or a proxy is
// starting, stopping or gone.
func lostConnection(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return true
	}
	switch refused.Code[:min(2, len(refused.Code))] {
	case "08", "57": // connection_exception; operator_intervention: shutdown, starting up
		return true
	}
	return false
}

// clean makes an error of pgx fit for a log: what PostgreSQL says in details may quote values.
func clean(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
		return err
	case refused.Code == "25006": // read_only_sql_transaction
		return errStandby
	case refused.Code == "42P01": // undefined_table
		return errors.New("postgres: the tables are missing: run pgstore.Migrate")
	}
	return fmt.Errorf("postgres: %s (SQLSTATE %s)", refused.Message, refused.Code)
}

func failure(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("pgstore: %s: %w", doing, err)
}

// findings collects what is wrong with a constructor's arguments.
type findings []authos.FieldError

func (f *findings) add(field string, code authos.Code, message string) {
	*f = append(*f, authos.FieldError{Field: field, Code: code, Message: message})
}

func (f *findings) pool(pool *pgxpool.Pool) {
	if pool == nil {
		f.add("pool", authos.CodeRequired, "must not be nil")
	}
}

func (f *findings) keys(key Key, old []Key) {
	if key == nil {
		f.add("Key", authos.CodeRequired, "must be given: 32 random bytes, kept elsewhere than in the database")
		return
	}
	wrong := atrest.CheckKeys(key, old)
	for _, field := range slices.Sorted(maps.Keys(wrong)) {
		f.add(field, authos.CodeOutOfRange, wrong[field])
	}
}

func (f *findings) err() error {
	if len(*f) == 0 {
		return nil
	}
	return &authos.ValidationError{Fields: *f}
}
