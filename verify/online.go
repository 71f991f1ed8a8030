package verify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/authos-go/authos"
)

// Online is the online check: GET /api/user with the token that was presented. It sees what no
// signature shows, that the user has signed out, refreshed the token or lost an account, and brings
// permissions, plan and features.
type Online struct {
	// For is how long a response is used again for the same token. Default 5 s, between 1 s and 1
	// min. The server's own caches let changes of permissions be seen up to a minute late.
	For time.Duration
	// Timeout bounds one check, its retries included. Default 5 s, between 1 s and 1 min.
	Timeout time.Duration
	// FailOpen accepts tokens that are good by themselves while the server cannot be asked:
	// [Claims.CheckedAt] is zero then, and there are no permissions. By default such tokens get
	// [ErrCheckUnavailable]. [Verifier.RequirePermission] never fails open, and neither does the
	// check of a token that [Verifier.Revoke] names.
	FailOpen bool
}

const (
	defaultOnlineFor     = 5 * time.Second
	defaultOnlineTimeout = 5 * time.Second
)

// opinion is what the server says of a token that is good by itself.
type opinion struct {
	user    *authos.User
	refused error // the server's refusal; nil: it accepts the token
}

// asker asks the server about tokens, one request at a time for each. Only tokens that are good by
// themselves come here: nobody can fill it with inventions.
type asker struct {
	client   *authos.Client
	opinions *memo[opinion]
}

func newAsker(client *authos.Client, work *background, cfg *Online) *asker {
	// for RequirePermission
	online := cmp.Or(cfg, &Online{For: defaultOnlineFor, Timeout: defaultOnlineTimeout})
	return &asker{client, newMemo[opinion](work, online.For, online.Timeout)}
}

// ask adds the server's word to the claims of a token that is good by itself. since is when this
// process learned that the token may have been revoked: what the server said before does not count.
func (v *Verifier) ask(ctx context.Context, token string, c Claims, since moment, failOpen bool) (Claims, error) {
	if c.TokenUse == UseResource {
		return Claims{}, refuse(ErrForbidden, "the server has no permissions for resource tokens")
	}
	r, err := v.asks.about(ctx, token, since)
	switch {
	case err == nil && r.value.refused != nil:
		return Claims{}, r.value.refused
	case err == nil && r.value.user.ID != c.Subject:
		// and never let through
		return Claims{}, refuse(ErrCheckUnavailable, "the server's response is about another user")
	case err == nil:
		user := r.value.user
		c.CheckedAt = r.ended.wall
		if user.IsPlatformOwner != nil { // servers of October 2025 do not say
			c.IsPlatformOwner = *user.IsPlatformOwner
		}
		c.Permissions, c.Plan, c.Features = user.Permissions, user.PlanName, user.Features
		return c, nil
	case failOpen && ctx.Err() == nil:
		return c, nil
	default:
		return Claims{}, checkUnavailable(ctx, err)
	}
}

// about gives the server's opinion of a token, a recent one where there is one.
func (k *asker) about(ctx context.Context, token string, since moment) (*result[opinion], error) {
	return k.opinions.get(ctx, sha256.Sum256([]byte(token)), since, func(ctx context.Context) (opinion, error) {
		// The caller's own Authorization: the client neither refreshes it nor caches a response for
		// it.
		user, err := k.client.User.Get(ctx, authos.WithHeader("Authorization", "Bearer "+token))
		if err != nil && ownRefusal(err) {
			return opinion{refused: &Error{Reason: ErrRevoked, Err: err}}, nil
		}
		if err == nil { // many callers share them
			user.Permissions, user.Features = slices.Clip(user.Permissions), slices.Clip(user.Features)
		}
		return opinion{user: user}, err
	})
}

// ownRefusal tells AuthOS's refusal of a token from everything that says nothing about it. Only a
// 401 in the shape of its API errors is the server's word that the session is over: a proxy's page,
// an API gateway's JSON, a 403 or a 404 may come from somebody in between or a wrong base URL, and
// must not send all users to the sign-in.
func ownRefusal(err error) bool {
	api, ok := errors.AsType[*authos.APIError](err)
	if !ok || api.StatusCode != http.StatusUnauthorized {
		return false
	}
	var body struct {
		Code  any `json:"error_code"` // what real servers send
		Error any `json:"error"`      // in the documented contract an object that holds the code
	}
	if json.Unmarshal(api.Body, &body) != nil {
		return false
	}
	if nested, ok := body.Error.(map[string]any); ok && body.Code == nil {
		body.Code = nested["code"]
	}
	code, _ := body.Code.(string)
	// AuthOS's codes are capitals and underscores; those of others mostly are words or numbers.
	return strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" &&
		strings.ContainsAny(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

// checkUnavailable is the error of a check that came to no result.
func checkUnavailable(ctx context.Context, err error) *Error {
	out := &Error{Reason: ErrCheckUnavailable, RetryAfter: time.Second, Err: err}
	if ctx.Err() != nil {
		out.Detail = "gave up waiting"
		return out
	}
	if limited, ok := errors.AsType[*authos.RateLimitError](err); ok {
		out.RetryAfter = max(limited.RetryAfter, time.Second)
	}
	if open, ok := errors.AsType[*authos.CircuitOpenError](err); ok {
		out.RetryAfter = max(time.Until(open.RetryAt), time.Second)
	}
	return out
}
