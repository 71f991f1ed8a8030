package redisstore

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
)

// patience bounds one exchange with Redis, go-redis's own retries included.
const patience = 3 * time.Second

var errNoAnswer = errors.New("redisstore: no answer from Redis in time")

// await runs f, which talks to Redis, and leaves when ctx is done or patience is over, even if f does not: go-redis looks at a context
// between its attempts, but during one only with ContextTimeoutEnabled. f may then still have an effect; abandoned, if not nil, is called
// when it has ended.
func await[T any](ctx context.Context, f func(context.Context) (T, error), abandoned func()) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errNoAnswer)
	defer cancel() // f, if left behind, does not start another attempt
	type outcome struct {
		value T
		err   error
	}
	done, gone := make(chan outcome), make(chan struct{})
	go func() {
		value, err := f(ctx)
		select {
		case done <- outcome{value, err}:
		case <-gone:
			if abandoned != nil {
				abandoned()
			}
		}
	}()
	select {
	case o := <-done:
		return o.value, clean(o.err)
	case <-ctx.Done():
		close(gone)
		var zero T
		return zero, context.Cause(ctx)
	}
}

// clean makes an error of go-redis fit for a log. Redis repeats the arguments of a command that it does not know or allow, in quotes,
// and they may be tokens; go-redis quotes replies that it cannot read. Errors of the network name addresses only.
func clean(err error) error {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return err
	}
	const longest = 100 // bytes
	text := err.Error()
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
	if rdb == nil {
		f.add("rdb", authos.CodeRequired, "must not be nil")
	}
	// RouteByLatency and RouteRandomly set ReadOnly, too.
	if cluster, ok := rdb.(*redis.ClusterClient); ok && cluster.Options().ReadOnly {
		f.add("rdb", authos.CodeInvalidFormat, "must not read from replicas (ReadOnly, RouteByLatency, RouteRandomly): they lag behind")
	}
}

func (f *findings) err() error {
	if len(*f) == 0 {
		return nil
	}
	return &authos.ValidationError{Fields: *f}
}
