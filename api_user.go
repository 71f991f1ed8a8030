package authos

import (
	"context"
	"net/http"
)

// UserService is the signed-in user's own account.
type UserService struct{ c *Client }

// User is the signed-in user's profile.
type User struct {
	ID              string `json:"id"`
	Email           string `json:"email"`
	IsPlatformOwner bool   `json:"is_platform_owner"`
	// EmailVerifiedAt is zero until the address is verified.
	EmailVerifiedAt Time `json:"email_verified_at,omitzero"`
	CreatedAt       Time `json:"created_at"`
	// Org and Service are the slugs the session is bound to; empty when it is not.
	Org     string `json:"org"`
	Service string `json:"service"`
	// Permissions are relations ("namespace:object#relation") and capability names, sorted.
	Permissions []string `json:"permissions"`
	// Plan is empty and Features nil without a subscription.
	Plan     string   `json:"plan,omitempty"`
	Features []string `json:"features,omitempty"`
}

func (u *User) missing() string { return missingID(u.ID) }

// missingID names the id where an answer that must have one does not.
func missingID(id string) string {
	if id == "" {
		return "id"
	}
	return ""
}

// UserUpdateParams are the changes of [UserService.Update]; nil fields stay as they are.
type UserUpdateParams struct {
	Email *string `json:"email,omitzero"`
}

// Get returns the signed-in user's profile. GET /api/user; bearer; may be repeated; kept for the stale fallback.
func (s *UserService) Get(ctx context.Context, opts ...RequestOption) (*User, error) {
	return invoke[User](ctx, s.c, http.MethodGet, "/api/user", nil, nil, nil, opts)
}

// Update changes the signed-in user's profile and returns it. PATCH /api/user; bearer; may be repeated. The server answers
// 400 BAD_REQUEST when the address is taken.
func (s *UserService) Update(ctx context.Context, p UserUpdateParams, opts ...RequestOption) (*User, error) {
	var in checks
	if p.Email != nil {
		in.email(*p.Email)
	}
	if err := in.err(opts); err != nil {
		return nil, err
	}
	return invoke[User](ctx, s.c, http.MethodPatch, "/api/user", nil, nil, p, opts)
}
