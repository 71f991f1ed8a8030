package authos

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

func newRetryLayer(a *agent, next http.RoundTripper) http.RoundTripper {
	r := &retryLayer{policy: a.cfg.retry, fam: a.fam}
	inner := http.Client{
		// The wire layer follows redirects, within an attempt.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	// go-retryablehttp closes the idle connections of the client it is given after every failed
	// call. The gate layer has no such method, so that a failure does not cost the warm connections
	// of all.
	inner.Transport = next
	r.loop.HTTPClient = &inner
	r.loop.RetryMax = math.MaxInt // decide counts: the loop must end with the last response kept
	r.loop.CheckRetry = r.decide
	// The attempt itself waits, where it can be told why it ended.
	r.loop.Backoff = func(time.Duration, time.Duration, int, *http.Response) time.Duration { return 0 }
	r.loop.ErrorHandler = func(_ *http.Response, err error, _ int) (*http.Response, error) { return nil, err }
	return r
}

// retryLayer drives a call's attempts: go-retryablehttp runs the loop, backoff/v4 bounds the waits,
// and what is worth repeating is decided here.
type retryLayer struct {
	policy RetryPolicy
	fam    *family
	loop   retryablehttp.Client
}

// RoundTrip implements [http.RoundTripper].
func (r *retryLayer) RoundTrip(req *http.Request) (*http.Response, error) {
	cl := callOf(req)
	r.fam.budget.earn()
	resp, err := r.loop.Do(&retryablehttp.Request{Request: req}) // the wire layer rewinds the body
	switch {
	case err == nil && cl.method == http.MethodDelete && cl.unknown && gone(resp):
		// An earlier attempt may have deleted it, and now it is not there: that is what was asked
		// for.
		cl.unknown, cl.retrying.noMore = false, ""
		return emptySuccess(resp), nil
	case err == nil:
		return resp, nil
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its text holds the URL, query included
	}
	switch {
	case ours(err):
		return nil, err
	case cl.Err() != nil:
		// go-retryablehttp gives the bare context error when it ends between two attempts
		cl.retrying.noMore = cl.whyEnded()
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

// decide looks at how an attempt ended and reports whether there is another, having decided on the
// wait before it. The request's context is the call.
func (r *retryLayer) decide(ctx context.Context, resp *http.Response, err error) (bool, error) {
	cl, _ := ctx.Value(callKey{}).(*call)
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	var api *APIError
	status := 0
	if err == nil {
		status = resp.StatusCode
		if api = errorOf(resp); api != nil {
			cl.last, cl.responseHeader = api, resp.Header
			cl.refused.Store(api.effectiveStatus() < 500)
		}
	}
	if cl.sent {
		cl.noteAttempt(status, err)
	}
	if err == nil && api == nil {
		cl.tellAttempt()
		return false, nil // a success wins, whatever became of the context meanwhile
	}
	cl.retrying.noMore = r.whyNoMore(cl, api, err)
	if cl.sent {
		cl.history[len(cl.history)-1].NoMore = cl.retrying.noMore
		cl.tellAttempt()
	}
	if cl.retrying.noMore != "" {
		return false, nil
	}
	cl.observeWait(cl.retrying.wait, "retry")
	return true, nil
}

// whyNoMore says why an attempt that failed is the last; empty where there is another.
func (r *retryLayer) whyNoMore(cl *call, api *APIError, err error) string {
	p := weigh(cl, api, err)
	if p.acted {
		cl.unknown = cl.unknown || cl.mutation
		cl.retrying.again = p.again
	}
	limit := cl.maxAttempts
	if api != nil {
		if api.effectiveStatus() == http.StatusTooManyRequests && api.RetryAfter > 0 && !mailLimit(cl, api) {
			r.fam.gates[cl.limiter()].raise(api.RetryAfter, r.policy.MaxRetryAfter)
		}
		if h := api.Hint; h != nil && h.MaxRetries != nil {
			limit = min(limit, max(min(*h.MaxRetries, math.MaxInt-1), 0)+1)
		}
	}
	switch {
	case cl.Err() != nil:
		return cl.whyEnded()
	case !p.again:
		return p.noMore
	case cl.attempts-cl.repeats >= limit:
		return noMoreAttempts
	}
	wait, noMore := r.nextWait(cl, api)
	switch {
	case noMore != "":
		return noMore
	case !r.spend(cl, api):
		return noMoreBudget
	}
	cl.retrying.wait = wait
	return ""
}

// whyEnded says how the caller's context ended the call, or patience did.
func (cl *call) whyEnded() string {
	if errors.Is(cl.Context.Err(), context.Canceled) {
		return noMoreCanceled
	}
	return noMoreTime
}

// spend takes a retry from the budget.
func (r *retryLayer) spend(cl *call, api *APIError) bool {
	if cl.excused {
		return true // which the breaker bounds
	}
	if !cl.retrying.free && api != nil && api.effectiveStatus() == http.StatusTooManyRequests && api.waitAsked {
		cl.retrying.free = true
		return true
	}
	return r.fam.budget.spend(cl.crowded)
}
