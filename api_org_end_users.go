package authos

import (
	"cmp"
	"context"
	"iter"
	"net/http"
)

// EndUsersService are the users of an organization's services, as against its members, who run it.
// Every method needs an active organization, else it is 403 [CodeOrganizationNotActive].
type EndUsersService struct{ c *Client }

// EndUserSubscription is an end user's plan in one service.
type EndUserSubscription struct {
	ServiceID   string             `json:"service_id"`
	ServiceSlug string             `json:"service_slug"`
	ServiceName string             `json:"service_name"`
	PlanID      string             `json:"plan_id"`
	PlanName    string             `json:"plan_name"`
	Status      SubscriptionStatus `json:"status"`
	// CurrentPeriodEnd is the server's present time where it could not read its own record.
	CurrentPeriodEnd Time `json:"current_period_end"`
	CreatedAt        Time `json:"created_at"`
}

func (s *EndUserSubscription) missing() string {
	if s.ServiceID == "" {
		return "service_id"
	}
	return ""
}

// EndUserIdentity is an account that an end user signs in with.
type EndUserIdentity struct {
	Provider       string `json:"provider"` // such as github or password
	ProviderUserID string `json:"provider_user_id"`
	// CreatedAt is the server's present time where it could not read its own record.
	CreatedAt Time `json:"created_at"`
}

func (i *EndUserIdentity) missing() string {
	if i.Provider == "" {
		return "provider"
	}
	return ""
}

// EndUser is a user of an organization's services.
type EndUser struct {
	// User has neither OrgID nor EmailVerifiedAt, UpdatedAt and DeletedAt in lists.
	User          User                  `json:"user"`
	Subscriptions []EndUserSubscription `json:"subscriptions"`
	Identities    []EndUserIdentity     `json:"identities"`
}

func (u *EndUser) missing() string {
	return cmp.Or(u.User.missing(), missingIn("subscriptions", u.Subscriptions), missingIn("identities", u.Identities))
}

// missingIn is missingItem for a list that is in the result as it is: JSON's null and a member that
// is absent leave it nil.
func missingIn[T any, P needy[T]](name string, items []T) string {
	if items == nil {
		return name
	}
	return missingItem[T, P](name, &items)
}

// EndUserSession is one session of an end user. What is not known is empty.
type EndUserSession struct {
	ID          string `json:"id"`
	ServiceID   string `json:"service_id"`
	ServiceName string `json:"service_name"`
	OrgSlug     string `json:"org_slug"`
	IPAddress   string `json:"ip_address"`
	UserAgent   string `json:"user_agent"`
	ExpiresAt   Time   `json:"expires_at"` // of the access token
	// RefreshTokenExpiresAt is zero for a session that cannot be refreshed.
	RefreshTokenExpiresAt Time `json:"refresh_token_expires_at"`
	CreatedAt             Time `json:"created_at"`
}

func (s *EndUserSession) missing() string { return missingID(s.ID) }

// EndUserLogin is one sign-in of an end user. What is not known is empty.
type EndUserLogin struct {
	ID          string `json:"id"`
	ServiceID   string `json:"service_id"`
	ServiceName string `json:"service_name"`
	Provider    string `json:"provider"`
	IPAddress   string `json:"ip_address"`
	UserAgent   string `json:"user_agent"`
	// RiskScore is 0 (none) to 100; nil when nobody has looked. RiskFactors are its reasons.
	RiskScore   *int     `json:"risk_score"`
	RiskFactors []string `json:"risk_factors"`
	GeoCountry  string   `json:"geo_country"`
	GeoCity     string   `json:"geo_city"`
	CreatedAt   Time     `json:"created_at"`
}

func (l *EndUserLogin) missing() string { return missingID(l.ID) }

// EndUserDetails are an end user with sessions and the latest sign-ins in the organization.
type EndUserDetails struct {
	EndUser
	SessionCount int64 `json:"session_count"`
	// Sessions and RecentLogins are nil where the server does not send them: that of October 2025
	// only counts sessions.
	Sessions     []EndUserSession `json:"sessions"`
	RecentLogins []EndUserLogin   `json:"recent_logins"`
}

