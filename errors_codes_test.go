package authos_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

func TestCodesAreComplete(t *testing.T) {
	t.Parallel()
	codes := authos.Codes()
	known := map[authos.Code]authos.CodeInfo{}
	for _, c := range codes {
		known[c.Code] = c
	}
	// Both documents, and the real server.
	for code, status := range map[authos.Code]int{
		"BAD_REQUEST": 400, "UNAUTHORIZED": 401, "FORBIDDEN": 403, "NOT_FOUND": 404, "INTERNAL_SERVER_ERROR": 500,
		"TOKEN_EXPIRED": 401, "JWT_ERROR": 401, "ORGANIZATION_NOT_ACTIVE": 403, "SERVICE_LIMIT_EXCEEDED": 400,
		"TEAM_LIMIT_EXCEEDED": 400, "INVITATION_EXPIRED": 400, "DEVICE_CODE_EXPIRED": 400, "DEVICE_CODE_PENDING": 400,
		"DATABASE_ERROR": 500, "OAUTH_ERROR": 500, "STRIPE_ERROR": 500, "AUDIT_ERROR": 500, "RATE_LIMIT_EXCEEDED": 429,
		"VALIDATION_ERROR": 400, "REQUIRED": 400, "INVALID_FORMAT": 400, "OUT_OF_RANGE": 400, "INVALID_ENUM": 400, "INVALID_RANGE": 400,
		"AUTHENTICATION_ERROR": 401, "MISSING_TOKEN": 401, "INVALID_TOKEN": 401, "EXPIRED_TOKEN": 401, "REVOKED_TOKEN": 401,
		"AUTHORIZATION_ERROR": 403, "INSUFFICIENT_PERMISSIONS": 403, "RESOURCE_FORBIDDEN": 403, "RESOURCE_NOT_FOUND": 404,
		"CONFLICT_ERROR": 409, "RESOURCE_ALREADY_EXISTS": 409, "CONCURRENT_MODIFICATION": 409, "SERVICE_UNAVAILABLE": 503,
		"DUPLICATE_CONSTRAINT": 400, "FEATURE_NOT_AVAILABLE_IN_TIER": 403, "TOO_MANY_REQUESTS": 429, "BILLING_ERROR": 500,
		"IO_ERROR": 500, "GENERIC_ERROR": 500, "PROVIDER_ACCOUNT_CONFLICT": 400, "PROVIDER_SCOPE_CONSENT_REQUIRED": 400,
		"invalid_request": 400, "invalid_grant": 400, "invalid_scope": 400, "invalid_client": 401, "server_error": 500,
		"ROUTE_NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405, "REQUEST_TIMEOUT": 408, "CONFLICT": 409, "GONE": 410,
		"PAYLOAD_TOO_LARGE": 413, "UNSUPPORTED_MEDIA_TYPE": 415, "BAD_GATEWAY": 502, "GATEWAY_TIMEOUT": 504,
	} {
		if got, ok := known[code]; !ok || got.Status != status {
			t.Errorf("Codes() has %s with status %d, want %d", code, got.Status, status)
		}
	}
	for _, c := range codes {
		if c.Meaning == "" || c.Action == "" || c.Retry == "" {
			t.Errorf("%s: incomplete: %+v", c.Code, c)
		}
		if strings.ContainsAny(c.Meaning+c.Action+c.Retry, "|\n") {
			t.Errorf("%s: a text that breaks a table: %+v", c.Code, c)
		}
		for _, other := range append(slices.Clone(c.Parents), c.SameAs) {
			if _, ok := known[other]; other != "" && !ok {
				t.Errorf("%s: points to %s, which is not in the catalog", c.Code, other)
			}
		}
		if c.SameAs != "" && (known[c.SameAs].SameAs != "" || len(c.Parents) > 0) {
			t.Errorf("%s: relations belong to the code it is the same as, %s", c.Code, c.SameAs)
		}
	}
	if !slices.IsSortedFunc(codes, func(a, b authos.CodeInfo) int { return a.Status - b.Status }) {
		t.Error("Codes() is not sorted by status")
	}
}

