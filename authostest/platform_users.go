package authostest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

func (t *table) platformUserRoutes() {
	t.add("POST", "/api/platform/owners", platformOwner, (*call).promote)
	t.add("DELETE", "/api/platform/owners/:user_id", platformOwner, (*call).demote)
	t.add("GET", "/api/platform/users", platformOwner, (*call).platformUsers)
	t.add("GET", "/api/platform/users/search", platformOwner, (*call).searchUsers)
	t.add("GET", "/api/platform/users/:user_id", platformOwner, (*call).platformUser)
	t.add("GET", "/api/platform/users/:user_id/mfa/status", platformOwner, (*call).platformMFAStatus)
	t.add("DELETE", "/api/platform/users/:user_id/mfa", platformOwner, (*call).forceDisableMFA)
	t.add("POST", "/api/platform/impersonate", platformOwner, (*call).impersonate)
}

// impersonationLife is the life of a token in somebody else's name. It cannot be
// refreshed.
const impersonationLife = 15 * time.Minute

// platformUser is a user in the responses about organizations and owners.
type platformUser struct {
	ID              string  `json:"id"`
	Email           string  `json:"email"`
	IsPlatformOwner bool    `json:"is_platform_owner"`
	EmailVerifiedAt *string `json:"email_verified_at"`
	CreatedAt       string  `json:"created_at"`
}

func newPlatformUser(u *user) platformUser {
	return platformUser{u.ID, u.Email, u.platformOwner, stamped(u.verified, stampZ), stampZ(u.created)}
}

// platformUserRow is a user in the lists of users, with another time format.
type platformUserRow struct {
	ID              string `json:"id"`
	Email           string `json:"email"`
	IsPlatformOwner bool   `json:"is_platform_owner"`
	CreatedAt       string `json:"created_at"`
}

func newPlatformUserRow(u *user) platformUserRow {
	return platformUserRow{u.ID, u.Email, u.platformOwner, stampOffset(u.created)}
}

func userRows(list []*user) []platformUserRow {
	rows := make([]platformUserRow, 0, len(list))
	for _, u := range list {
		rows = append(rows, newPlatformUserRow(u))
	}
	return rows
}

// allUsers lists them newest first.
func (sc *scene) allUsers() []*user {
	return slices.SortedFunc(maps.Values(sc.users), func(a, b *user) int {
		return cmp.Or(b.created.Compare(a.created), strings.Compare(a.Email, b.Email))
	})
}

func (c *call) userByID(id string) (*user, *response) {
	if u := c.s.scene.users[id]; u != nil {
		return u, nil
	}
	a := c.notFound("User not found")
	return nil, &a
}

