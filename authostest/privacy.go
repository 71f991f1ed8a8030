package authostest

import (
	"net/http"
	"strings"
	"time"
)

func (t *table) privacyRoutes() {
	t.add("GET", "/api/privacy/export/:user_id", bearer, (*call).exportUser)
	t.add("DELETE", "/api/privacy/forget/:user_id", bearer, (*call).forgetUser)
}

// ownsAllOf checks that the caller may speak for a user: as a platform owner, or as
// an owner of every organization the user is in.
func (c *call) ownsAllOf(u *user, action string) *response {
	if c.user.platformOwner {
		return nil
	}
	member := false
	for _, o := range c.s.scene.allOrganizations() {
		if o.members[u.ID] == "" {
			continue
		}
		if member = true; o.members[c.user.ID] != "owner" {
			a := c.forbidden("You must be an owner of organization '" + o.slug + "' to " + action + " this user's data")
			return &a
		}
	}
	if member {
		return nil
	}
	a := c.forbidden("You do not have permission to " + action + " this user's data")
	return &a
}

type exportedMembership struct {
	OrganizationID   string `json:"organization_id"`
	OrganizationSlug string `json:"organization_slug"`
	Role             string `json:"role"`
	JoinedAt         string `json:"joined_at"`
}

type exportedLogin struct {
	ID          string  `json:"id"`
	Timestamp   string  `json:"timestamp"`
	IPAddress   string  `json:"ip_address"`
	UserAgent   string  `json:"user_agent"`
	Provider    *string `json:"provider"`
	Success     bool    `json:"success"`
	RiskScore   *int    `json:"risk_score"`
	RiskFactors *string `json:"risk_factors"` // a JSON array, as text
	GeoCountry  *string `json:"geo_country"`
	GeoCity     *string `json:"geo_city"`
}

type exportedIdentity struct {
	Provider       string `json:"provider"`
	ProviderUserID string `json:"provider_user_id"`
	LinkedAt       string `json:"linked_at"`
}

type exportedPasskey struct {
	ID             string  `json:"id"`
	Name           string  `json:"name"`
	AAGUID         *string `json:"aaguid"`
	BackupEligible bool    `json:"backup_eligible"`
	CreatedAt      string  `json:"created_at"`
	LastUsedAt     *string `json:"last_used_at"`
}

type exportedMFAEvent struct {
	EventType string  `json:"event_type"`
	Timestamp string  `json:"timestamp"`
	Success   bool    `json:"success"`
	Details   *string `json:"details"`
}

// export is all that is known of a user.
type export struct {
	UserID           string               `json:"user_id"`
	Email            string               `json:"email"`
	CreatedAt        string               `json:"created_at"`
	Memberships      []exportedMembership `json:"memberships"`
	LoginEventsCount int                  `json:"login_events_count"`
	LoginEvents      []exportedLogin      `json:"login_events"`
	OAuthIdentities  []exportedIdentity   `json:"oauth_identities"`
	MFAEvents        []exportedMFAEvent   `json:"mfa_events"`
	Passkeys         []exportedPasskey    `json:"passkeys"`
}

func (c *call) exportUser() response {
	u, missing := c.userByID(c.params[0])
	if missing != nil {
		return *missing
	}
	if u != c.user {
		if refused := c.ownsAllOf(u, "export"); refused != nil {
			return *refused
		}
	}
	out := export{
		UserID: u.ID, Email: u.Email, CreatedAt: stampOffset(u.created), Memberships: []exportedMembership{},
		LoginEvents: []exportedLogin{}, OAuthIdentities: []exportedIdentity{}, MFAEvents: []exportedMFAEvent{}, Passkeys: []exportedPasskey{},
	}
	for _, o := range c.s.scene.allOrganizations() {
		if role := o.members[u.ID]; role != "" {
			out.Memberships = append(out.Memberships, exportedMembership{o.id, o.slug, role, stampOffset(o.joined[u.ID].created)})
		}
	}
	for _, l := range c.s.scene.logins {
		if l.userID == u.ID {
			shown := exportedLogin{ID: l.id, Timestamp: stampOffset(l.at), IPAddress: "127.0.0.1", Provider: &l.provider, Success: true}
			if l.risk != nil {
				shown.RiskScore, shown.RiskFactors = &l.risk.score, new(string(encode(l.risk.factors)))
			}
			out.LoginEvents = append(out.LoginEvents, shown)
		}
	}
	out.LoginEventsCount = len(out.LoginEvents)
	for _, provider := range c.identitiesOf(u) {
		out.OAuthIdentities = append(out.OAuthIdentities, exportedIdentity{provider, u.Email, stampOffset(u.created)})
	}
	for _, p := range u.passkeys {
		out.Passkeys = append(out.Passkeys, exportedPasskey{
			ID: p.id, Name: p.name, BackupEligible: true, CreatedAt: stampOffset(p.created), LastUsedAt: stamped(p.used, stampOffset),
		})
	}
	return jsonResponse(http.StatusOK, out)
}

// forgetUser removes what identifies a user. Doing that to oneself takes the
// password or a code again, in the body of the DELETE.
func (c *call) forgetUser() response {
	u, missing := c.userByID(c.params[0])
	switch {
	case missing != nil:
		return *missing
	case u.platformOwner:
		return c.forbidden("Platform owners cannot be anonymized")
	}
	refused := c.ownsAllOf(u, "anonymize")
	if u == c.user {
		refused = c.confirmed()
	}
	if refused != nil {
		return *refused
	}
	c.s.endAll(u.ID, "")
	c.s.scene.rename(u, "deleted-"+u.ID+"@anonymized.invalid", c.now)
	u.Password, u.accounts, u.devices, u.passkeys, u.verified = "", nil, nil, nil, time.Time{}
	u.dropMFA()
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
		UserID  string `json:"user_id"`
	}{true, "User data has been anonymized", u.ID})
}

// confirmed checks that the user means it.
func (c *call) confirmed() *response {
	const text = "Confirm account deletion with your current password or MFA code"
	in, bad := decode[struct {
		CurrentPassword *string `json:"current_password"`
		MFACode         *string `json:"mfa_code"`
	}](c, plainJSON)
	if bad != nil { // one that cannot be read is the same as none
		a := c.badRequest(text)
		return &a
	}
	code := strings.TrimSpace(deref(in.MFACode))
	if c.user.mfa && code != "" && c.user.presents(code, c.now) || c.user.Password != "" && c.user.Password == deref(in.CurrentPassword) {
		return nil
	}
	a := c.forbidden(text)
	return &a
}
