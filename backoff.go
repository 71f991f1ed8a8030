package authos

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/authos-go/authos/internal/routes"
)

// RetryPolicy says how often and how long a call is tried. The zero value of a field is its
// default.
//
// Whether an attempt is repeated at all is not a matter of policy but of what may have happened at
// the server: what certainly did not arrive or was refused unread is repeated; what may have been
// applied is repeated only where a second time does no harm.
type RetryPolicy struct {
	// MaxAttempts counts the first try. Default 4; 1 turns retries off.
	MaxAttempts int
	// BaseDelay is the bound of the first wait; it doubles with each retry up to MaxDelay. The wait
	// is drawn evenly from zero to the bound (full jitter). Defaults 200 ms and 20 s.
	BaseDelay, MaxDelay time.Duration
	// MaxRetryAfter is the longest wait asked for by the server that is obeyed. Beyond it the error
	// comes back at once, with RetryAfter set. Default 60 s.
	MaxRetryAfter time.Duration
	// MaxElapsed bounds the whole call, waits included. Default 2 min; negative: no bound.
	MaxElapsed time.Duration
	// AttemptTimeout bounds one attempt, body included. Default 35 s, since the server itself gives
	// up after 30 s and says so with 408; negative: no bound.
	AttemptTimeout time.Duration
	// Budget bounds the share of retries in the traffic of all clients of a family.
	Budget RetryBudget
}

const (
	defaultMaxAttempts    = 4
	defaultBaseDelay      = 200 * time.Millisecond
	defaultMaxDelay       = 20 * time.Second
	defaultMaxRetryAfter  = 60 * time.Second
	defaultMaxElapsed     = 2 * time.Minute
	defaultAttemptTimeout = 35 * time.Second
	defaultBudgetRatio    = 0.2
	defaultBudgetReserve  = 10
)

func (p RetryPolicy) check() error {
	var errs []error
	refuse := func(bad bool, text string) {
		if bad {
			errs = append(errs, errors.New(text))
		}
	}
	refuse(p.MaxAttempts < 0, "MaxAttempts is negative; 1 turns retries off")
	refuse(p.BaseDelay < 0, "BaseDelay is negative")
	refuse(p.MaxDelay < 0, "MaxDelay is negative")
	refuse(p.MaxRetryAfter < 0, "MaxRetryAfter is negative")
	refuse(p.MaxDelay > 0 && p.BaseDelay > p.MaxDelay, "BaseDelay is longer than MaxDelay")
	refuse(math.IsNaN(p.Budget.Ratio) || math.IsInf(p.Budget.Ratio, 0), "Budget.Ratio is not a number")
	return errors.Join(errs...)
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	p.MaxAttempts = cmp.Or(p.MaxAttempts, defaultMaxAttempts)
	p.MaxDelay = cmp.Or(p.MaxDelay, max(defaultMaxDelay, p.BaseDelay))
	p.BaseDelay = cmp.Or(p.BaseDelay, min(defaultBaseDelay, p.MaxDelay))
	p.MaxRetryAfter = cmp.Or(p.MaxRetryAfter, defaultMaxRetryAfter)
	p.MaxElapsed = cmp.Or(p.MaxElapsed, defaultMaxElapsed)
	p.AttemptTimeout = cmp.Or(p.AttemptTimeout, defaultAttemptTimeout)
	p.Budget.Ratio = cmp.Or(p.Budget.Ratio, defaultBudgetRatio)
	p.Budget.Reserve = cmp.Or(p.Budget.Reserve, defaultBudgetReserve)
	return p
}

func newRetryLayer(c *Client, next http.RoundTripper) http.RoundTripper {
	r := &retryLayer{policy: c.cfg.retry, fam: c.fam, client: c}
	inner := c.fam.inner
	// go-retryablehttp closes the idle connections of the client it is given after every failed
	// call. The gate layer has no such method, so that a failure does not cost the warm connections
	// of all.
	inner.Transport = next
	r.inner = &inner
	r.engines.New = func() any { return r.newEngine() }
	return r
}

// retryLayer drives a call's attempts: go-retryablehttp runs the loop and rewinds bodies,
// backoff/v4 draws the waits, and what is worth repeating is decided here.
type retryLayer struct {
	policy RetryPolicy
	fam    *family
	client *Client
	inner  *http.Client
	// of *engine: a retryablehttp.Client cannot be copied, and a new one a call would cost three
	// allocations
	engines sync.Pool
}

// engine is one call's go-retryablehttp: its callbacks get no request, so they find the call here.
type engine struct {
	retryablehttp.Client
	cl      *call
	backoff *backoff.ExponentialBackOff // made on the first failure
	next    time.Duration               // the wait that judge decided on
	free    bool                        // a 429's free retry has been used
}