func (c *call) promote() response {
	in, bad := decode[struct {
		UserID string `json:"user_id"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	u, missing := c.userByID(in.UserID)
	switch {
	case missing != nil:
		return *missing
	case u.platformOwner:
		return c.badRequest("User is already a platform owner")
	}
	u.platformOwner = true
	c.auditPlatform("promote_platform_owner", "user", u.ID, map[string]any{"email": u.Email})
	c.applied = true
	return jsonResponse(http.StatusOK, newPlatformUser(u))
}

func (c *call) demote() response {
	u, missing := c.userByID(c.params[0])
	switch {
	case missing != nil:
		return *missing
	case u == c.user:
		// Which leaves at least one owner: there is no other way to be the last.
		return c.badRequest(c.either("You cannot demote yourself", "Cannot demote yourself"))
	case !u.platformOwner:
		return c.badRequest("User is not a platform owner")
	}
	u.platformOwner = false
	c.auditPlatform("demote_platform_owner", "user", u.ID, map[string]any{"email": u.Email})
	c.applied = true
	return jsonResponse(http.StatusOK, newPlatformUser(u))
}

func (c *call) platformUsers() response {
	limit, offset, bad := c.window()
	if bad != nil {
		return *bad
	}
	all := c.s.scene.allUsers()
	return jsonResponse(http.StatusOK, struct {
		Users []platformUserRow `json:"users"`
		Total int               `json:"total"`
	}{userRows(slice(all, limit, offset)), len(all)})
}

func (c *call) searchUsers() response {
	q, bad := c.requiredQuery("q")
	if bad != nil {
		return *bad
	}
	limit, bad := c.integer("limit", 10)
	if bad != nil {
		return *bad
	}
	matching := slices.DeleteFunc(c.s.scene.allUsers(), func(u *user) bool {
		return !strings.Contains(strings.ToLower(u.Email), strings.ToLower(q))
	})
	return jsonResponse(http.StatusOK, userRows(slice(matching, min(max(limit, 1), 50), 0)))
}

func (c *call) platformUser() response {
	u, missing := c.userByID(c.params[0])
	if missing != nil {
		return *missing
	}
	return jsonResponse(http.StatusOK, newPlatformUserRow(u))
}

func (c *call) platformMFAStatus() response {
	u, missing := c.userByID(c.params[0])
	if missing != nil {
		return *missing
	}
	return jsonResponse(http.StatusOK, u.mfaStatus())
}

func (c *call) forceDisableMFA() response {
	u, missing := c.userByID(c.params[0])
	if missing != nil {
		return *missing
	}
	u.dropMFA()
	c.auditPlatform("force_disable_mfa", "user", u.ID, nil)
	c.applied = true
	return jsonResponse(http.StatusOK, outcome{true, "MFA disabled for this user"})
}

// impersonated describes one of the two users of an impersonation.
type impersonated struct {
	ID              string `json:"id"`
	Email           string `json:"email"`
	IsPlatformOwner bool   `json:"is_platform_owner"`
	OrgID           string `json:"org_id,omitempty"`
	OrgName         string `json:"org_name,omitempty"`
}

// impersonate opens a session in the name of another user, in the first
// organization they belong to. There is no refresh token.
func (c *call) impersonate() response {
	in, bad := decode[struct {
		UserID string `json:"user_id"`
		Reason string `json:"reason"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	reason := strings.TrimSpace(in.Reason)
	if c.session.actorID != "" {
		return c.forbidden("Nested impersonation is not allowed")
	}
	if n := utf8.RuneCountInString(reason); n < 1 || n > 500 {
		return c.invalid("reason", "OUT_OF_RANGE", "Impersonation reason must be between 1 and 500 characters")
	}
	target := c.s.scene.users[in.UserID]
	if target == nil {
		return c.notFound("Target user not found")
	}
	described := impersonated{ID: target.ID, Email: target.Email, IsPlatformOwner: target.platformOwner}
	row := &session{id: c.s.newID(), userID: target.ID, actorID: c.user.ID, created: c.now.Truncate(time.Microsecond)}
	for _, o := range c.s.scene.allOrganizations() {
		if o.members[target.ID] != "" {
			row.org, described.OrgID, described.OrgName = o.slug, o.id, o.name
			break
		}
	}
	row.accessExpires = c.now.Add(impersonationLife)
	token := c.s.newClaims(target, row.org, "", c.now, row.accessExpires)
	token.TokenUse, token.Aud = impersonationUse, "impersonation-session"
	token.Act = &actor{c.user.ID, c.user.Email, reason}
	access := c.s.signClaims(impersonationType, token)
	row.access = hashOf(access)
	c.s.scene.sessions[row.id] = row
	c.s.scene.issue(row, c.s.scene.keyRing.active)
	c.auditPlatform("user.impersonate", "user", target.ID, map[string]any{"reason": reason, "severity": "HIGH"})
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Token      string       `json:"token"`
		TargetUser impersonated `json:"target_user"`
		ActorUser  impersonated `json:"actor_user"`
	}{access, described, impersonated{ID: c.user.ID, Email: c.user.Email, IsPlatformOwner: true}})
}
