package authostest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

func (t *table) passkeyRoutes() {
	t.add("POST", "/api/auth/passkeys/authenticate/start", public, (*call).startPasskeySignIn)
	t.add("POST", "/api/auth/passkeys/authenticate/finish", public, (*call).finishPasskeySignIn)
	t.add("GET", "/api/auth/passkeys", bearer, (*call).listPasskeys)
	t.add("POST", "/api/auth/passkeys/register/start", bearer, (*call).startPasskey)
	t.add("POST", "/api/auth/passkeys/register/finish", bearer, (*call).finishPasskey)
	t.add("PATCH", "/api/auth/passkeys/:passkey_id", bearer, (*call).renamePasskey)
	t.add("DELETE", "/api/auth/passkeys/:passkey_id", bearer, (*call).deletePasskey)
}

// challengeLife is how long a passkey ceremony may take.
const challengeLife = 5 * time.Minute

// maxPasskeyName is the longest name, in bytes.
const maxPasskeyName = 80

// passkeyChallenges are the ceremonies that were started, by id. The signatures of
// authenticators are not checked: any credential finishes one.
type passkeyChallenges map[string]passkeyChallenge

type passkeyChallenge struct {
	userID       string
	name         string
	registration bool
	org, service string
	expires      time.Time
}

type passkey struct {
	id, name      string
	created, used time.Time
}

// begin starts a ceremony and returns its id and the challenge to sign.
func (c *call) begin(started passkeyChallenge) (id, challenge string) {
	id, started.expires = c.s.newID(), c.now.Add(challengeLife)
	if c.s.scene.challenges == nil {
		c.s.scene.challenges = passkeyChallenges{}
	}
	c.s.scene.challenges[id] = started
	return id, segment(c.s.randomBytes(32))
}

// finishCeremony ends one of the right kind, once.
func (c *call) finishCeremony(registration bool) (passkeyChallenge, *response) {
	in, bad := decode[struct {
		ChallengeID string          `json:"challenge_id"`
		Credential  json.RawMessage `json:"credential"`
	}](c, plainJSON)
	if bad != nil {
		return passkeyChallenge{}, bad
	}
	started, ok := c.s.scene.challenges[in.ChallengeID]
	if !ok || started.registration != registration || c.now.After(started.expires) || len(in.Credential) == 0 || in.Credential[0] != '{' {
		a := c.badRequest("Invalid or expired passkey challenge")
		return started, &a
	}
	delete(c.s.scene.challenges, in.ChallengeID)
	return started, nil
}

func (c *call) startPasskeySignIn() response {
	in, bad := decode[askedByMail](c, plainJSON)
	var v *service
	for _, check := range []func() *response{
		func() *response { return bad },
		func() *response { return c.needsTenant(in.OrgSlug, in.ServiceSlug, in.RedirectURI) },
		func() (refused *response) { _, v, refused = c.tenant(in.OrgSlug, in.ServiceSlug); return refused },
		func() *response { return c.unregisteredURI(v, in.RedirectURI) },
	} {
		if refused := check(); refused != nil {
			return *refused
		}
	}
	started := passkeyChallenge{org: deref(in.OrgSlug), service: deref(in.ServiceSlug)}
	type allowed struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	}
	u := c.s.scene.byEmail[strings.ToLower(in.Email)]
	switch { // which tells whether there is such an account
	case u == nil:
		return c.notFound("User not found")
	case len(u.passkeys) == 0:
		return c.badRequest("No passkeys registered for this user")
	}
	started.userID = u.ID
	credentials := []allowed{}
	for _, p := range u.passkeys {
		credentials = append(credentials, allowed{"public-key", segment([]byte(p.id))})
	}
	id, challenge := c.begin(started)
	return jsonResponse(http.StatusOK, map[string]any{
		"challenge_id": id,
		"options": map[string]any{"publicKey": map[string]any{
			"challenge": challenge, "timeout": int64(challengeLife / time.Millisecond), "rpId": "localhost",
			"allowCredentials": credentials, "userVerification": "preferred",
		}},
	})
}

