package authos

import (
	"context"
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

// DeprecationEvent is the server's word that a route will go, or change.
type DeprecationEvent struct {
	Method, Route string
	// Since is when the route was, or will be, deprecated; zero when the server does not say.
	Since time.Time
	// Sunset is when the route stops working; zero when the server does not say.
	Sunset time.Time
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
