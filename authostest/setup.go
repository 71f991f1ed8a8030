package authostest

import (
	"strings"
	"time"

	"github.com/authos-go/authos"
)

// permissions are what an API key can be allowed to do.
var permissions = []string{
	"read:users", "write:users", "delete:users",
	"read:subscriptions", "write:subscriptions", "delete:subscriptions",
	"read:analytics", "read:service", "write:service", "read:provider_tokens",
}

// Tokens are the credentials of one session, as the client takes them.
type Tokens = authos.Tokens

// newTokens says by the client's clock when the access token ends.
func (s *Server) newTokens(t tokenResponse) Tokens {
	return Tokens{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, ExpiresAt: time.Now().Add(s.config.accessLife)}
}

// AddUser adds a user with a verified e-mail address, as an owner of the default
// organization. An address that exists already returns its user unchanged. A user
// with an empty password cannot sign in by password.
func (s *Server) AddUser(email, password string) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addMember(email, password).User
}

func (s *Server) addMember(email, password string) *user {
	u, fresh := s.scene.addUser(email, password, s.now())
	if o := s.scene.orgs[defaultOrg]; fresh && o != nil {
		o.join(u.ID, "owner", s.now())
	}
	return u
}

// AddPlatformOwner adds a user who may call the platform routes. A user who
// exists is promoted.
func (s *Server) AddPlatformOwner(email, password string) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.addMember(email, password)
	u.platformOwner = true
	return u.User
}

// SetRole gives a user a role in an organization: "owner", "admin", "member" or
// one of its own. An empty role ends the membership. Unknown users and
// organizations are ignored.
func (s *Server) SetRole(org, email, role string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, u := s.scene.orgs[org], s.scene.byEmail[strings.ToLower(email)]
	if o == nil || u == nil {
		return
	}
	if role == "" {
		o.leave(u.ID)
	} else {
		o.join(u.ID, role, s.now())
	}
}

// RequireMFA makes signing in as this user take a second step: login and magic
// links respond with a pre-auth token, and /api/auth/mfa/verify accepts the code
// "123456". An unknown user is added first.
func (s *Server) RequireMFA(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addMember(email, "").mfa = true
}

// AddMagicLink returns the token of a sign-in link for this address, as if it had
// been mailed. It works once, within 15 minutes. An unknown user is added first.
func (s *Server) AddMagicLink(email string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := segment(s.randomBytes(32))
	s.scene.links[hashOf(token)] = magicLink{s.addMember(email, "").ID, s.now().Add(15 * time.Minute)}
	return token
}

// AddService adds a service, and its organization where that does not exist.
func (s *Server) AddService(org, slug string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scene.addService(org, slug, s.now().Truncate(time.Microsecond))
}

// AddAPIKey returns a new API key of the default service, with these permissions
// ("read:users") or, when none are given, with all. It returns an empty string
// when the default organization has been deleted.
func (s *Server) AddAPIKey(permission ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.scene.service(defaultOrg, defaultService)
	if v == nil {
		return ""
	}
	if len(permission) == 0 {
		permission = permissions
	}
	return s.scene.addKey(v, "test", permission, v.org.ownerID, s.now()).secret
}

// RevokeAPIKey deletes an API key. From now on it is an "Invalid API key".
func (s *Server) RevokeAPIKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.scene.keys {
		if k.secret == key {
			s.scene.deleteKey(k)
		}
	}
}

// AddServiceUser adds an end user of the default service, who has no role in the
// organization. A user who exists is linked to the service.
func (s *Server) AddServiceUser(email string) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, _ := s.scene.addUser(email, "", s.now())
	if v := s.scene.service(defaultOrg, defaultService); v != nil {
		v.link(u, passwordProvider, s.now())
	}
	return u.User
}

// SignIn opens a session of a user in the default service and returns its
// tokens. An unknown user is added first, as by [Server.AddUser].
func (s *Server) SignIn(email string) Tokens {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.open(s.addMember(email, ""), defaultOrg, defaultService, s.now())
	return s.newTokens(t)
}

// ExpireAccessTokens makes every access token issued so far an expired one. What
// that looks like depends on the contract: JWT_ERROR under [Newest], TOKEN_EXPIRED
// under [Documented]. Refresh tokens stay good. The exp claims do not change.
func (s *Server) ExpireAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range s.scene.issued {
		token.forced = true
	}
}

// RevokeSessions deletes all sessions of a user, as an administrator would.
// Neither access nor refresh tokens work afterwards.
func (s *Server) RevokeSessions(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.scene.byEmail[strings.ToLower(email)]; u != nil {
		s.endAll(u.ID, "")
	}
}

// DeleteUser deletes a user, with memberships and identities. Sessions stay, of a
// user that nobody finds: "User not found".
func (s *Server) DeleteUser(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.scene.byEmail[strings.ToLower(email)]
	if u == nil {
		return
	}
	for _, o := range s.scene.orgs {
		o.leave(u.ID)
		for _, v := range o.services {
			v.unlink(u)
		}
	}
	delete(s.scene.byEmail, strings.ToLower(email))
	delete(s.scene.users, u.ID)
}

// SuspendOrg suspends an organization: its API keys stop working, and sessions
// bound to it cannot be refreshed until [Server.ActivateOrg].
func (s *Server) SuspendOrg(slug string) { s.setStatus(slug, "suspended") }

// ActivateOrg makes an organization active again. Sessions and keys that survived
// the suspension work as before.
func (s *Server) ActivateOrg(slug string) { s.setStatus(slug, "active") }

func (s *Server) setStatus(slug, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.scene.orgs[slug]; o != nil {
		o.status, o.updated = status, s.now().Truncate(time.Microsecond)
	}
}