func TestCodeRelations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code, target authos.Code
		want, back   bool // back: the other way round
	}{
		{authos.CodeTooManyRequests, authos.CodeRateLimitExceeded, true, true},
		{authos.CodeExpiredToken, authos.CodeTokenExpired, true, true},
		{authos.CodeResourceNotFound, authos.CodeNotFound, true, true},
		{authos.CodeConflict, authos.CodeConflictError, true, true},
		{authos.CodeDuplicateConstraint, authos.CodeResourceAlreadyExists, true, true},
		{authos.CodeExpiredToken, authos.CodeAuthenticationError, true, false},
		{authos.CodeTokenExpired, authos.CodeAuthenticationError, true, false},
		{authos.CodeMissingToken, authos.CodeAuthenticationError, true, false},
		{authos.CodeMissingToken, authos.CodeUnauthorized, true, false},
		{authos.CodeInvalidToken, authos.CodeAuthenticationError, true, false},
		{authos.CodeRevokedToken, authos.CodeAuthenticationError, true, false},
		{authos.CodeJWTError, authos.CodeInvalidToken, true, false},
		{authos.CodeJWTError, authos.CodeAuthenticationError, true, false},
		{authos.CodeUnauthorized, authos.CodeAuthenticationError, true, false},
		{authos.CodeInsufficientPermissions, authos.CodeForbidden, true, false},
		{authos.CodeInsufficientPermissions, authos.CodeAuthorizationError, true, false},
		{authos.CodeResourceForbidden, authos.CodeAuthorizationError, true, false},
		{authos.CodeOrganizationNotActive, authos.CodeAuthorizationError, true, false},
		{authos.CodeRequired, authos.CodeValidationError, true, false},
		{authos.CodeInvalidRange, authos.CodeBadRequest, true, false},
		{authos.CodeResourceAlreadyExists, authos.CodeConflictError, true, false},
		{authos.CodeDuplicateConstraint, authos.CodeConflict, true, false},
		{authos.CodeConcurrentModification, authos.CodeConflictError, true, false},
		{"CONFLICT_OF_SLUGS", authos.CodeConflict, true, false},
		{authos.CodeRouteNotFound, authos.CodeNotFound, true, false},
		{authos.CodeOAuthServerError, authos.CodeInternalServerError, true, false},
		// Siblings, which the guide handles apart.
		{authos.CodeJWTError, authos.CodeTokenExpired, false, false},
		{authos.CodeTokenExpired, authos.CodeUnauthorized, false, false},
		{authos.CodeOrganizationNotActive, authos.CodeForbidden, false, false},
		{authos.CodeServiceLimitExceeded, authos.CodeBadRequest, false, false},
		{authos.CodeDatabaseError, authos.CodeInternalServerError, false, false},
		{authos.CodeResourceAlreadyExists, authos.CodeConcurrentModification, false, false},
		{"SOMETHING_NEW", "SOMETHING_ELSE", false, false},
	} {
		if got := errors.Is(&authos.APIError{Code: tt.code}, tt.target); got != tt.want {
			t.Errorf("%s is %s: %t, want %t", tt.code, tt.target, got, tt.want)
		}
		if got := errors.Is(&authos.APIError{Code: tt.target}, tt.code); got != tt.back {
			t.Errorf("%s is %s: %t, want %t", tt.target, tt.code, got, tt.back)
		}
	}
	for _, c := range authos.Codes() {
		if !errors.Is(&authos.APIError{Code: c.Code}, c.Code) || !errors.Is(c.Code, c.Code) || c.Code.Error() != string(c.Code) {
			t.Errorf("%s is not itself", c.Code)
		}
	}
}

// The problem types of the RateLimit draft mean what they are registered for, whatever the status
// is: the call, also one that may not be repeated otherwise, is made again after the wait, and the
// breaker does not count a limit.
func TestRegisteredProblems(t *testing.T) {
	problem := func(status int, name, after string) reply {
		return reply{status: status, header: headers("Content-Type", "application/problem+json", "Retry-After", after),
			body: `{"type":"https://iana.org/assignments/http-problem-types#` + name + `","title":"Not now","violated-policies":["hourly"]}`}
	}
	for _, tt := range []struct {
		name   string
		status int
		kind   error
	}{
		{"quota-exceeded", 429, authos.ErrRateLimited},
		{"quota-exceeded", 403, authos.ErrRateLimited},
		{"abnormal-usage-detected", 429, authos.ErrRateLimited},
		{"abnormal-usage-detected", 400, authos.ErrRateLimited},
		{"temporary-reduced-capacity", 503, authos.ErrUnavailable},
		{"temporary-reduced-capacity", 500, authos.ErrUnavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := scripted(problem(tt.status, tt.name, "3"), okReply())
			start := time.Now()
			if err := send(t.Context(), newClient(t, testBase, rt), "POST", "/x/thing"); err != nil {
				t.Errorf("%d %s: POST = %v", tt.status, tt.name, err)
			}
			seen := rt.requests()
			if len(seen) != 2 || seen[1].at.Sub(start) < 3*time.Second || seen[1].at.Sub(start) > 4*time.Second {
				t.Errorf("%d %s: the server saw %d requests, the last after %v; want 2, after 3 s", tt.status, tt.name, len(seen), time.Since(start))
			}
			limited := tt.kind == authos.ErrRateLimited //nolint:errorlint // the same value
			c := newClient(t, testBase, scripted(problem(tt.status, tt.name, "100")), authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 1}))
			err := send(t.Context(), c, "POST", "/x/thing")
			_, typed := errors.AsType[*authos.RateLimitError](err)
			if !errors.Is(err, tt.kind) || typed != limited || errors.Is(err, authos.ErrOutcomeUnknown) {
				t.Errorf("%d %s: %v, a RateLimitError: %t", tt.status, tt.name, err, typed)
			}
			if api, _ := errors.AsType[*authos.APIError](err); api == nil || string(api.Problem.Extensions["violated-policies"]) != `["hourly"]` {
				t.Errorf("%d %s: the policies are lost: %+v", tt.status, tt.name, err)
			}
			// A limit holds the next call back at the gate, a lack of capacity opens the circuit.
			err = send(t.Context(), c, "GET", "/x/thing")
			if errors.Is(err, authos.ErrCircuitOpen) == limited || errors.Is(err, authos.ErrRateLimited) != limited {
				t.Errorf("%d %s: the next call = %v", tt.status, tt.name, err)
			}
		})
	}
}
