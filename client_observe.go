package authos

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"time"
)

// Observer has functions that are called as calls proceed, for metrics and traces; those left nil
// are skipped. They run in the call's own goroutine, outside any lock, so a slow one slows the
// call, and a panic is the caller's. What concerns a refresh is told when it has ended and the new
// tokens are saved, in the goroutine of one of the calls that waited for it. Routes are templates,
// never concrete paths or queries.
type Observer struct {
	// CallStart is called before a call does anything. The values of the context it returns reach
	// CallDone, the call's other functions, and the requests that the http.RoundTripper gets, so
	// that a trace continues below; the call ends with the caller's own context all the same.
	CallStart func(ctx context.Context, e CallStart) context.Context
	CallDone  func(ctx context.Context, e CallDone)
	// Attempt is called when an attempt has ended, a refresh's too. What it is given is its own: it
	// may be kept and read later.
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
	// Deprecation is called when the server says that a route is deprecated, once for each route.
	Deprecation func(ctx context.Context, e DeprecationEvent)
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
	// NoMore is why no attempt followed the last one of a call that failed, as in [Attempt], or
	// "circuit open". It is set too where a cached response was served instead.
	NoMore string
}

// AttemptEvent is the end of one attempt.
type AttemptEvent struct {
	Method, Route, RequestID string
	// Number counts from 1.
	Number     int
	StatusCode int
	Err        error
	Duration   time.Duration
	// NoMore is why no attempt follows one that failed, as in [Attempt].
	NoMore string
}

