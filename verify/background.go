package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// background runs what outlives the call that started it: fetches that several callers wait for, so
// that none of them may end it.
type background struct {
	mu     sync.Mutex // orders start and close, so that close waits for all that was started
	closed bool
	ctx    context.Context // ends when the verifier is closed
	end    context.CancelCauseFunc
	flight sync.WaitGroup
}

func newBackground() *background {
	b := &background{}
	b.ctx, b.end = context.WithCancelCause(context.Background())
	return b
}

// start runs f in a goroutine and reports whether it could. f's context has the values of ctx but
// not its end: it ends after the timeout, or when the verifier is closed.
func (b *background) start(ctx context.Context, timeout time.Duration, f func(context.Context)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.flight.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		defer context.AfterFunc(b.ctx, cancel)()
		f(ctx)
	})
	return true
}

func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.end(net.ErrClosed)
	b.flight.Wait()
}

// panicked makes an error of what somebody else's code panicked with in a goroutine of ours, where
// nobody could recover it.
func panicked(p any, err error) error {
	if p == nil {
		return err
	}
	return fmt.Errorf("panic: %v", p)
}

var errLeft = errors.New("the store ended its goroutine")

// guarded calls a store that is not ours: one that panics fails, and one that does not heed its
// context is left behind.
func guarded[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		out := outcome{err: errLeft}
		defer func() {
			out.err = panicked(recover(), out.err)
			done <- out
		}()
		out.value, out.err = f(ctx)
	}()
	select {
	case out := <-done:
		return out.value, out.err
	case <-ctx.Done():
		return *new(T), context.Cause(ctx)
	}
}