func (c *call) finishPasskeySignIn() response {
	started, bad := c.finishCeremony(false)
	if bad != nil {
		return *bad
	}
	who := c.s.scene.users[started.userID]
	if who == nil || len(who.passkeys) == 0 {
		return c.unauthorized("Passkey authentication failed")
	}
	if refused := c.linkAccess(who, linkContext{org: started.org, service: started.service}); refused != nil {
		return *refused
	}
	who.passkeys[0].used = c.now.Truncate(time.Microsecond)
	c.applied = true
	opened := c.s.openVia("passkey", who, started.org, started.service, c.now)
	return jsonResponse(http.StatusOK, struct {
		tokenResponse

		Token  string `json:"token"`
		UserID string `json:"user_id"`
	}{opened, opened.AccessToken, who.ID})
}

type passkeyModel struct {
	ID             string  `json:"id"`
	Name           string  `json:"name"`
	BackupEligible bool    `json:"backup_eligible"`
	BackupState    bool    `json:"backup_state"`
	Transports     *string `json:"transports"` // text, not a list
	LastUsedAt     *string `json:"last_used_at"`
	CreatedAt      string  `json:"created_at"`
}

func newPasskeyModel(p *passkey) passkeyModel {
	return passkeyModel{p.id, p.name, true, true, new("internal"), stamped(p.used, stampOffset), stampOffset(p.created)}
}

func (c *call) listPasskeys() response {
	list := make([]passkeyModel, 0, len(c.user.passkeys))
	for _, p := range c.user.passkeys {
		list = append(list, newPasskeyModel(p))
	}
	return jsonResponse(http.StatusOK, list)
}

func (c *call) startPasskey() response {
	in, bad := decode[struct {
		Name *string `json:"name"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	id, challenge := c.begin(passkeyChallenge{userID: c.user.ID, name: deref(in.Name), registration: true})
	return jsonResponse(http.StatusOK, map[string]any{
		"challenge_id": id,
		"options": map[string]any{"publicKey": map[string]any{
			"challenge":        challenge,
			"rp":               map[string]any{"id": "localhost", "name": "AuthOS"},
			"user":             map[string]any{"id": segment([]byte(c.user.ID)), "name": c.user.Email, "displayName": c.user.Email},
			"pubKeyCredParams": []map[string]any{{"type": "public-key", "alg": -7}, {"type": "public-key", "alg": -257}},
			"timeout":          int64(challengeLife / time.Millisecond),
		}},
	})
}

func (c *call) finishPasskey() response {
	started, bad := c.finishCeremony(true)
	switch {
	case bad != nil:
		return *bad
	case started.userID != c.user.ID:
		return c.badRequest("Invalid or expired passkey challenge")
	}
	p := &passkey{id: c.s.newID(), name: started.name, created: c.now.Truncate(time.Microsecond)}
	c.user.passkeys = append(c.user.passkeys, p)
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Success   bool   `json:"success"`
		PasskeyID string `json:"passkey_id"`
	}{true, p.id})
}

func (c *call) ownPasskey() (*passkey, *response) {
	if p := find(c.user.passkeys, func(p *passkey) bool { return p.id == c.params[0] }); p != nil {
		return p, nil
	}
	a := c.notFound("Passkey not found")
	return nil, &a
}

func (c *call) renamePasskey() response {
	in, bad := decode[struct {
		Name string `json:"name"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	if in.Name = strings.TrimSpace(in.Name); in.Name == "" || len(in.Name) > maxPasskeyName {
		return c.invalid("name", "OUT_OF_RANGE", "Passkey name must be between 1 and 80 characters")
	}
	p, missing := c.ownPasskey()
	if missing != nil {
		return *missing
	}
	p.name = in.Name
	c.applied = true
	return jsonResponse(http.StatusOK, newPasskeyModel(p))
}

func (c *call) deletePasskey() response {
	p, missing := c.ownPasskey()
	if missing != nil {
		return *missing
	}
	c.user.passkeys = without(c.user.passkeys, p)
	c.applied = true
	return jsonResponse(http.StatusOK, outcome{true, "Passkey deleted successfully"})
}
