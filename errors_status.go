package authos

import (
	"context"
	"errors"
	"net/http"
)

// HTTPStatus gives the status with which a backend that called AuthOS for a client of its own
// responds to it: 400, 401, 403, 404, 409 and 429 are the client's to deal with; 502 says that
// AuthOS failed or responded with what cannot be read, 503 that it cannot be used now, 504 that
// it took too long. A session in doubt is a 503: whoever is signed in stays so. For nil it is 200,
// for an error that is not of this package 500.
func HTTPStatus(err error) int {
	if err == nil {
		return http.StatusOK
	}
	// What was made here comes before the response it carries, which says less.
	if e, ok := errors.AsType[*SessionError](err); ok {
		if e.RetryAt.IsZero() {
			return http.StatusUnauthorized
		}
		return http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*MFARequiredError](err); ok {
		return http.StatusUnauthorized
	}
	if _, ok := errors.AsType[*CircuitOpenError](err); ok {
		return http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*RateLimitError](err); ok {
		return http.StatusTooManyRequests
	}
	if e, ok := errors.AsType[*NetworkError](err); ok {
		switch {
		case e.Timeout():
			return http.StatusGatewayTimeout
		case errors.Is(e.Err, errClosed), errors.Is(e.Err, context.Canceled):
			return http.StatusServiceUnavailable
		}
		return http.StatusBadGateway
	}
	if _, ok := errors.AsType[*DecodeError](err); ok {
		return http.StatusBadGateway
	}
	for _, kind := range []struct {
		is     error
		status int
	}{
		{ErrConflict, http.StatusConflict}, // AuthOS has one with 400
		{ErrInvalid, http.StatusBadRequest},
		{ErrUnauthenticated, http.StatusUnauthorized},
		{ErrForbidden, http.StatusForbidden},
		{ErrNotFound, http.StatusNotFound},
		{ErrRateLimited, http.StatusTooManyRequests},
	} {
		if errors.Is(err, kind.is) {
			return kind.status
		}
	}
	e, ok := errors.AsType[*APIError](err)
	switch {
	case !ok && errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case !ok:
		return http.StatusInternalServerError
	}
	switch status := e.effectiveStatus(); status {
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return status
	case http.StatusRequestTimeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusBadGateway
	}
}