func (r *retryLayer) newEngine() *engine {
	e := &engine{}
	e.HTTPClient = r.inner
	// judge counts: on the last attempt the loop must end with the response kept
	e.RetryMax = math.MaxInt
	e.CheckRetry = func(_ context.Context, resp *http.Response, err error) (bool, error) {
		return r.judge(e, resp, err), nil
	}
	e.Backoff = func(time.Duration, time.Duration, int, *http.Response) time.Duration { return e.next }
	e.ErrorHandler = func(_ *http.Response, err error, _ int) (*http.Response, error) { return nil, err }
	return e
}

// RoundTrip implements [http.RoundTripper].
func (r *retryLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	r.fam.budget.earn()
	e := r.engines.Get().(*engine) //nolint:forcetypeassert // the pool holds nothing else
	e.cl, e.backoff, e.free = cl, nil, false
	again := retryablehttp.Request{Request: req}
	if cl.body != nil {
		if err := again.SetBody(cl.body); err != nil {
			return nil, err
		}
	}
	resp, err := e.Do(&again)
	e.cl = nil
	r.engines.Put(e)
	switch {
	case err == nil && cl.method == http.MethodDelete && cl.unknown && gone(resp):
		// An earlier attempt may have deleted it, and now it is not there: that is what was asked
		// for.
		cl.unknown = false
		return emptySuccess(resp), nil
	case err == nil:
		if errorOf(resp) == nil && resp.StatusCode/100 == 2 {
			cl.unknown = false
		}
		return resp, nil
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its text holds the URL, query included
	}
	switch {
	case ours(err):
		return nil, err
	case cl.Err() != nil:
		// go-retryablehttp gives the bare context error when it ends a wait
		return nil, cl.ended("wait")
	default:
		// what http.Client itself refused
		return nil, &NetworkError{Op: "redirect", Err: redirectError(err)}
	}
}

// ours reports whether an error was made by a layer of this package.
func ours(err error) bool {
	_, ok := err.(interface{ end() *callEnd })
	return ok
}

func gone(resp *http.Response) bool {
	return resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone
}

// emptySuccess is a copy of a response with its meaning turned to "done".
func emptySuccess(resp *http.Response) *http.Response {
	ok := *resp
	ok.StatusCode, ok.Status, ok.Body, ok.ContentLength = http.StatusNoContent, "204 No Content", newBody(nil, nil), 0
	return &ok
}

// judge looks at how an attempt ended and reports whether there is another, having decided on the
// wait before it.
func (r *retryLayer) judge(e *engine, resp *http.Response, err error) bool {
	cl := e.cl
	var api *APIError
	if err == nil {
		if api = errorOf(resp); api == nil {
			cl.observeAttempt(resp.StatusCode, nil)
			return false // a success wins, whatever became of the context meanwhile
		}
		cl.last, cl.responseHeader = api, resp.Header
		cl.refused.Store(api.effectiveStatus() < 500)
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	status := 0
	if api != nil {
		status = api.StatusCode
	}
	if cl.sent {
		cl.observeAttempt(status, err)
	}
	w := weigh(cl, api, err)
	cl.unknown = cl.unknown || w.acted && cl.mutation
	if api != nil && status == http.StatusTooManyRequests && api.RetryAfter > 0 && !mailLimit(cl, api) {
		r.fam.gates[cl.limiter()].raise(api.RetryAfter, r.policy.MaxRetryAfter)
	}
	limit := cl.maxAttempts
	if api != nil && api.Hint != nil && api.Hint.MaxRetries != nil {
		limit = min(limit, max(*api.Hint.MaxRetries, 0)+1)
	}
	if !w.again || cl.Err() != nil || cl.attempts >= limit {
		return false
	}
	wait, ok := r.nextWait(e, api)
	if !ok || !r.spend(e, api) {
		return false
	}
	cl.wait = wait
	e.next = wait
	cl.observeWait(wait, "retry")
	return true
}

// nextWait is max(what the server asked for, exponential backoff with full jitter). Where the
// server asked, up to a tenth, two seconds at most, is added, so that a thousand clients do not
// come back in the same instant. ok is false when the wait is too long: for the policy, for the
// caller's deadline or for MaxElapsed. Then the response is worth more to the caller than a sleep.
func (r *retryLayer) nextWait(e *engine, api *APIError) (wait time.Duration, ok bool) {
	wait = r.draw(e, api)
	if api == nil || !api.waitAsked {
		return wait, e.cl.fits(wait)
	}
	asked := api.RetryAfter
	if asked > r.policy.MaxRetryAfter {
		return 0, false
	}
	if asked <= 0 {
		// "now", or a time that has passed: RFC 9110 has no floor, a hot loop needs one
		asked = r.policy.BaseDelay
	}
	wait = max(asked, wait)
	if !e.cl.fits(wait) {
		return 0, false
	}
	if jittered := wait + spread(asked); e.cl.fits(jittered) {
		return jittered, true
	}
	e.cl.cause = nil // only the jitter did not fit
	return wait, true
}

func spread(asked time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(min(asked/10, 2*time.Second)) + 1)) //nolint:gosec // jitter
}

