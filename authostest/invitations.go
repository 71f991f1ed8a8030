package authostest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) invitationRoutes() {
	t.add("POST", "/api/organizations/:org_slug/invitations", bearer, (*call).createInvitation)
	t.add("GET", "/api/organizations/:org_slug/invitations", bearer, (*call).listInvitations)
	t.add("POST", "/api/organizations/:org_slug/invitations/:invitation_id", bearer, (*call).cancelInvitation)
	t.add("POST", "/api/organizations/:org_slug/invitations/:invitation_id/accept", bearer, (*call).acceptForInvitee)
	t.add("GET", "/api/invitations", bearer, (*call).listOwnInvitations)
	t.add("POST", "/api/invitations/accept", bearer, (*call).acceptByToken)
	t.add("POST", "/api/invitations/:invitation_id/accept", bearer, (*call).acceptByID)
	t.add("POST", "/api/invitations/decline", public, (*call).declineByToken)
	t.add("POST", "/api/invitations/:invitation_id/decline", bearer, (*call).declineByID)
	t.add("GET", "/invitations/accept/:token", public, (*call).acceptPage)
}

// invitationLife is how long an invitation can be accepted.
const invitationLife = 7 * 24 * time.Hour

type invitation struct {
	id, email, role string
	inviter         *user
	status          string
	token           string
	created         time.Time
	expires         time.Time
}

func (o *organization) invite(email, role string, inviter *user, now time.Time) (row *invitation, token string) {
	now, token = now.Truncate(time.Microsecond), o.entropy.newID()
	row = &invitation{
		id: o.entropy.newID(), email: email, role: role, inviter: inviter, status: "pending",
		token: token, created: now, expires: now.Add(invitationLife),
	}
	o.invitations = append(o.invitations, row)
	return row, token
}

// invitationsOrg finds the organization of the path for who may invite. In October 2025
// its status did not matter.
func (c *call) invitationsOrg(doing string) (*organization, *response) {
	if !c.october() {
		return c.orgFor(doing, "org.members.manage")
	}
	o, refused := c.org()
	if refused == nil && !o.can(c.user.ID) {
		a := c.forbidden("Requires one of roles: owner, admin")
		refused = &a
	}
	return o, refused
}

