package authos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
)

// UserService is the signed-in user's own account.
type UserService struct {
	// Devices are those the user signed in from, MFA is the second factor, Passkeys are the user's
	// own.
	Devices  *UserDevicesService
	MFA      *UserMFAService
	Passkeys *PasskeysService
	// Identities are the accounts that the user signs in with, LinkedAccounts those that services
	// may use, ProviderTokenRequests what services have asked for.
	Identities            *IdentitiesService
	LinkedAccounts        *LinkedAccountsService
	ProviderTokenRequests *ProviderTokenRequestsService

	c *Client
}

func newUser(c *Client) *UserService {
	return &UserService{
		Devices: &UserDevicesService{c}, MFA: &UserMFAService{c}, Passkeys: &PasskeysService{c}, Identities: &IdentitiesService{c},
		LinkedAccounts: &LinkedAccountsService{c}, ProviderTokenRequests: &ProviderTokenRequestsService{c}, c: c,
	}
}

// User is a user of AuthOS. The signed-in user's own profile ([UserService.Get]) has every field
// but OrgID, UpdatedAt and DeletedAt; where a user is part of another response, those three may be
// set and OrgSlug to Features are not.
type User struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	// IsPlatformOwner is nil where the response does not say: profiles of servers of October 2025
	// have no such member, which does not mean no.
	IsPlatformOwner *bool `json:"is_platform_owner,omitempty"`
	// EmailVerifiedAt is zero until the address is verified, and in lists, which do not say.
	EmailVerifiedAt Time `json:"email_verified_at,omitzero"`
	CreatedAt       Time `json:"created_at"`
	// OrgID is the organization a user belongs to who was made by it; empty for all others.
	OrgID     string `json:"org_id,omitempty"`
	UpdatedAt Time   `json:"updated_at,omitzero"`
	DeletedAt Time   `json:"deleted_at,omitzero"`
	// OrgSlug and ServiceSlug are what the session is bound to; empty when it is not.
	OrgSlug     string `json:"org,omitempty"`
	ServiceSlug string `json:"service,omitempty"`
	// Permissions are relations ("namespace:object#relation") and capability names, sorted.
	Permissions []string `json:"permissions,omitempty"`
	// PlanName is empty and Features nil without a subscription.
	PlanName string   `json:"plan,omitempty"`
	Features Features `json:"features,omitempty"`
}

func (u *User) missing() string { return missingID(u.ID) }

// UserUpdateParams are the changes of [UserService.Update]; nil fields stay as they are.
type UserUpdateParams struct {
	Email *string `json:"email,omitzero"`
}

// Get returns the signed-in user's profile. GET /api/user; bearer; may be repeated; cached for the
// stale fallback.
func (s *UserService) Get(ctx context.Context, opts ...RequestOption) (*User, error) {
	return invoke[User](ctx, s.c, request{method: http.MethodGet, template: "/api/user"}, opts)
}

// Update changes the signed-in user's profile and returns it. PATCH /api/user; bearer; may be
// repeated. The server responds 400 BAD_REQUEST when the address is taken.
func (s *UserService) Update(ctx context.Context, p UserUpdateParams, opts ...RequestOption) (*User, error) {
	var in checks
	if p.Email != nil {
		in.email(*p.Email)
	}
	return invoke[User](ctx, s.c, request{
		method: http.MethodPatch, template: "/api/user", body: p, checks: in,
	}, opts)
}

// ChangePasswordParams are an old and a new password.
type ChangePasswordParams struct {
	CurrentPassword string `json:"-"` // sent, but not marshaled: params end up in logs
	NewPassword     string `json:"-"` // 8 bytes or more
}

// Format implements [fmt.Formatter] for every verb: the passwords do not print.
func (p ChangePasswordParams) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "ChangePasswordParams"+redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the passwords out.
func (p ChangePasswordParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *ChangePasswordParams) UnmarshalJSON(b []byte) error {
	type fields ChangePasswordParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"current_password": &p.CurrentPassword, "new_password": &p.NewPassword})
}

// ChangePassword sets a new password and ends all other sessions of the user. POST
// /api/user/change-password; bearer; not repeated when its outcome is unknown.
//
// A wrong current password is 401 UNAUTHORIZED, as the server has it: it says nothing about the
// session, which goes on. A user without a password, who signs in through a provider, gets 400
// BAD_REQUEST.
func (s *UserService) ChangePassword(ctx context.Context, p ChangePasswordParams, opts ...RequestOption) error {
	var in checks
	if p.CurrentPassword == "" {
		in.add("current_password", CodeRequired, "must not be empty")
	}
	in.newPassword("new_password", p.NewPassword)
	body := map[string]string{"current_password": p.CurrentPassword, "new_password": p.NewPassword}
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/change-password", body: body, checks: in,
	}, opts)
}

// SetPassword gives a user a password who has none, because of signing in through a provider. POST
// /api/user/set-password; bearer; not repeated when its outcome is unknown. The password has 8
// bytes or more; a user who has one gets 400 BAD_REQUEST.
func (s *UserService) SetPassword(ctx context.Context, newPassword string, opts ...RequestOption) error {
	var in checks
	in.newPassword("new_password", newPassword)
	in.argument("new_password")
	body := map[string]string{"new_password": newPassword}
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/set-password", body: body, checks: in,
	}, opts)
}

// Subscription is what the signed-in user has subscribed to at the service the session is bound to.
type Subscription struct {
	ServiceSlug string             `json:"service"`
	PlanName    string             `json:"plan"` // "free" without a subscription
	Features    Features           `json:"features"`
	Status      SubscriptionStatus `json:"status"`
	// CurrentPeriodEnd is zero without a subscription.
	CurrentPeriodEnd Time `json:"current_period_end"`
}

func (s *Subscription) missing() string {
	if s.ServiceSlug == "" {
		return "service"
	}
	return ""
}

// Subscription returns the signed-in user's subscription. GET /api/subscription; bearer; may be
// repeated; cached for the stale fallback.
//
// The session must be bound to a service: signing in without one, or with an organization only,
// makes it 400 BAD_REQUEST.
func (s *UserService) Subscription(ctx context.Context, opts ...RequestOption) (*Subscription, error) {
	return invoke[Subscription](ctx, s.c, request{
		method: http.MethodGet, template: "/api/subscription",
	}, opts)
}
