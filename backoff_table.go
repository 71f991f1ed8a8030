package authos

import (
	"context"
	"errors"
	"net/http"

	"github.com/authos-go/authos/internal/httpfield"
	"github.com/authos-go/authos/internal/routes"
)

// prospect is what the end of an attempt means for another one.
type prospect struct {
	again bool // another attempt makes sense and is safe
	acted bool // the server may have applied the request
	later bool // trying again later may help, were it safe
	// why there is no other attempt; empty where there is
	noMore string
}

// The rows of the retry table in DESIGN.md: decided by what may have happened at the server, not by
// the status alone.
var (
	// never arrived, or refused unread
	rowUnprocessed = prospect{again: true, later: true}
	// refused for longer than a call waits
	rowMuchLater = prospect{later: true, noMore: noMoreFinal}
	rowFinal     = prospect{noMore: noMoreFinal} // would end alike
	// likewise, and may have been applied
	rowActed = prospect{acted: true, noMore: noMoreFinal}
	rowOpen  = prospect{later: true, noMore: noMoreOpen} // refused by the breaker
	// may have been applied; again does no harm
	rowSafe   = prospect{again: true, acted: true, later: true}
	rowUnsafe = prospect{acted: true, later: true, noMore: noMoreUnsafe}
)

// rowUncertain is the row of what may have been applied.
func rowUncertain(repeatable bool) prospect {
	if repeatable {
		return rowSafe
	}
	return rowUnsafe
}

// weigh finds an attempt's row. One of api and err is nil.
func weigh(cl *call, api *APIError, err error) prospect {
	if api == nil {
		p := rowOfError(err, cl.idempotent)
		p.acted = p.acted && cl.sent
		return p
	}
	p := rowOfResponse(api, cl.route, cl.idempotent)
	if api.Code.means(CodeAuditError) {
		// "Audit logging failed": older servers write the log after the change, newer ones together
		// with it.
		return rowUncertain(!cl.mutation || cl.byWord())
	}
	if h := api.Hint; h != nil && h.Retryable != nil {
		switch {
		case !*h.Retryable:
			p.again, p.later, p.noMore = false, false, noMoreFinal
		case !cl.singleUse:
			p.again, p.later, p.noMore = true, true, ""
		}
	}
	return p
}

// byWord says that the caller, not the route, declared the call repeatable.
func (cl *call) byWord() bool { return cl.declared && !cl.singleUse }

// rowOfError finds the row of an attempt without a response that could be used.
func rowOfError(err error, repeatable bool) prospect {
	switch e := err.(type) { //nolint:errorlint // layers return their errors unwrapped
	case *NetworkError:
		switch {
		case e.Op == "redirect":
			return rowActed
		case permanent(e.Err) || refusedHere(e.Err):
			return rowFinal
		case e.unsent:
			return rowUnprocessed
		default:
			return rowUncertain(repeatable)
		}
	case *CircuitOpenError:
		return rowOpen
	case *RateLimitError: // held back here
		return prospect{later: true, noMore: noMoreTime}
	case *SessionError:
		return prospect{later: !e.RetryAt.IsZero(), noMore: noMoreFinal}
	case *DecodeError:
		return rowFinal // a success that cannot be read
	default:
		// http.Client's own refusal: a redirect. One that follows a write may come after the write.
		return rowActed
	}
}

func rowOfResponse(api *APIError, route *routes.Route, repeatable bool) prospect {
	switch status := api.effectiveStatus(); {
	case status == http.StatusTooManyRequests:
		// The limiters run before the handler. The e-mail limiter's own code comes without a wait,
		// which may be an hour.
		if api.Code == CodeTooManyRequests && !api.waitAsked {
			return rowMuchLater
		}
		return rowUnprocessed
	case status == http.StatusTooEarly:
		return rowUnprocessed // RFC 8470, section 5.2: not processed
	case notConfigured(route, api):
		return rowFinal
	case status == http.StatusServiceUnavailable && api.waitNamed && api.ownCode():
		return rowUnprocessed // refused by the server itself, which says when to come back
	case status == http.StatusRequestTimeout:
		// the server stopped waiting for its own work, which may still be committed
		return rowUncertain(repeatable)
	case status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return rowFinal
	case status >= 500:
		return rowUncertain(repeatable)
	default:
		return rowFinal
	}
}

// ownCode reports whether the response has a code that only the API gives: gateways put the status
// there.
func (e *APIError) ownCode() bool { return e.coded && !httpfield.IsDigits(string(e.Code)) }

// mailLimit reports whether a 429 is about one e-mail address, which says nothing about other
// calls: the address limiter responds in JSON, the limiter of the bucket in plain text.
func mailLimit(cl *call, api *APIError) bool {
	return api.shaped && cl.route != nil && cl.route.Has(routes.Unconfigured) && cl.route.Limiter == routes.LimiterAuth
}

// Retryable reports whether trying the same call again later makes sense and is safe. With
// [ErrOutcomeUnknown] it is only where the call may be repeated: a PUT, a DELETE, a route that is
// marked so, or [WithIdempotent].
func Retryable(err error) bool {
	end, p := lookUp(err)
	return p.later && (end == nil || !end.unknown || end.repeatable)
}

// lookUp finds the row of an error that ended a call, and what it knows of the call. The error made
// here comes before the response that it carries.
func lookUp(err error) (*callEnd, prospect) {
	if e, ok := errors.AsType[*SessionError](err); ok {
		return &e.callEnd, rowOfError(e, true)
	}
	if e, ok := errors.AsType[*NetworkError](err); ok {
		p := rowOfError(e, true)
		p.later = p.later && !errors.Is(e.Err, context.Canceled)
		return &e.callEnd, p
	}
	if e, ok := errors.AsType[*CircuitOpenError](err); ok {
		return &e.callEnd, rowOpen
	}
	if e, ok := errors.AsType[*RateLimitError](err); ok && e.API == nil {
		return &e.callEnd, rowOfError(e, true)
	}
	e, ok := errors.AsType[*APIError](err)
	if !ok {
		return nil, rowFinal
	}
	route := routes.ByTemplate(e.Method, e.Path)
	return &e.callEnd, weigh(&call{route: route, idempotent: true, singleUse: route != nil && route.Has(routes.SingleUse)}, e, nil)
}
