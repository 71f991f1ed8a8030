package authostest

import (
	"net/http"
	"slices"
	"strings"
)

// How invitations looked in October 2025: the token was in all of them.

type octoberInvitation struct {
	ID        string `json:"id"`
	OrgID     string `json:"org_id"`
	Email     string `json:"email"`
	Role      string `json:"role"`
	InvitedBy string `json:"invited_by"`
	Token     string `json:"token"`
	Status    string `json:"status"`
	ExpiresAt string `json:"expires_at"`
	CreatedAt string `json:"created_at"`
}

type octoberInviter struct {
	ID              string `json:"id"`
	Email           string `json:"email"`
	IsPlatformOwner bool   `json:"is_platform_owner"`
	CreatedAt       string `json:"created_at"`
}

func (c *call) describeOctoberInvitation(o *organization, i *invitation) response {
	return jsonResponse(http.StatusOK, struct {
		Invitation octoberInvitation `json:"invitation"`
		Inviter    octoberInviter    `json:"inviter"`
		Token      string            `json:"token"`
	}{
		octoberInvitation{i.id, o.id, i.email, i.role, i.inviter.ID, i.token, i.status, stampZ(i.expires), stampZ(i.created)},
		octoberInviter{i.inviter.ID, i.inviter.Email, i.inviter.platformOwner, stampZ(i.inviter.created)}, i.token,
	})
}

func (c *call) listNestedInvitations() response {
	type organizationName struct {
		ID   string `json:"id"`
		Slug string `json:"slug"`
		Name string `json:"name"`
	}
	type entry struct {
		ID           string           `json:"id"`
		Email        string           `json:"email"`
		Role         string           `json:"role"`
		Token        string           `json:"token"`
		ExpiresAt    string           `json:"expires_at"`
		CreatedAt    string           `json:"created_at"`
		Organization organizationName `json:"organization"`
	}
	list := []entry{}
	for _, o := range c.s.scene.allOrganizations() {
		for _, i := range slices.Backward(o.invitations) {
			if i.status == "pending" && c.now.Before(i.expires) && strings.EqualFold(i.email, c.user.Email) {
				list = append(list, entry{
					i.id, i.email, i.role, i.token, stampNaive(i.expires), stampNaive(i.created), organizationName{o.id, o.slug, o.name},
				})
			}
		}
	}
	return jsonResponse(http.StatusOK, list)
}
