package verify

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Middleware lets requests with a good bearer token through to next, which finds the claims with
// [ClaimsFrom]. Others get what [Config.OnError] writes.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return v.guard(next, func(context.Context, *passed) error { return nil })
}

// RequireOrg is [Verifier.Middleware] for sessions of one of these organizations, by slug, or of
// any when none is given.
func (v *Verifier) RequireOrg(slugs ...string) func(next http.Handler) http.Handler {
	slugs = slices.Clone(slugs)
	return func(next http.Handler) http.Handler {
		return v.guard(next, func(_ context.Context, p *passed) error {
			if p.claims.Org == "" || len(slugs) > 0 && !slices.Contains(slugs, p.claims.Org) {
				return refuse(ErrForbidden, "a session of organization %q", p.claims.Org)
			}
			return nil
		})
	}
}

// RequirePlatformOwner is [Verifier.Middleware] for platform owners. Without [Config.Online] that
// is as old as the token.
func (v *Verifier) RequirePlatformOwner(next http.Handler) http.Handler {
	return v.guard(next, func(_ context.Context, p *passed) error {
		if !p.claims.IsPlatformOwner {
			return refuse(ErrForbidden, "not a platform owner")
		}
		return nil
	})
}

// RequirePermission is [Verifier.Middleware] for users who have all of these permissions. No token
// carries permissions, so the server is asked on these routes, as [Config.Online] says or with its
// defaults; while it cannot be asked, nobody passes. Without a name, or with an empty one, nobody
// passes either: such a list is a mistake (of a configuration that was not read, say), and
// [Config.OnError] is told so.
func (v *Verifier) RequirePermission(names ...string) func(next http.Handler) http.Handler {
	names = slices.Clone(names)
	mistaken := len(names) == 0 || slices.Contains(names, "")
	return func(next http.Handler) http.Handler {
		return v.guard(next, func(ctx context.Context, p *passed) error {
			if mistaken {
				return refuse(ErrForbidden, "RequirePermission was given no permission, or an empty one")
			}
			if p.claims.CheckedAt.IsZero() {
				checked, err := v.ask(ctx, p.token, p.claims, moment{}, false)
				if err != nil {
					return err
				}
				p.claims = checked
			}
			for _, name := range names {
				if !p.claims.HasPermission(name) {
					return refuse(ErrForbidden, "permission %q is missing", name)
				}
			}
			return nil
		})
	}
}

// passed is a request's token after it was verified. by is who verified it; nil for claims that
// came in by [WithClaims].
type passed struct {
	by     *Verifier
	token  string
	claims Claims
}

type passedKey struct{}

// guard verifies a request's token, unless this verifier has done so further out, and asks allowed.
// A preflight has no token and reaches next only by way of [Config.Preflight].
func (v *Verifier) guard(next http.Handler, allowed func(context.Context, *passed) error) http.Handler {
	preflight := http.Handler(http.HandlerFunc(writePreflight))
	if v.cfg.Preflight != nil {
		if own := v.cfg.Preflight(next); own != nil {
			preflight = own
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isPreflight(r) {
			preflight.ServeHTTP(w, r)
			return
		}
		ctx := r.Context()
		p := passed{by: v}
		outer, _ := ctx.Value(passedKey{}).(passed)
		token, err := bearer(r)
		switch {
		case err != nil:
		case outer.by == v && outer.token == token:
			p = outer
		default:
			p.token = token
			p.claims, err = v.Verify(ctx, token)
		}
		if err == nil {
			err = allowed(ctx, &p)
		}
		if err != nil {
			v.cfg.OnError(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, passedKey{}, p)))
	})
}

// isPreflight reports whether a request is a CORS preflight, as browsers send it (Fetch, section
// 3.3.2): it asks whether a request may be made, and never carries credentials.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" &&
		r.Header.Get("Access-Control-Request-Method") != "" && len(r.Header.Values("Authorization")) == 0
}

func writePreflight(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// bearer gives the request's token (RFC 6750, section 2.1). The scheme's name is compared without
// regard to case (RFC 9110, section 11.1), unlike in AuthOS itself.
func bearer(r *http.Request) (string, error) {
	fields := r.Header.Values("Authorization")
	if len(fields) > 1 {
		return "", &Error{Reason: ErrRequest}
	}
	if len(fields) == 0 {
		return "", &Error{Reason: ErrNoToken}
	}
	scheme, token, found := strings.Cut(fields[0], " ")
	token = strings.TrimLeft(token, " ") // 1*SP (RFC 9110, section 11.4)
	if !found || token == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", &Error{Reason: ErrNoToken}
	}
	return token, nil
}

// ClaimsFrom gives the claims of the request that ctx belongs to, and whether there are any.
func ClaimsFrom(ctx context.Context) (Claims, bool) {
	p, ok := ctx.Value(passedKey{}).(passed)
	return p.claims, ok
}

// WithClaims puts claims where [ClaimsFrom] finds them, for handlers that are reached by another
// way than this package's middleware, and for their tests. The middleware does not rely on them: it
// verifies the request's own token.
func WithClaims(ctx context.Context, c Claims) context.Context {
	return context.WithValue(ctx, passedKey{}, passed{claims: c})
}

// refusal is the response for a reason.
type refusal struct {
	why        error
	status     int
	code, text string
}

// refusals are looked through in order. They say whether a token has expired, since its owner
// should refresh it, and otherwise nothing about why: that is for the operator.
var refusals = []refusal{
	{ErrNoToken, http.StatusUnauthorized, "missing_token", "a bearer token is required"},
	{ErrRequest, http.StatusBadRequest, "invalid_request", "more than one Authorization field"},
	{ErrForbidden, http.StatusForbidden, "insufficient_scope", "the access token does not suffice for this"},
	{ErrExpired, http.StatusUnauthorized, "invalid_token", "the access token has expired"},
	{ErrInvalidToken, http.StatusUnauthorized, "invalid_token", "the access token is not valid here"},
	{ErrUnavailable, http.StatusServiceUnavailable, "temporarily_unavailable", "the access token cannot be checked now"},
	{nil, http.StatusInternalServerError, "server_error", "the request could not be checked"},
}

// WriteError refuses a request: 401 with a challenge (RFC 6750, section 3), 400 and 403 likewise,
// and 503 with Retry-After for [ErrUnavailable], since the token may be good. The body is the
// challenge's error and error_description as JSON.
func WriteError(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{}
	}
	// The reason alone decides: the cause may be the response to a request of ours, which says
	// nothing about this one.
	i := slices.IndexFunc(refusals, func(r refusal) bool { return r.why == nil || errors.Is(e.Reason, r.why) })
	out := refusals[i]
	h := w.Header()
	switch {
	case errors.Is(out.why, ErrNoToken):
		// The realm is there because a challenge must have a parameter; without any authentication
		// there is no error to speak of (RFC 6750, sections 3 and 3.1).
		h.Set("WWW-Authenticate", `Bearer realm="AuthOS"`)
	case out.status < http.StatusInternalServerError:
		h.Set("WWW-Authenticate", `Bearer realm="AuthOS", error="`+out.code+`", error_description="`+out.text+`"`)
	case errors.Is(out.why, ErrUnavailable):
		seconds := math.Ceil(max(e.RetryAfter, time.Second).Seconds())
		h.Set("Retry-After", strconv.FormatFloat(seconds, 'f', 0, 64))
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	w.WriteHeader(out.status)
	_, _ = io.WriteString(w, `{"error":"`+out.code+`","error_description":"`+out.text+`"}`+"\n")
}