func (d *EndUserDetails) missing() string {
	return cmp.Or(
		d.EndUser.missing(), missingItem[EndUserSession]("sessions", &d.Sessions),
		missingItem[EndUserLogin]("recent_logins", &d.RecentLogins),
	)
}

// EndUserListParams choose a page.
type EndUserListParams struct {
	// ServiceSlug lists the users of one service only; empty: of all. A service that does not exist
	// is 404 NOT_FOUND.
	ServiceSlug string
	// Page counts from 1; zero: the first. Limit is 1 to 100; zero: the server's default, 50; for
	// All, 100.
	Limit, Page int
}

type endUserList struct {
	Users *[]EndUser `json:"users"`
	Total *int64     `json:"total"`
}

func (l *endUserList) missing() string { return missingItem("users", l.Users) }

type revokedSessions struct {
	Count *int64 `json:"revoked_count"`
}

func (r *revokedSessions) missing() string {
	if r.Count == nil {
		return "revoked_count"
	}
	return ""
}

// List returns one page of an organization's end users. Beyond the last page the server does not
// count them: Total is -1 there. GET /api/organizations/:org_slug/users; bearer, capability
// end_users.view; may be repeated; cached for the stale fallback.
func (s *EndUsersService) List(ctx context.Context, orgSlug string, p EndUserListParams, opts ...RequestOption) (*Page[EndUser], error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.numbered(p.Limit, p.Page)
	q := numbering(p.Limit, p.Page)
	put(q, "service_slug", p.ServiceSlug)
	list, err := invoke[endUserList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/users", args: []string{orgSlug}, query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	if p.Page > 1 && len(*list.Users) == 0 {
		list.Total = nil // the server says 0 there, whatever lies before
	}
	return newPage(*list.Users, list.Total), nil
}

// All iterates over an organization's end users from p.Page on, p.Limit at a time. It stops at the
// first error, which it yields last.
//
// A user who is forgotten on the way ([PrivacyService.Forget]) moves the others to earlier pages,
// and some are passed over: collect first ([AllItems]), then forget.
func (s *EndUsersService) All(ctx context.Context, orgSlug string, p EndUserListParams, opts ...RequestOption) iter.Seq2[EndUser, error] {
	return byNumber(p.Limit, p.Page, func(limit, number int) (*Page[EndUser], error) {
		p.Limit, p.Page = limit, number
		return s.List(ctx, orgSlug, p, opts...)
	})
}

// Get returns an end user with sessions and the latest sign-ins. GET
// /api/organizations/:org_slug/users/:user_id; bearer, capability end_users.view; may be repeated;
// cached for the stale fallback. A user of none of the organization's services is 404 NOT_FOUND.
func (s *EndUsersService) Get(ctx context.Context, orgSlug, userID string, opts ...RequestOption) (*EndUserDetails, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("user_id", userID)
	return invoke[EndUserDetails](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/users/:user_id", args: []string{orgSlug, userID}, checks: in,
	}, opts)
}

// RevokeSessions ends an end user's sessions in the organization and its services, and returns how
// many there were. DELETE /api/organizations/:org_slug/users/:user_id/sessions; bearer, capability
// end_users.manage; may be repeated: the number is then what the last attempt found. Older servers
// end the user's sessions everywhere.
func (s *EndUsersService) RevokeSessions(ctx context.Context, orgSlug, userID string, opts ...RequestOption) (int64, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("user_id", userID)
	revoked, err := invoke[revokedSessions](ctx, s.c, request{
		method: http.MethodDelete, template: "/api/organizations/:org_slug/users/:user_id/sessions",
		args: []string{orgSlug, userID}, checks: in,
	}, opts)
	if err != nil {
		return 0, err
	}
	if revoked.Count == nil {
		// a repeat found that the user is gone, which is how a DELETE succeeds without a body
		return 0, nil
	}
	return *revoked.Count, nil
}
