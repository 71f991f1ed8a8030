package authos

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
)

// UserInvitationsService are the invitations to the signed-in user. Those that an organization has
// sent are [InvitationsService].
type UserInvitationsService struct{ c *Client }

// ReceivedInvitation is an invitation as the invited user sees it.
type ReceivedInvitation struct {
	ID        string   `json:"id"`
	Email     string   `json:"email"`
	Role      RoleSlug `json:"role"`
	ExpiresAt Time     `json:"expires_at"`
	CreatedAt Time     `json:"created_at"`
	// OrgID and Token are what servers of October 2025 send and newer ones do not: the token is
	// then only in the e-mail.
	OrgID   string `json:"organization_id,omitempty"`
	Token   Secret `json:"token,omitzero"`
	OrgSlug string `json:"organization_slug"`
	OrgName string `json:"organization_name"`
}

// UnmarshalJSON reads both forms: newer servers say the organization in two members, that of
// October 2025 in an object.
func (i *ReceivedInvitation) UnmarshalJSON(b []byte) error {
	type fields ReceivedInvitation // without this method
	in := struct {
		*fields
		Organization struct {
			ID   string `json:"id"`
			Slug string `json:"slug"`
			Name string `json:"name"`
		} `json:"organization"`
	}{fields: (*fields)(i)}
	if err := decodeJSON(b, &in); err != nil {
		return err
	}
	i.OrgID = cmp.Or(i.OrgID, in.Organization.ID)
	i.OrgSlug = cmp.Or(i.OrgSlug, in.Organization.Slug)
	i.OrgName = cmp.Or(i.OrgName, in.Organization.Name)
	return nil
}

func (i *ReceivedInvitation) missing() string { return missingID(i.ID) }

// List returns the pending invitations to the signed-in user's address. GET /api/invitations;
// bearer; may be repeated; never stale, since older servers send the tokens.
func (s *UserInvitationsService) List(ctx context.Context, opts ...RequestOption) ([]ReceivedInvitation, error) {
	list, err := invoke[bare[ReceivedInvitation, *ReceivedInvitation]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/invitations",
	}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// All iterates over the same invitations. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *UserInvitationsService) All(ctx context.Context, opts ...RequestOption) iter.Seq2[ReceivedInvitation, error] {
	return unpaged(func() ([]ReceivedInvitation, error) { return s.List(ctx, opts...) })
}

// Accept makes the signed-in user a member, by the id of an invitation. POST
// /api/invitations/:invitation_id/accept; bearer; may be repeated: a second one is 404 NOT_FOUND.
//
// An invitation to another address is 403, one that is over 400 [CodeInvitationExpired], and so is
// an organization that has as many members as it may, [CodeTeamLimitExceeded]. An organization that
// is not active is 403 [CodeOrganizationNotActive].
func (s *UserInvitationsService) Accept(ctx context.Context, invitationID string, opts ...RequestOption) error {
	var in checks
	in.id("invitation_id", invitationID)
	return s.c.call(ctx, request{
		method: http.MethodPost, template: "/api/invitations/:invitation_id/accept", args: []string{invitationID}, checks: in,
	}, nil, opts)
}

// AcceptToken is [UserInvitationsService.Accept] by the token that the invitation's e-mail holds.
// POST /api/invitations/accept; bearer; may be repeated: a second one is 404 NOT_FOUND.
func (s *UserInvitationsService) AcceptToken(ctx context.Context, token string, opts ...RequestOption) error {
	var in checks
	in.required("token", token)
	in.argument("token")
	body := map[string]string{"token": token}
	return s.c.call(ctx, request{
		method: http.MethodPost, template: "/api/invitations/accept", body: body, checks: in,
	}, nil, opts)
}

// Decline turns an invitation down, by its id. POST /api/invitations/:invitation_id/decline;
// bearer; may be repeated: a second one is 404 NOT_FOUND. One that is over is 400
// [CodeInvitationExpired].
func (s *UserInvitationsService) Decline(ctx context.Context, invitationID string, opts ...RequestOption) error {
	var in checks
	in.id("invitation_id", invitationID)
	return s.c.call(ctx, request{
		method: http.MethodPost, template: "/api/invitations/:invitation_id/decline", args: []string{invitationID}, checks: in,
	}, nil, opts)
}

// DeclineToken turns an invitation down by the token that its e-mail holds. POST
// /api/invitations/decline; public: nobody needs to be signed in; may be repeated: a second one is
// 404 NOT_FOUND. One that is over is 400 [CodeInvitationExpired].
//
// A server of October 2025 wants the invited user signed in: when it says so, and the client is, it
// is told.
func (s *UserInvitationsService) DeclineToken(ctx context.Context, token string, opts ...RequestOption) error {
	var in checks
	in.required("token", token)
	in.argument("token")
	decline := func(opts []RequestOption) error {
		return s.c.call(ctx, request{
			method: http.MethodPost, template: "/api/invitations/decline", body: map[string]string{"token": token}, checks: in,
		}, nil, opts)
	}
	err := decline(opts)
	if e, ok := errors.AsType[*APIError](err); ok && e.StatusCode == http.StatusUnauthorized {
		if t, _ := s.c.Tokens(ctx); t.AccessToken != "" {
			return decline(append(slices.Clip(opts), WithHeader("Authorization", "Bearer "+t.AccessToken)))
		}
	}
	return err
}
