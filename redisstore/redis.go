package redisstore

import (
	"context"
	"errors"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/atrest"
	"github.com/authos-go/authos/internal/lease"
)

// Key encrypts values: 32 random bytes, kept elsewhere than in Redis. It prints as "[redacted]" and
// refuses to be marshalled.
type Key = atrest.Key

var errNoResponse = errors.New("no response from Redis in time")

// await runs f, which talks to Redis, and leaves when ctx is done or the patience is over, even if
// f does not: go-redis looks at a context between its attempts, but during one only with
// ContextTimeoutEnabled. f may then still have an effect, but its context is done: it does not
// start another attempt.
func await[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lease.Patience, errNoResponse)
	defer cancel()
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := f(ctx)
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, clean(o.err)
	case <-ctx.Done():
		var zero T
		return zero, context.Cause(ctx)
	}
}

// clean makes an error of go-redis fit for a log. Redis repeats the arguments of a command that it
// does not know or allow, in quotes, and they may be tokens; go-redis quotes replies that it cannot
// read. Errors of the network name addresses only.
func clean(err error) error {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return err
	}
	const longest = 100 // bytes
	text := err.Error()
	if strings.HasPrefix(text, "READONLY") || strings.Contains(text, "-READONLY") {
		return errors.New("this Redis is a replica, which may hold old tokens: use a client that talks to the primary")
	}
	if i := strings.IndexAny(text, "\"'`"); i >= 0 {
		text = text[:i]
	}
	return errors.New("redis: " + strings.TrimSpace(strings.TrimPrefix(text[:min(len(text), longest)], "redis: ")))
}

// findings collects what is wrong with a constructor's arguments.
type findings []authos.FieldError

func (f *findings) add(field string, code authos.Code, message string) {
	*f = append(*f, authos.FieldError{Field: field, Code: code, Message: message})
}

func (f *findings) client(rdb redis.UniversalClient) {
	if v := reflect.ValueOf(rdb); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		f.add("rdb", authos.CodeRequired, "must not be nil")
		return
	}
	switch c := rdb.(type) {
	case *redis.Ring:
		f.add("rdb", authos.CodeInvalidFormat,
			"must not be a Ring: it moves keys to another server when one does not respond, and the session is not there")
	case *redis.ClusterClient:
		// RouteByLatency and RouteRandomly set ReadOnly, too.
		if c.Options().ReadOnly {
			f.add("rdb", authos.CodeInvalidFormat,
				"must not read from replicas (ReadOnly, RouteByLatency, RouteRandomly, ReplicaOnly): they lag behind")
		}
	}
}

func (f *findings) keys(key Key, old []Key) {
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
