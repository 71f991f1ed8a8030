package authos

import (
	"context"
	"net/http"
)

// ServiceAPI is the server-to-server side of one service, which an API key opens ([WithAPIKey]).
// Every method can fail with 401 UNAUTHORIZED for the key itself, and with 403 FORBIDDEN when the
// key lacks the permission named.
type ServiceAPI struct {
	// Users are the users linked to the service.
	Users *ServiceUsersService
	// Subscriptions are those of its users to the service's plans.
	Subscriptions *ServiceSubscriptionsService

	c *Client
}

// ServiceInfo is the service an API key belongs to.
type ServiceInfo struct {
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Slug        string      `json:"slug"`
	ServiceType ServiceType `json:"service_type"`
	CreatedAt   Time        `json:"created_at"`
}

func (i *ServiceInfo) missing() string { return missingID(i.ID) }

// Info returns the service the API key belongs to. GET /api/service/info; permission read:service;
// may be repeated; cached for the stale fallback.
func (s *ServiceAPI) Info(ctx context.Context, opts ...RequestOption) (*ServiceInfo, error) {
	return invoke[ServiceInfo](ctx, s.c, request{
		method: http.MethodGet, template: "/api/service/info",
	}, opts)
}

// ServiceInfoUpdateParams are the changes of [ServiceAPI.UpdateInfo]; nil fields stay as they are.
type ServiceInfoUpdateParams struct {
	Name *string `json:"name,omitzero"`
}

// UpdateInfo changes the service the API key belongs to. PATCH /api/service/info; permission
// write:service; may be repeated.
func (s *ServiceAPI) UpdateInfo(ctx context.Context, p ServiceInfoUpdateParams, opts ...RequestOption) (*ServiceInfo, error) {
	return invoke[ServiceInfo](ctx, s.c, request{
		method: http.MethodPatch, template: "/api/service/info", body: p,
	}, opts)
}

// ServiceAnalytics counts a service's users.
type ServiceAnalytics struct {
	TotalUsers          int64 `json:"total_users"`
	TotalSubscriptions  int64 `json:"total_subscriptions"`
	ActiveSubscriptions int64 `json:"active_subscriptions"`
	TotalLogins30d      int64 `json:"total_logins_30d"`
	UniqueUsers30d      int64 `json:"unique_users_30d"`
}

// serviceAnalyticsBody can tell a count of zero from one that is not there.
type serviceAnalyticsBody struct {
	ServiceAnalytics
	TotalUsers *int64 `json:"total_users"`
}

func (b *serviceAnalyticsBody) missing() string {
	if b.TotalUsers == nil {
		return "total_users"
	}
	return ""
}

// Analytics counts the service's users, subscriptions and sign-ins. GET /api/service/analytics;
// permission read:analytics; may be repeated; cached for the stale fallback.
func (s *ServiceAPI) Analytics(ctx context.Context, opts ...RequestOption) (*ServiceAnalytics, error) {
	body, err := invoke[serviceAnalyticsBody](ctx, s.c, request{
		method: http.MethodGet, template: "/api/service/analytics",
	}, opts)
	if err != nil {
		return nil, err
	}
	body.ServiceAnalytics.TotalUsers = *body.TotalUsers
	return &body.ServiceAnalytics, nil
}
