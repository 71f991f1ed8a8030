package authos

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"
)

// PlatformUsersService are all users of the platform. One who does not exist is 404 NOT_FOUND.
type PlatformUsersService struct{ c *Client }

// PlatformOwnersService are the platform's owners. One who does not exist is 404 NOT_FOUND.
type PlatformOwnersService struct{ c *Client }

// MFAStatus reports whether a user has a second factor.
type MFAStatus struct {
	// Enabled: sign-in asks for it.
	Enabled bool `json:"enabled"`
	// HasBackupCodes: there are codes that stand in for it once each. Whether any of them is unused
	// is not said.
	HasBackupCodes bool `json:"has_backup_codes"`
}

var errWithoutEnabled = errors.New("without enabled")

// UnmarshalJSON reads the status. One that does not report whether the factor is enabled is an
// error: absent is not false.
func (s *MFAStatus) UnmarshalJSON(b []byte) error {
	type fields MFAStatus // without this method
	var in struct {
		fields
		Enabled *bool `json:"enabled"` // goes before the embedded one
	}
	if err := decodeJSON(b, &in); err != nil {
		return err
	}
	if in.Enabled == nil {
		return errWithoutEnabled
	}
	in.fields.Enabled = *in.Enabled
	*s = MFAStatus(in.fields)
	return nil
}

// PlatformUserListParams choose a page.
type PlatformUserListParams struct {
	// Limit is 1 to 100; zero: the server's default, 50; for All, 100. Offset is how many users to
	// skip.
	Limit, Offset int
}

// UserSearchParams say whom to look for.
type UserSearchParams struct {
	// Query is part of an e-mail address, or an id.
	Query string
	// Limit is 1 to 50; zero: the server's default, 10.
	Limit int
}

// maxFound is the server's bound of a search and of recent organizations. It clamps larger limits
// in silence; the client refuses them.
const maxFound = 50

func checkFound(in *checks, limit int) {
	if limit < 0 || limit > maxFound {
		in.add("limit", CodeOutOfRange, "must be 1 to "+strconv.Itoa(maxFound)+", or 0 for the server's default")
	}
}

type platformUserList struct {
	Users *[]User `json:"users"`
	Total *int64  `json:"total"`
}

func (l *platformUserList) missing() string { return missingItem("users", l.Users) }

// List returns one page of the platform's users. Of each it has ID, Email, IsPlatformOwner and
// CreatedAt. GET /api/platform/users; bearer, platform owner; may be repeated; cached for the stale
// fallback.
func (s *PlatformUsersService) List(ctx context.Context, p PlatformUserListParams, opts ...RequestOption) (*Page[User], error) {
	var in checks
	in.page(p.Limit, p.Offset)
	list, err := invoke[platformUserList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/users", query: paging(p.Limit, p.Offset), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.Users, list.Total), nil
}

// All iterates over the platform's users from p.Offset on, p.Limit at a time. It stops at the first
// error, which it yields last.
func (s *PlatformUsersService) All(ctx context.Context, p PlatformUserListParams, opts ...RequestOption) iter.Seq2[User, error] {
	return byOffset(p.Limit, p.Offset, func(limit, offset int) (*Page[User], error) {
		return s.List(ctx, PlatformUserListParams{Limit: limit, Offset: offset}, opts...)
	})
}

// Search returns the users whose e-mail address or id is like a query, the likeliest first, with
// the members that [PlatformUsersService.List] gives. There are no further pages: where the limit
// is reached, ask for more precisely. GET /api/platform/users/search; bearer, platform owner; may
// be repeated; cached for the stale fallback.
func (s *PlatformUsersService) Search(ctx context.Context, p UserSearchParams, opts ...RequestOption) ([]User, error) {
	var in checks
	in.required("q", p.Query)
	checkFound(&in, p.Limit)
	q := paging(p.Limit, 0)
	put(q, "q", p.Query)
	list, err := invoke[bare[User, *User]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/users/search", query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// Get returns one user, with the members that [PlatformUsersService.List] gives. GET
// /api/platform/users/:user_id; bearer, platform owner; may be repeated; cached for the stale
// fallback.
func (s *PlatformUsersService) Get(ctx context.Context, userID string, opts ...RequestOption) (*User, error) {
	var in checks
	in.id("user_id", userID)
	return invoke[User](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/users/:user_id", args: []string{userID}, checks: in,
	}, opts)
}

// MFAStatus reports whether a user has a second factor. GET
// /api/platform/users/:user_id/mfa/status; bearer, platform owner; may be repeated; never stale.
func (s *PlatformUsersService) MFAStatus(ctx context.Context, userID string, opts ...RequestOption) (*MFAStatus, error) {
	var in checks
	in.id("user_id", userID)
	return invoke[MFAStatus](ctx, s.c, request{
		method: http.MethodGet, template: "/api/platform/users/:user_id/mfa/status", args: []string{userID}, checks: in,
	}, opts)
}

// DisableMFA takes a user's second factor and backup codes away, for one who has lost them. DELETE
// /api/platform/users/:user_id/mfa; bearer, platform owner; may be repeated: a user without a
// second factor is no error.
func (s *PlatformUsersService) DisableMFA(ctx context.Context, userID string, opts ...RequestOption) error {
	var in checks
	in.id("user_id", userID)
	return acknowledged(ctx, s.c, request{
		method: http.MethodDelete, template: "/api/platform/users/:user_id/mfa", args: []string{userID}, checks: in,
	}, opts)
}

// Add makes a user an owner of the platform, and returns the user. POST /api/platform/owners;
// bearer, platform owner; not repeated when its outcome is unknown. One who is an owner already is
// 400 BAD_REQUEST.
func (s *PlatformOwnersService) Add(ctx context.Context, userID string, opts ...RequestOption) (*User, error) {
	var in checks
	in.required("user_id", userID)
	in.argument("user_id")
	body := map[string]string{"user_id": userID}
	return invoke[User](ctx, s.c, request{
		method: http.MethodPost, template: "/api/platform/owners", body: body, checks: in,
	}, opts)
}

// Remove takes a user's ownership of the platform away, and returns the user, who stays. DELETE
// /api/platform/owners/:user_id; bearer, platform owner; may be repeated. Oneself, the last owner
// and a user who is no owner are 400 BAD_REQUEST.
//
// When an attempt's outcome is unknown, its repeat finds no owner any more if it took effect: that
// 400 matches [ErrOutcomeUnknown]. Where the repeat finds 404, the user is gone altogether, Remove
// has succeeded, and only the user's ID is known.
func (s *PlatformOwnersService) Remove(ctx context.Context, userID string, opts ...RequestOption) (*User, error) {
	var in checks
	in.id("user_id", userID)
	user, err := invoke[User](ctx, s.c, request{
		method: http.MethodDelete, template: "/api/platform/owners/:user_id", args: []string{userID}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	if user.ID == "" {
		user.ID = userID
	}
	return user, nil
}