func (c *call) createInvitation() response {
	in, bad := decode[struct {
		Email string `json:"email"`
		Role  string `json:"role"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.invitationsOrg("create invitations")
	switch {
	case refused != nil:
		return *refused
	case in.Role == "owner" || !slices.Contains(builtInRoles, in.Role) && o.role(in.Role) == nil:
		return c.invalid("role", "INVALID_VALUE", c.either("Invalid role. Choose admin, member, or a custom organization role.", "Invalid role. Must be one of: admin, member"))
	case in.Role != "member" && !o.can(c.user.ID, "org.roles.manage"):
		return c.forbidden("Insufficient permissions to invite members with this role")
	}
	if u := c.s.scene.byEmail[strings.ToLower(in.Email)]; u != nil && o.members[u.ID] != "" {
		return c.taken("User is already a member of this organization")
	}
	for _, other := range o.invitations {
		if other.status == "pending" && strings.EqualFold(other.email, in.Email) {
			return c.taken("Invitation already sent")
		}
	}
	row, token := o.invite(in.Email, in.Role, c.user, c.now)
	if c.s.config.mail {
		box := &c.s.scene.mail
		box.sent = append(newest(box.sent, maxMails), Mail{
			Kind: InvitationMail, To: row.email, Token: token, Link: c.s.URL + "/invitations/accept/" + token, Sent: c.now,
		})
	}
	c.applied = true
	if c.october() {
		return c.describeOctoberInvitation(o, row)
	}
	type created struct {
		ID        string `json:"id"`
		OrgID     string `json:"org_id"`
		Email     string `json:"email"`
		Role      string `json:"role"`
		InvitedBy string `json:"invited_by"`
		Status    string `json:"status"`
		ExpiresAt string `json:"expires_at"`
		CreatedAt string `json:"created_at"`
	}
	return jsonResponse(http.StatusOK, struct {
		Invitation created     `json:"invitation"`
		Inviter    serviceUser `json:"inviter"`
		Token      string      `json:"token"` // here and never again
	}{
		created{row.id, o.id, row.email, row.role, c.user.ID, row.status, stampZ(row.expires), stampZ(row.created)},
		newServiceUser(c.user), token,
	})
}

// listInvitations has another shape and other times than the response to a create.
// It takes a status and ignores it.
func (c *call) listInvitations() response {
	page, limit, bad := c.page(50)
	if bad != nil {
		return *bad
	}
	o, refused := c.invitationsOrg("view invitations")
	if refused != nil {
		return *refused
	}
	type row struct {
		ID        string `json:"id"`
		Email     string `json:"email"`
		Role      string `json:"role"`
		Status    string `json:"status"`
		ExpiresAt string `json:"expires_at"`
		CreatedAt string `json:"created_at"`
		Token     string `json:"token,omitempty"` // in October 2025
	}
	type entry struct {
		Invitation row         `json:"invitation"`
		Inviter    serviceUser `json:"inviter"`
	}
	list := []entry{}
	for _, i := range slices.Backward(o.invitations) {
		list = append(list, entry{
			row{i.id, i.email, i.role, i.status, stampOffset(i.expires), stampOffset(i.created), c.either("", i.token)},
			serviceUser{i.inviter.ID, i.inviter.Email, stampOffset(i.inviter.created)},
		})
	}
	return jsonResponse(http.StatusOK, pageOf(list, page, limit))
}

func (c *call) cancelInvitation() response {
	o, refused := c.invitationsOrg("cancel invitations")
	if refused != nil {
		return *refused
	}
	row := find(o.invitations, func(i *invitation) bool { return i.id == c.params[1] && i.status == "pending" })
	if row == nil {
		return c.noInvitation()
	}
	row.status = "cancelled"
	c.applied = true
	return null()
}

func (c *call) noInvitation() response {
	return c.notFound("Invitation not found or already processed")
}

// acceptForInvitee lets an administrator accept in somebody's place.
func (c *call) acceptForInvitee() response {
	o, refused := c.orgFor("accept invitations", "org.members.manage")
	if refused != nil {
		return *refused
	}
	from, row := c.invitation(func(i *invitation) bool { return i.id == c.params[1] })
	if row != nil && c.now.After(row.expires) {
		return c.invitationExpired()
	}
	if row != nil && from != o {
		return c.forbidden("This invitation does not belong to the specified organization")
	}
	return c.accept(o, row)
}

// listOwnInvitations is flat, unlike the lists of the organizations.
func (c *call) listOwnInvitations() response {
	type entry struct {
		ID               string `json:"id"`
		Email            string `json:"email"`
		Role             string `json:"role"`
		ExpiresAt        string `json:"expires_at"`
		CreatedAt        string `json:"created_at"`
		OrganizationSlug string `json:"organization_slug"`
		OrganizationName string `json:"organization_name"`
	}
	if c.october() {
		return c.listNestedInvitations()
	}
	list := []entry{}
	for _, o := range c.s.scene.allOrganizations() {
		for _, i := range slices.Backward(o.invitations) {
			if i.status == "pending" && c.now.Before(i.expires) && strings.EqualFold(i.email, c.user.Email) {
				list = append(list, entry{i.id, i.email, i.role, stampOffset(i.expires), stampOffset(i.created), o.slug, o.name})
			}
		}
	}
	return jsonResponse(http.StatusOK, list)
}

// invitation finds a pending invitation of whatever organization.
func (c *call) invitation(wanted func(*invitation) bool) (*organization, *invitation) {
	for _, o := range c.s.scene.orgs {
		if i := find(o.invitations, func(i *invitation) bool { return i.status == "pending" && wanted(i) }); i != nil {
			return o, i
		}
	}
	return nil, nil
}

func (c *call) tokenInvitation() (*organization, *invitation, *response) {
	in, bad := decode[struct {
		Token string `json:"token"`
	}](c, plainJSON)
	if bad != nil {
		return nil, nil, bad
	}
	o, row := c.invitation(func(i *invitation) bool { return i.token == in.Token })
	return o, row, nil
}

func (c *call) acceptByToken() response {
	o, row, bad := c.tokenInvitation()
	if bad != nil {
		return *bad
	}
	return c.acceptOwn(o, row)
}

func (c *call) acceptByID() response {
	return c.acceptOwn(c.invitation(func(i *invitation) bool { return i.id == c.params[0] }))
}

func (c *call) acceptOwn(o *organization, row *invitation) response {
	if refused := c.notOurs(row); refused != nil {
		return *refused
	}
	if !o.active() && !c.october() {
		return c.organizationNotActive(o.status)
	}
	return c.accept(o, row)
}

// notOurs refuses an invitation that the caller may not settle.
func (c *call) notOurs(row *invitation) *response {
	var a response
	switch {
	case row == nil:
		a = c.noInvitation()
	case c.now.After(row.expires):
		a = c.invitationExpired()
	case !c.october() && !strings.EqualFold(row.email, c.user.Email):
		a = c.forbidden("This invitation belongs to another email address")
	default:
		return nil
	}
	return &a
}

// accept makes the invitee a member, and a user where the address has none.
func (c *call) accept(o *organization, row *invitation) response {
	if row == nil {
		return c.noInvitation()
	}
	if len(o.members) >= o.seatLimit() {
		return c.teamLimitReached()
	}
	u, fresh := c.s.scene.addUser(row.email, "", c.now)
	if fresh {
		u.tenantID = o.id
	}
	if o.members[u.ID] != "" {
		return c.duplicate("User is already a member of this organization")
	}
	o.join(u.ID, row.role, c.now)
	row.status = "accepted"
	c.applied = true
	return null()
}

// declineByToken asks for no sign-in: who has the token may decline.
func (c *call) declineByToken() response {
	_, row, bad := c.tokenInvitation()
	switch {
	case bad != nil:
		return *bad
	case row == nil:
		return c.noInvitation()
	case c.now.After(row.expires):
		return c.invitationExpired()
	}
	return c.decline(row)
}

func (c *call) declineByID() response {
	_, row := c.invitation(func(i *invitation) bool { return i.id == c.params[0] })
	if refused := c.notOurs(row); refused != nil {
		return *refused
	}
	return c.decline(row)
}

func (c *call) decline(row *invitation) response {
	row.status = "rejected"
	c.applied = true
	return null()
}

// acceptPage is where the link in the mail leads: on to the hosted pages.
func (c *call) acceptPage() response {
	a := empty(http.StatusTemporaryRedirect)
	a.header.Set("Location", c.s.URL+"/invitations/accept?token="+c.params[0])
	return a
}
