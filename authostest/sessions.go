package authostest

import (
	"time"
)

// session is a row of the sessions table: one access and one refresh token, and
// the tenant they were issued for.
type session struct {
	id             string
	userID         string
	org, service   string // slugs; empty when the sign-in named none
	access         hash
	accessExpires  time.Time
	refresh        hash
	refreshExpires time.Time
	created        time.Time
	actorID        string // who impersonates the user; empty for everybody's own sessions
}

// issuedToken remembers an access token beyond the life of its session.
type issuedToken struct {
	sessionID string
	expires   time.Time
	forced    bool // by ExpireAccessTokens
	key       int  // that signed it
}

type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"`
}

// open signs a user in with a password. The caller holds the lock.
func (s *Server) open(who *user, org, service string, now time.Time) tokenResponse {
	return s.openVia(passwordProvider, who, org, service, now)
}

// openVia signs a user in through a provider. The caller holds the lock.
func (s *Server) openVia(provider string, who *user, org, service string, now time.Time) tokenResponse {
	if o := s.scene.orgs[org]; o != nil {
		s.scene.addLogin(login{org: org, service: service, userID: who.ID, provider: provider, at: now})
		s.publish(o, event{name: "user.login.success", actor: who}, now)
	}
	return s.openSession(who, org, service, now)
}

// openSession starts a session that no sign-in led to.
func (s *Server) openSession(who *user, org, service string, now time.Time) tokenResponse {
	row := &session{id: s.newID(), userID: who.ID, org: org, service: service, created: now.Truncate(time.Microsecond)}
	s.scene.sessions[row.id] = row
	return s.mint(row, who, now)
}

// mint puts new tokens into a session. Those it held die with that: the row knows
// only one of each.
func (s *Server) mint(row *session, who *user, now time.Time) tokenResponse {
	row.accessExpires = now.Add(s.config.accessLife)
	row.refreshExpires = now.Add(s.config.refreshLife)
	access := s.sign(managementType, who, row.org, row.service, now, row.accessExpires)
	refresh := segment(s.randomBytes(32))
	if s.config.contract == October2025 {
		refresh = s.newID()
		for early := now; s.collides(access); { // whose sign-in the real server would have failed
			early = early.Add(-time.Second)
			access = s.sign(managementType, who, row.org, row.service, early, early.Add(s.config.accessLife))
		}
	}
	row.access, row.refresh = hashOf(access), hashOf(refresh)
	s.scene.issue(row, s.scene.keyRing.active)
	s.scene.refreshes[row.refresh] = row.id
	return tokenResponse{access, refresh, ceilSeconds(s.config.accessLife)}
}

// collides reports whether a token is that of another session: in October 2025 the
// tokens of one user, tenant and second were all the same.
func (s *Server) collides(access string) bool { return s.scene.issued[hashOf(access)] != nil }

// end deletes a session row. Nothing in it works any more.
func (s *Server) end(row *session) {
	delete(s.scene.sessions, row.id)
	delete(s.scene.refreshes, row.refresh)
}

// endAll deletes the sessions of a user, except one.
func (s *Server) endAll(userID, except string) {
	for _, row := range s.scene.sessions {
		if row.userID == userID && row.id != except {
			s.end(row)
		}
	}
}

// liveSession finds the session of an access token, or says why there is none.
func (c *call) liveSession(token string) (*session, *response) {
	known := c.s.scene.issued[hashOf(token)]
	if known == nil {
		return nil, c.strangeToken(token)
	}
	row := c.s.scene.sessions[known.sessionID]
	switch {
	case known.key < c.s.scene.keyRing.oldest && c.october():
		a := c.fail(401, "JWT_ERROR", "Invalid token")
		return nil, &a
	case known.key < c.s.scene.keyRing.oldest:
		return nil, c.unknownKey()
	case c.documented() && (known.forced || !c.now.Before(known.expires)):
		a := c.fail(401, "TOKEN_EXPIRED", "Token expired")
		return nil, &a
	case c.october() && !known.forced && c.now.After(time.Unix(ceilUnix(known.expires), 0)) &&
		!c.now.After(time.Unix(ceilUnix(known.expires), 0).Add(leeway)):
		a := c.fail(401, "TOKEN_EXPIRED", "Token expired")
		return nil, &a
	case known.forced || c.now.After(time.Unix(ceilUnix(known.expires), 0).Add(leeway)):
		a := c.fail(401, "JWT_ERROR", "Invalid token")
		return nil, &a
	case row == nil || row.access != hashOf(token) || !c.now.Before(c.rowEnds(row)):
		// Within the leeway the signature still passes, and only the row, whose
		// expiry has none, stops the token.
		a := c.unauthorized("Session revoked or expired")
		return nil, &a
	}
	return row, nil
}

// rowEnds is when a session's row stops its access token. In October 2025 that was the
// end of the day (UTC) after the one of the sign-in or refresh, whatever the token said.
func (c *call) rowEnds(row *session) time.Time {
	if !c.october() {
		return row.accessExpires
	}
	issued := row.accessExpires.Add(-c.s.config.accessLife)
	return issued.Truncate(day).Add(2 * day)
}

// strangeToken explains a token that this server never issued as an access token.
func (c *call) strangeToken(token string) *response {
	typ, claims, found := c.s.verify(token, c.now)
	a := c.fail(401, "JWT_ERROR", "Invalid token")
	switch {
	case typ == "" && found == malformed: // not even a header
	case c.october() && found != genuine:
	case c.october():
		a = c.unauthorized("Session revoked or expired")
	case typ != managementType && typ != impersonationType:
		a = c.unauthorized("Token profile is not valid for the AuthOS API")
	case found == unknownKey:
		return c.unknownKey()
	case found == malformed:
	case found == stale && c.documented():
		a = c.fail(401, "TOKEN_EXPIRED", "Token expired")
	case found == stale:
	case typ == managementType && claims.TokenUse != managementUse || typ == impersonationType && claims.TokenUse != impersonationUse:
		a = c.unauthorized("Token profile is not valid for the AuthOS API")
	default:
		// Signed with our key, by another fake of this process.
		a = c.unauthorized("Session revoked or expired")
	}
	return &a
}

func (c *call) unknownKey() *response {
	a := c.unauthorized("JWT key identifier is not recognized")
	return &a
}

// refreshSession exchanges a refresh token. There is no grace period: a token
// presented twice costs the whole session, new tokens included, because the
// server cannot tell a lost response from a stolen token.
func (c *call) refreshSession(token string) response {
	s, presented := c.s, hashOf(token)
	id, current := s.scene.refreshes[presented]
	if !current {
		if family, consumed := s.scene.consumed[presented]; consumed {
			s.journal.replays++
			if row := s.scene.sessions[family]; row != nil && !c.october() {
				s.end(row)
			}
		}
		return c.unauthorized("Invalid refresh token")
	}
	row := s.scene.sessions[id]
	if !c.now.Before(row.refreshExpires) {
		s.end(row)
		return c.unauthorized("Refresh token expired")
	}
	who := s.scene.users[row.userID]
	switch {
	case !c.october():
	case who == nil, s.collides(s.sign(managementType, who, row.org, row.service, c.now, c.now.Add(s.config.accessLife))):
		return c.databaseError()
	}
	if who == nil || !c.october() && !s.scene.mayContinue(who, row) {
		// The session stays: it works again when the organization does.
		return c.unauthorized("Invalid refresh token")
	}
	delete(s.scene.refreshes, presented)
	s.scene.consume(presented, row.id)
	c.applied = true
	return jsonResponse(200, s.mint(row, who, c.now))
}
