package authos

import (
	"context"
	"iter"
	"net/http"
)

// ServiceUsersService are the users linked to the API key's service. Others are 404 NOT_FOUND, also
// when they exist.
type ServiceUsersService struct{ c *Client }

// ServiceUser is a user as a service sees it.
type ServiceUser struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	CreatedAt Time   `json:"created_at"`
}

func (u *ServiceUser) missing() string { return missingID(u.ID) }

// ServiceUserListParams choose a page.
type ServiceUserListParams struct {
	// Limit is 1 to 100. Zero: the server's default, 50; for All, 100.
	Limit int
	// Offset is how many users to skip.
	Offset int
}

// ServiceUserCreateParams are a new user.
type ServiceUserCreateParams struct {
	Email string `json:"email"`
}

// ServiceUserUpdateParams are the changes of [ServiceUsersService.Update]; nil fields stay as they
// are.
type ServiceUserUpdateParams struct {
	Email *string `json:"email,omitzero"`
}

type serviceUserList struct {
	Users *[]ServiceUser `json:"users"`
	Total *int64         `json:"total"`
}

func (l *serviceUserList) missing() string { return missingItem("users", l.Users) }

// List returns one page of the service's users, in no order that the server promises. GET
// /api/service/users; permission read:users; may be repeated; cached for the stale fallback.
func (s *ServiceUsersService) List(ctx context.Context, p ServiceUserListParams, opts ...RequestOption) (*Page[ServiceUser], error) {
	var in checks
	in.page(p.Limit, p.Offset)
	list, err := invoke[serviceUserList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/service/users", query: paging(p.Limit, p.Offset), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.Users, list.Total), nil
}

// All iterates over the service's users from p.Offset on, p.Limit at a time. It stops at the first
// error, which it yields last.
//
// Deleting users on the way moves the others to earlier pages, and some are passed over: collect
// first ([AllItems]), then delete.
func (s *ServiceUsersService) All(ctx context.Context, p ServiceUserListParams, opts ...RequestOption) iter.Seq2[ServiceUser, error] {
	return byOffset(p.Limit, p.Offset, func(limit, offset int) (*Page[ServiceUser], error) {
		return s.List(ctx, ServiceUserListParams{Limit: limit, Offset: offset}, opts...)
	})
}

// Get returns one user. GET /api/service/users/:user_id; permission read:users; may be repeated;
// cached for the stale fallback.
func (s *ServiceUsersService) Get(ctx context.Context, userID string, opts ...RequestOption) (*ServiceUser, error) {
	var in checks
	in.id("user_id", userID)
	return invoke[ServiceUser](ctx, s.c, request{
		method: http.MethodGet, template: "/api/service/users/:user_id", args: []string{userID}, checks: in,
	}, opts)
}

// Create links a user to the service, by e-mail address, and makes the user when there is none.
// POST /api/service/users; permission write:users; may be repeated: the server returns 201 the
// first time and 200 with the same user after that.
func (s *ServiceUsersService) Create(ctx context.Context, p ServiceUserCreateParams, opts ...RequestOption) (*ServiceUser, error) {
	var in checks
	in.email(p.Email)
	return invoke[ServiceUser](ctx, s.c, request{
		method: http.MethodPost, template: "/api/service/users", body: p, checks: in,
	}, opts)
}

// Update changes a user. PATCH /api/service/users/:user_id; permission write:users; may be
// repeated. Today's servers refuse a new address with 403 FORBIDDEN, because API keys may not
// change profiles; older ones took it.
func (s *ServiceUsersService) Update(
	ctx context.Context, userID string, p ServiceUserUpdateParams, opts ...RequestOption,
) (*ServiceUser, error) {
	var in checks
	in.id("user_id", userID)
	if p.Email != nil {
		in.email(*p.Email)
	}
	return invoke[ServiceUser](ctx, s.c, request{
		method: http.MethodPatch, template: "/api/service/users/:user_id", args: []string{userID}, body: p, checks: in,
	}, opts)
}

// Delete unlinks a user from the service and drops the user's subscription to it; the user itself
// stays. DELETE /api/service/users/:user_id; permission delete:users; may be repeated: when an
// attempt's outcome is unknown and its repeat finds 404, Delete has succeeded.
func (s *ServiceUsersService) Delete(ctx context.Context, userID string, opts ...RequestOption) error {
	var in checks
	in.id("user_id", userID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: "/api/service/users/:user_id", args: []string{userID}, checks: in,
	}, nil, opts)
}