// draw takes the next wait of the exponential series: evenly from zero to the bound, which is
// BaseDelay and doubles up to MaxDelay.
func (r *retryLayer) draw(e *engine, api *APIError) time.Duration {
	if e.backoff == nil {
		multiplier := 2.0
		if api != nil && api.Hint != nil && api.Hint.Backoff == "constant" {
			multiplier = 1
		}
		e.backoff = newBackoff(r.policy, multiplier)
	}
	wait := e.backoff.NextBackOff()
	if api != nil && api.Hint != nil && api.Hint.Backoff == "linear" {
		n := min(int64(e.cl.attempts), int64(r.policy.MaxDelay/r.policy.BaseDelay)+1)
		wait = time.Duration(rand.Int64N(int64(min(r.policy.BaseDelay*time.Duration(n), r.policy.MaxDelay)) + 1)) //nolint:gosec // jitter
	}
	return max(wait, 0)
}

// newBackoff makes backoff/v4 draw with full jitter: it draws from interval·(1±factor), so half the
// bound and a factor of 1 give zero to the bound. It would stop by itself after 15 minutes with a
// negative wait; the call has its own bounds, so it never does.
func newBackoff(p RetryPolicy, multiplier float64) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(max(p.BaseDelay/2, 1)), backoff.WithMaxInterval(max(p.MaxDelay/2, 1)),
		backoff.WithMultiplier(multiplier), backoff.WithRandomizationFactor(1), backoff.WithMaxElapsedTime(0),
	)
}

// spend takes a retry from the budget.
func (r *retryLayer) spend(e *engine, api *APIError) bool {
	if e.cl.excused {
		return true // of which there are maxMembers at most
	}
	if !e.free && api != nil && api.StatusCode == http.StatusTooManyRequests && api.waitAsked {
		e.free = true
		return true
	}
	return r.fam.budget.spend()
}

// weight is what an attempt's end means.
type weight struct {
	again bool // another attempt makes sense and is safe
	acted bool // the server may have applied the request
}

// mailLimit reports whether a 429 is about one e-mail address, which says nothing about other
// calls: the address limiter responds in JSON, the limiter of the bucket in plain text.
func mailLimit(cl *call, api *APIError) bool {
	return api.shaped && cl.route != nil && cl.route.Has(routes.Unconfigured)
}

// weigh is the retry table of DESIGN.md: decided by what may have happened at the server, not by
// the status alone.
func weigh(cl *call, api *APIError, err error) weight {
	if api != nil {
		w := weighResponse(cl, api)
		if h := api.Hint; h != nil && h.Retryable != nil && !api.Code.means(CodeAuditError) && (!cl.singleUse || !*h.Retryable) {
			w.again = *h.Retryable
		}
		return w
	}
	switch e := err.(type) { //nolint:errorlint // layers return their errors unwrapped
	case *NetworkError:
		switch {
		case cl.Err() != nil:
			return weight{acted: cl.sent && !e.unsent}
		case e.unsent:
			return weight{again: !permanent(e.Err)}
		case permanent(e.Err):
			return weight{}
		default:
			return weight{again: cl.idempotent, acted: true}
		}
	case *CircuitOpenError, *RateLimitError, *SessionError, *DecodeError:
		// a session layer's or breaker's word is final; a DecodeError is a success we cannot read
		return weight{}
	default:
		// http.Client's own refusal: a redirect. One that follows a write may come after the write.
		return weight{acted: cl.sent}
	}
}

func weighResponse(cl *call, api *APIError) weight {
	ambiguous := weight{again: cl.idempotent, acted: true}
	switch status := api.effectiveStatus(); {
	case api.Code.means(CodeAuditError):
		// "Audit logging failed": older servers write the log after the change, newer ones together
		// with it.
		return weight{again: !cl.mutation || cl.byWord(), acted: true}
	case status == http.StatusTooManyRequests:
		// The limiters run before the handler. The e-mail limiter's own code comes without a wait,
		// which may be an hour.
		return weight{again: api.Code != CodeTooManyRequests || api.waitAsked}
	case status == http.StatusTooEarly:
		return weight{again: true} // RFC 8470, section 5.2: not processed
	case api.coded && api.Code == CodeServiceUnavailable && cl.route != nil && cl.route.Has(routes.Unconfigured):
		return weight{} // "e-mail is not configured here"
	case status == http.StatusServiceUnavailable && api.shaped && api.waitAsked:
		return weight{again: true} // refused by the server itself, which says when to come back
	case status == http.StatusRequestTimeout:
		// the server stopped waiting for its own work, which may still be committed
		return ambiguous
	case status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return weight{}
	case status >= 500:
		return ambiguous
	default:
		return weight{}
	}
}

// byWord says that the caller, not the route, declared the call repeatable.
func (cl *call) byWord() bool { return cl.declared && !cl.singleUse }
