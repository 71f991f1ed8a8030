package authos

import (
	"context"
	"iter"
	"net/http"
)

// InvitationsService are the invitations that an organization has sent, to become a member. Those
// to the signed-in user are [UserInvitationsService]. Every method needs an active organization,
// else it is 403 [CodeOrganizationNotActive].
type InvitationsService struct{ c *Client }

// InvitationStatus says what became of an invitation. Other values than those named here are kept
// as the server sent them.
type InvitationStatus string

// The states of an invitation. One that is over stays pending.
const (
	InvitationPending   InvitationStatus = "pending"
	InvitationAccepted  InvitationStatus = "accepted"
	InvitationRejected  InvitationStatus = "rejected"
	InvitationCancelled InvitationStatus = "cancelled"
)

// Invitation offers an e-mail address a role in an organization.
type Invitation struct {
	ID string `json:"id"`
	// OrgID and InvitedBy, a user's id, are empty in lists.
	OrgID     string           `json:"org_id,omitempty"`
	InvitedBy string           `json:"invited_by,omitempty"`
	Email     string           `json:"email"`
	Role      RoleSlug         `json:"role"`
	Status    InvitationStatus `json:"status"`
	ExpiresAt Time             `json:"expires_at"`
	CreatedAt Time             `json:"created_at"`
	// Token is here by servers of October 2025 only; see [InvitationCreated].
	Token Secret `json:"token,omitzero"`
}

func (i *Invitation) missing() string { return missingID(i.ID) }

// SentInvitation is an invitation with who has sent it.
type SentInvitation struct {
	Invitation `json:"invitation"`
	Inviter    User `json:"inviter"` // ID, Email and CreatedAt only
}

func (i *SentInvitation) missing() string {
	if lack := i.Invitation.missing(); lack != "" {
		return lack
	}
	return i.Inviter.missing()
}

// InvitationCreated is a new invitation with its token.
type InvitationCreated struct {
	SentInvitation
	// Token is what the invited person accepts with. Besides the e-mail it is only here.
	Token Secret `json:"token"`
}

func (i *InvitationCreated) missing() string {
	if i.Token.IsZero() {
		return "token"
	}
	return i.SentInvitation.missing()
}

func (i *InvitationCreated) shown() bool { return !i.Token.IsZero() || i.ID != "" }

// InvitationListParams choose a page.
type InvitationListParams struct {
	// Page counts from 1; zero: the first. Limit is 1 to 100; zero: the server's default, 50; for
	// All, 100.
	Limit, Page int
}

// InvitationCreateParams are a new invitation.
type InvitationCreateParams struct {
	Email string `json:"email"`
	// Role is admin, member or the slug of a role of the organization's own. Nobody is invited as
	// an owner: see [MembersService.TransferOwnership].
	Role RoleSlug `json:"role"`
}

const (
	invitationsPath = "/api/organizations/:org_slug/invitations"
	invitationPath  = "/api/organizations/:org_slug/invitations/:invitation_id"
)

// List returns one page of an organization's invitations, those that were accepted or declined or
// canceled too. The server neither counts nor filters them: Total is -1. GET
// /api/organizations/:org_slug/invitations; bearer, capability org.members.manage; may be repeated;
// never stale, since older servers send the tokens.
func (s *InvitationsService) List(
	ctx context.Context, orgSlug string, p InvitationListParams, opts ...RequestOption,
) (*Page[SentInvitation], error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.numbered(p.Limit, p.Page)
	list, err := invoke[bare[SentInvitation, *SentInvitation]](ctx, s.c, request{
		method: http.MethodGet, template: invitationsPath, args: []string{orgSlug}, query: numbering(p.Limit, p.Page), checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list, nil), nil
}

// All iterates over an organization's invitations from p.Page on, p.Limit at a time. It stops at
// the first error, which it yields last.
//
// Canceling invitations on the way is right: they stay in the list.
func (s *InvitationsService) All(
	ctx context.Context, orgSlug string, p InvitationListParams, opts ...RequestOption,
) iter.Seq2[SentInvitation, error] {
	return byNumber(p.Limit, p.Page, func(limit, number int) (*Page[SentInvitation], error) {
		return s.List(ctx, orgSlug, InvitationListParams{Limit: limit, Page: number}, opts...)
	})
}

// Create invites an e-mail address. POST /api/organizations/:org_slug/invitations; bearer,
// capability org.members.manage, and org.roles.manage for another role than member; not repeated
// when its outcome is unknown. The token is shown once: what could be read of a
// response that is not whole is returned together with the [*DecodeError].
//
// An address that is a member's, or that has a pending invitation, and a role that does not exist
// are 400 BAD_REQUEST.
func (s *InvitationsService) Create(
	ctx context.Context, orgSlug string, p InvitationCreateParams, opts ...RequestOption,
) (*InvitationCreated, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.email(p.Email)
	if in.role("role", p.Role); p.Role == RoleOwner {
		in.add("role", CodeInvalidFormat, "must not be owner: nobody is invited as an owner")
	}
	return invoke[InvitationCreated](ctx, s.c, request{
		method: http.MethodPost, template: invitationsPath, args: []string{orgSlug}, body: p, checks: in,
	}, opts)
}

// Cancel takes a pending invitation back. POST
// /api/organizations/:org_slug/invitations/:invitation_id, as the server has no DELETE there;
// bearer, capability org.members.manage; may be repeated: a second one is 404 NOT_FOUND.
func (s *InvitationsService) Cancel(ctx context.Context, orgSlug, invitationID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("invitation_id", invitationID)
	return s.c.call(ctx, request{
		method: http.MethodPost, template: invitationPath, args: []string{orgSlug, invitationID}, checks: in,
	}, nil, opts)
}

// Accept accepts a pending invitation in the place of whom it is for, who becomes a member, and a
// user where nobody has the address. POST
// /api/organizations/:org_slug/invitations/:invitation_id/accept; bearer, capability
// org.members.manage; may be repeated: a second one is 404 NOT_FOUND.
//
// An invitation that is over is 400 [CodeInvitationExpired], an organization that has as many
// members as it may 400 [CodeTeamLimitExceeded].
func (s *InvitationsService) Accept(ctx context.Context, orgSlug, invitationID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("invitation_id", invitationID)
	return s.c.call(ctx, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/invitations/:invitation_id/accept",
		args: []string{orgSlug, invitationID}, checks: in,
	}, nil, opts)
}

// AcceptURL makes the URL that the invited person opens to accept an invitation, for programs that
// send their own mail: token is that of [InvitationCreated]. Nothing is sent here; errors are bad
// input. GET /invitations/accept/:token; public.
func (s *InvitationsService) AcceptURL(token Secret) (string, error) {
	var in checks
	in.id("token", token.Reveal())
	if err := in.err(nil); err != nil {
		return "", err
	}
	return link(s.c, "/invitations/accept/:token", []string{token.Reveal()}, nil), nil
}