// WaitEvent is a wait ahead, or one that has begun to take long.
type WaitEvent struct {
	Method, Route, RequestID string
	// Reason is "retry" (before the next attempt), "gate" (another call was told to wait), "lock"
	// (of the token store: another process refreshes the session's tokens, or died in it) or
	// "refresh in doubt" (a refresh has no response yet, and the server may be at work on it).
	Reason string
	// Wait is how long at most.
	Wait time.Duration
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

// BreakerEvent is a change of an endpoint group's state. From and To are equal where a group that
// was open to some principals is open to all from now on.
type BreakerEvent struct {
	Group    string
	From, To BreakerState
	// Blamed is how many principals (sessions, API keys) the change is about: it is they who meet
	// failures, and the others pass. 0: everybody.
	Blamed int
}

// StaleEvent is a cached response that is served instead of a failure.
type StaleEvent struct {
	Method, Route, RequestID string
	Age                      time.Duration
	// Cause is why: the error the caller would have got.
	Cause error
}

// Observers makes one observer of several, which are called in the order given; nil ones are left
// out. A call's context goes through the CallStart of each.
func Observers(list ...*Observer) *Observer {
	all := new(Observer)
	for _, next := range list {
		if next != nil {
			all = both(*all, *next)
		}
	}
	return all
}

func both(a, b Observer) *Observer {
	return &Observer{
		CallStart: either(a.CallStart, b.CallStart, func(ctx context.Context, e CallStart) context.Context {
			if own := a.CallStart(ctx, e); own != nil {
				ctx = own
			}
			return b.CallStart(ctx, e)
		}),
		CallDone: either(a.CallDone, b.CallDone, func(ctx context.Context, e CallDone) { a.CallDone(ctx, e); b.CallDone(ctx, e) }),
		Attempt:  either(a.Attempt, b.Attempt, func(ctx context.Context, e AttemptEvent) { a.Attempt(ctx, e); b.Attempt(ctx, e) }),
		Wait:     either(a.Wait, b.Wait, func(ctx context.Context, e WaitEvent) { a.Wait(ctx, e); b.Wait(ctx, e) }),
		Refresh:  either(a.Refresh, b.Refresh, func(e RefreshEvent) { a.Refresh(e); b.Refresh(e) }),
		Breaker:  either(a.Breaker, b.Breaker, func(e BreakerEvent) { a.Breaker(e); b.Breaker(e) }),
		Stale:    either(a.Stale, b.Stale, func(ctx context.Context, e StaleEvent) { a.Stale(ctx, e); b.Stale(ctx, e) }),
		Deprecation: either(a.Deprecation, b.Deprecation, func(ctx context.Context, e DeprecationEvent) {
			a.Deprecation(ctx, e)
			b.Deprecation(ctx, e)
		}),
	}
}

// either gives the one of two functions that is there, or where both are, what calls both.
func either[F any](a, b, both F) F {
	switch {
	case reflect.ValueOf(a).IsNil():
		return b
	case reflect.ValueOf(b).IsNil():
		return a
	default:
		return both
	}
}

func (c *Client) observeStart(cl *call) {
	f := c.cfg.observer.CallStart
	if f == nil {
		return
	}
	if ctx := f(cl.caller, CallStart{cl.method, cl.path, cl.requestID}); ctx != nil {
		cl.observed = ctx
		cl.Context = observedContext{cl.caller, ctx}
	}
}

// observedContext is the caller's context with the values of the one that CallStart returned. The
// end of a call is the caller's to decide: an observer that returned a context of its own, or one
// that ends with its span, must not detach or end it.
type observedContext struct {
	context.Context
	values context.Context //nolint:containedctx // it is one
}

// Value implements [context.Context].
func (c observedContext) Value(key any) any { return c.values.Value(key) }

func (cl *call) watch() context.Context {
	if cl.observed != nil {
		return cl.observed
	}
	return cl.caller
}

func (c *Client) observeDone(cl *call, err error) {
	c.observeDeprecation(cl)
	level := slog.LevelWarn
	if errors.Is(err, CodeDeviceCodePending) {
		level = slog.LevelDebug // the expected response to a poll: up to 180 of them to one sign-in
	}
	if err != nil && c.cfg.logger.Enabled(cl.caller, level) {
		c.cfg.logger.LogAttrs(cl.watch(), level, "authos: call failed", append(cl.attrs(), slog.Int("attempts", cl.attempts),
			slog.Duration("duration", time.Since(cl.start)), slog.String("error", err.Error()),
			slog.String("no_more", cl.retrying.noMore))...)
	}
	if f := c.cfg.observer.CallDone; f != nil {
		f(cl.watch(), CallDone{
			Method: cl.method, Route: cl.path, RequestID: cl.requestID, StatusCode: cl.status, Attempts: cl.attempts,
			Duration: time.Since(cl.start), Refreshed: cl.refreshed, Stale: cl.stale, Err: err, NoMore: cl.retrying.noMore,
		})
	}
}

// attrs are the allow-list of what a log record says about a call: no query, no header, no body.
func (cl *call) attrs() []slog.Attr {
	return []slog.Attr{slog.String("method", cl.method), slog.String("route", cl.path), slog.String("request_id", safeText(cl.requestID))}
}

// snapshot is an error as it is now. The call goes on to write into its own.
func snapshot(err error) error {
	switch e := err.(type) { //nolint:errorlint // layers return their errors unwrapped
	case nil:
		return nil
	case *NetworkError:
		return new(*e)
	case *DecodeError:
		return new(*e)
	case *SessionError:
		return new(*e)
	case *RateLimitError:
		return new(*e)
	case *CircuitOpenError:
		return new(*e)
	default:
		// what http.Client itself refused
		return &NetworkError{Op: "redirect", Err: redirectError(err)}
	}
}

// observeAttempt notes and reports how an attempt ended.
func (cl *call) observeAttempt(status int, err error) {
	cl.noteAttempt(status, err)
	if cl.group != groupRefresh { // which tells it when it has ended
		cl.tellAttempt()
	}
}

// noteAttempt puts the end of an attempt into the call's history.
func (cl *call) noteAttempt(status int, err error) {
	cl.record(Attempt{StatusCode: status, Err: snapshot(err), Wait: cl.wait, Duration: time.Since(cl.began)})
	cl.wait = 0
	if status != 0 {
		cl.status = status
	}
}

// tellAttempt reports the last attempt of the history.
func (cl *call) tellAttempt() { cl.tell(len(cl.history) - 1) }

func (cl *call) tell(i int) {
	a, number := cl.history[i], cl.attempts-len(cl.history)+1+i
	cfg := cl.client.cfg
	if cfg.logger.Enabled(cl.caller, slog.LevelDebug) {
		attrs := append(cl.attrs(), slog.Int("status", a.StatusCode), slog.Duration("duration", a.Duration), slog.Int("attempt", number))
		if a.Err != nil {
			attrs = append(attrs, slog.String("error", safeText(a.Err.Error())))
		}
		if a.NoMore != "" {
			attrs = append(attrs, slog.String("no_more", a.NoMore))
		}
		cfg.logger.LogAttrs(cl.watch(), slog.LevelDebug, "authos: attempt", attrs...)
	}
	if f := cfg.observer.Attempt; f != nil {
		f(cl.watch(), AttemptEvent{cl.method, cl.path, cl.requestID, number, a.StatusCode, a.Err, a.Duration, a.NoMore})
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

func (c *Client) observeBreaker(b breakerChange) {
	c.cfg.logger.LogAttrs(context.Background(), slog.LevelInfo, "authos: circuit changed",
		slog.String("group", b.group), slog.String("from", string(b.from)), slog.String("to", string(b.to)), slog.Int("blamed", b.blamed))
	if f := c.cfg.observer.Breaker; f != nil {
		f(BreakerEvent{b.group, b.from, b.to, b.blamed})
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
