package authos

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Observer has functions that are called as calls proceed, for metrics and traces; those left nil
// are skipped. They run in the call's own goroutine, outside any lock, so a slow one slows the
// call. Routes are templates, never concrete paths or queries.
type Observer struct {
	// CallStart is called before a call does anything; the context it returns reaches CallDone and
	// the other functions of the call.
	CallStart func(ctx context.Context, e CallStart) context.Context
	CallDone  func(ctx context.Context, e CallDone)
	// Attempt is called when an attempt has ended, a refresh's too.
	Attempt func(ctx context.Context, e AttemptEvent)
	// Wait is called before the client waits.
	Wait func(ctx context.Context, e WaitEvent)
	// Refresh is called when a refresh of tokens has ended. It belongs to no call.
	Refresh func(e RefreshEvent)
	// Breaker is called after a circuit has changed its state, in order. The circuits belong to all
	// clients of a family, so it is the observer given to New that hears of them.
	Breaker func(e BreakerEvent)
	// Stale is called when a cached response is served.
	Stale func(ctx context.Context, e StaleEvent)
}

// CallStart is the beginning of a call.
type CallStart struct{ Method, Route, RequestID string }

// CallDone is the end of a call.
type CallDone struct {
	Method, Route, RequestID string
	// StatusCode is the last response's, 0 when there was none. Err is what the caller gets.
	StatusCode, Attempts int
	Duration             time.Duration
	Refreshed, Stale     bool
	Err                  error
}

// AttemptEvent is the end of one attempt.
type AttemptEvent struct {
	Method, Route, RequestID string
	// Number counts from 1.
	Number     int
	StatusCode int
	Err        error
	Duration   time.Duration
}

// WaitEvent is a wait ahead: before a retry ("retry"), or because another call was told to wait
// ("gate").
type WaitEvent struct {
	Method, Route, RequestID, Reason string
	Wait                             time.Duration
}

// RefreshEvent is the end of a refresh. Err is nil when there are new tokens; Adopted says that
// they were found in the store, put there by another process; Unsaved is why they could not be
// saved, though they are in use.
type RefreshEvent struct {
	Duration time.Duration
	Adopted  bool
	Unsaved  error
	Err      error
}

// BreakerEvent is a circuit's change of state.
type BreakerEvent struct {
	Group    string
	From, To BreakerState
}

// StaleEvent is a cached response that is served instead of a failure.
type StaleEvent struct {
	Method, Route, RequestID string
	Age                      time.Duration
	// Cause is why: the error the caller would have got.
	Cause error
}

func (c *Client) observeStart(cl *call) {
	if f := c.cfg.observer.CallStart; f != nil {
		cl.observed = f(cl.caller, CallStart{cl.method, cl.path, cl.requestID})
	}
}

func (cl *call) watch() context.Context {
	if cl.observed != nil {
		return cl.observed
	}
	return cl.caller
}

func (c *Client) observeDone(cl *call, err error) {
	level := slog.LevelWarn
	if errors.Is(err, CodeDeviceCodePending) {
		level = slog.LevelDebug // the expected response to a poll: up to 180 of them to one sign-in
	}
	if err != nil && c.cfg.logger.Enabled(cl.caller, level) {
		c.cfg.logger.LogAttrs(cl.watch(), level, "authos: call failed", append(cl.attrs(), slog.Int("attempts", cl.attempts),
			slog.Duration("duration", time.Since(cl.start)), slog.String("error", err.Error()))...)
	}
	if f := c.cfg.observer.CallDone; f != nil {
		f(cl.watch(), CallDone{
			Method: cl.method, Route: cl.path, RequestID: cl.requestID, StatusCode: cl.status, Attempts: cl.attempts,
			Duration: time.Since(cl.start), Refreshed: cl.refreshed, Stale: cl.stale, Err: err,
		})
	}
}

// attrs are the allow-list of what a log record says about a call: no query, no header, no body.
func (cl *call) attrs() []slog.Attr {
	return []slog.Attr{slog.String("method", cl.method), slog.String("route", cl.path), slog.String("request_id", safeText(cl.requestID))}
}

// observeAttempt notes and reports how an attempt ended.
func (cl *call) observeAttempt(status int, err error) {
	a := Attempt{StatusCode: status, Err: err, Wait: cl.wait, Duration: time.Since(cl.began)}
	cl.wait = 0
	cl.record(a)
	if status != 0 {
		cl.status = status
	}
	cfg := cl.client.cfg
	if cfg.logger.Enabled(cl.caller, slog.LevelDebug) {
		attrs := append(cl.attrs(), slog.Int("status", status), slog.Duration("duration", a.Duration), slog.Int("attempt", cl.attempts))
		if err != nil {
			attrs = append(attrs, slog.String("error", safeText(err.Error())))
		}
		cfg.logger.LogAttrs(cl.watch(), slog.LevelDebug, "authos: attempt", attrs...)
	}
	if f := cfg.observer.Attempt; f != nil {
		f(cl.watch(), AttemptEvent{cl.method, cl.path, cl.requestID, cl.attempts, status, err, a.Duration})
	}
}

func (cl *call) observeWait(wait time.Duration, reason string) {
	cfg := cl.client.cfg
	if cfg.logger.Enabled(cl.caller, slog.LevelInfo) {
		cfg.logger.LogAttrs(cl.watch(), slog.LevelInfo, "authos: waiting",
			append(cl.attrs(), slog.Duration("wait", wait), slog.String("reason", reason))...)
	}
	if f := cfg.observer.Wait; f != nil {
		f(cl.watch(), WaitEvent{cl.method, cl.path, cl.requestID, reason, wait})
	}
}

func (c *Client) observeRefresh(e RefreshEvent, failed *refreshError) {
	attrs := []slog.Attr{slog.Duration("duration", e.Duration), slog.Bool("adopted", e.Adopted)}
	text := "authos: tokens refreshed"
	if failed != nil {
		e.Err = failed.sessionError()
		text = "authos: tokens not refreshed"
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	c.cfg.logger.LogAttrs(context.Background(), slog.LevelInfo, text, attrs...)
	if f := c.cfg.observer.Refresh; f != nil {
		f(e)
	}
}

func (c *Client) observeBreaker(b breakerChange) {
	c.cfg.logger.LogAttrs(context.Background(), slog.LevelInfo, "authos: circuit changed",
		slog.String("group", b.group), slog.String("from", string(b.from)), slog.String("to", string(b.to)))
	if f := c.cfg.observer.Breaker; f != nil {
		f(BreakerEvent{b.group, b.from, b.to})
	}
}

func (c *Client) observeStale(cl *call) {
	if c.cfg.logger.Enabled(cl.caller, slog.LevelWarn) {
		c.cfg.logger.LogAttrs(cl.watch(), slog.LevelWarn, "authos: serving a cached response",
			append(cl.attrs(), slog.Duration("age", cl.age), slog.String("cause", safeText(cl.failure.Error())))...)
	}
	if f := c.cfg.observer.Stale; f != nil {
		f(cl.watch(), StaleEvent{cl.method, cl.path, cl.requestID, cl.age, cl.failure})
	}
}

func (c *Client) warn(text string, err error) {
	c.cfg.logger.LogAttrs(context.Background(), slog.LevelWarn, "authos: "+text, slog.String("error", safeText(err.Error())))
}
