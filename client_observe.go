package authos

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

func (a *agent) observeStart(cl *call) {
	f := a.cfg.observer.CallStart
	if f == nil {
		return
	}
	if ctx := f(cl.Context, CallStart{cl.method, cl.path(), cl.requestID}); ctx != nil {
		cl.observed = ctx
	}
}

// watch is the context that CallStart returned, else the caller's. Its values are the call's; when
// the call ends is the caller's to decide: an observer that returned a context of its own, or one
// that ends with its span, must not detach or end it.
func (cl *call) watch() context.Context {
	if cl.observed != nil {
		return cl.observed
	}
	return cl.Context
}

func (a *agent) observeDone(cl *call, err error) {
	a.observeDeprecation(cl)
	level := slog.LevelWarn
	if errors.Is(err, CodeDeviceCodePending) {
		level = slog.LevelDebug // the expected response to a poll: up to 180 of them to one sign-in
	}
	if err != nil && a.cfg.logger.Enabled(cl.Context, level) {
		a.cfg.logger.LogAttrs(cl.watch(), level, "authos: call failed", append(cl.attrs(), slog.Int("attempts", cl.attempts),
			slog.Duration("duration", time.Since(cl.start)), slog.String("error", err.Error()),
			slog.String("no_more", cl.retrying.noMore))...)
	}
	if f := a.cfg.observer.CallDone; f != nil {
		f(cl.watch(), CallDone{
			Method: cl.method, Route: cl.path(), RequestID: cl.requestID, StatusCode: cl.status, Attempts: cl.attempts,
			Duration: time.Since(cl.start), Refreshed: cl.refreshed, Stale: cl.stale != nil, Err: err, NoMore: cl.retrying.noMore,
		})
	}
}

// attrs are the allow-list of what a log record says about a call: no query, no header, no body.
func (cl *call) attrs() []slog.Attr {
	return []slog.Attr{slog.String("method", cl.method), slog.String("route", cl.path()), slog.String("request_id", safeText(cl.requestID))}
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
	if cfg.logger.Enabled(cl.Context, slog.LevelDebug) {
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
		f(cl.watch(), AttemptEvent{cl.method, cl.path(), cl.requestID, number, a.StatusCode, a.Err, a.Duration, a.NoMore})
	}
}

func (cl *call) observeWait(wait time.Duration, reason string) {
	cfg := cl.client.cfg
	if cfg.logger.Enabled(cl.Context, slog.LevelInfo) {
		cfg.logger.LogAttrs(cl.watch(), slog.LevelInfo, "authos: waiting",
			append(cl.attrs(), slog.Duration("wait", wait), slog.String("reason", reason))...)
	}
	if f := cfg.observer.Wait; f != nil {
		f(cl.watch(), WaitEvent{cl.method, cl.path(), cl.requestID, reason, wait})
	}
}

func (a *agent) observeBreaker(e BreakerEvent) {
	a.cfg.logger.LogAttrs(context.Background(), slog.LevelInfo, "authos: circuit changed",
		slog.String("group", e.Group), slog.String("from", string(e.From)), slog.String("to", string(e.To)), slog.Int("blamed", e.Blamed))
	if f := a.cfg.observer.Breaker; f != nil {
		f(e)
	}
}

func (a *agent) observeStale(cl *call) {
	if a.cfg.logger.Enabled(cl.Context, slog.LevelWarn) {
		a.cfg.logger.LogAttrs(cl.watch(), slog.LevelWarn, "authos: serving a cached response",
			append(cl.attrs(), slog.Duration("age", cl.stale.age), slog.String("cause", safeText(cl.stale.failure.Error())))...)
	}
	if f := a.cfg.observer.Stale; f != nil {
		f(cl.watch(), StaleEvent{cl.method, cl.path(), cl.requestID, cl.stale.age, cl.stale.failure})
	}
}

func (a *agent) warn(text string, err error) {
	a.cfg.logger.LogAttrs(context.Background(), slog.LevelWarn, "authos: "+text, slog.String("error", safeText(err.Error())))
}
