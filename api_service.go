package authos

import (
	"context"
	"net/http"
)

// ServiceAPI is the server-to-server side of one service, which an API key opens ([WithAPIKey]). Every method can fail with 401
// UNAUTHORIZED for the key itself, and with 403 FORBIDDEN when the key lacks the permission named.
type ServiceAPI struct {
	// Users are the users linked to the service.
	Users *ServiceUsersService

	c *Client
}

// ServiceInfo is the service an API key belongs to.
type ServiceInfo struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Slug string `json:"slug"`
	// ServiceType is web, mobile, desktop or api.
	ServiceType string `json:"service_type"`
	CreatedAt   Time   `json:"created_at"`
}

func (i *ServiceInfo) missing() string { return missingID(i.ID) }

// Info returns the service the API key belongs to. GET /api/service/info; permission read:service; may be repeated; kept for the
// stale fallback.
func (s *ServiceAPI) Info(ctx context.Context, opts ...RequestOption) (*ServiceInfo, error) {
	return invoke[ServiceInfo](ctx, s.c, http.MethodGet, "/api/service/info", nil, nil, nil, opts)
}
