package authostest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// AddOrganization adds an organization with a status ("pending", "active",
// "suspended" or "rejected") and an owner, who is added too where nobody has the
// address. An organization that exists gets the status and one more owner.
func (s *Server) AddOrganization(slug, status, ownerEmail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, _ := s.scene.addUser(ownerEmail, "", s.now())
	o := s.scene.orgs[slug]
	if o == nil {
		o = s.scene.addOrg(slug, title(slug), status, owner, s.now())
	}
	o.status = status
	o.join(owner.ID, "owner", s.now())
}

// SetLimits overrides how many services and members an organization may have. A
// negative number is the tier's own: 2 and 3 for new organizations, 5 and 10 for the
// default one. Unknown organizations are ignored, here and below.
func (s *Server) SetLimits(org string, services, members int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.scene.orgs[org]
	if o == nil {
		return
	}
	o.maxServices, o.maxUsers = nil, nil
	if services >= 0 {
		o.maxServices = &services
	}
	if members >= 0 {
		o.maxUsers = &members
	}
}

// SetFeature overrides a feature of an organization's tier, by the names of
// PATCH /api/platform/organizations/:id/features: SetFeature("acme",
// "allow_branding", true), or SetFeature("acme", "max_mau", 100).
func (s *Server) SetFeature(org, name string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.scene.orgs[org]
	if o == nil {
		return
	}
	o.override(name, value)
}

func (o *organization) override(name string, value any) {
	if n, ok := value.(int); ok {
		value = float64(n) // as it comes from JSON
	}
	if o.overrides == nil {
		o.overrides = map[string]any{}
	}
	o.overrides[name] = value
}

// AddMember gives a user a role in an organization, whatever its limits, and adds
// the user where nobody has the address.
func (s *Server) AddMember(org, email, role string) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, _ := s.scene.addUser(email, "", s.now())
	if o := s.scene.orgs[org]; o != nil {
		o.join(u.ID, role, s.now())
	}
	return u.User
}

// AddRole adds a role of an organization's own, with capabilities
// ("webhooks.manage"). A role that exists gets them in place of those it had.
func (s *Server) AddRole(org, slug string, capabilities ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.scene.orgs[org]
	if o == nil {
		return
	}
	s.addRole(o, slug, capabilities)
}

func (s *Server) addRole(o *organization, slug string, capabilities []string) {
	r := o.role(slug)
	if r == nil {
		now := s.now().Truncate(time.Microsecond)
		r = &role{id: s.newID(), slug: slug, name: title(slug), created: now, updated: now}
		o.roles = append(o.roles, r)
	}
	r.permissions = append([]string{}, capabilities...)
}

// AddInvitation invites an address to an organization, and returns the token that
// the mail would carry. It can be accepted for seven days.
func (s *Server) AddInvitation(org, email, role string) (id, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.scene.orgs[org]
	if o == nil || s.scene.users[o.ownerID] == nil {
		return "", ""
	}
	row, token := o.invite(email, role, s.scene.users[o.ownerID], s.now())
	return row.id, token
}

// AddServiceAPIKey is [Server.AddAPIKey] for a service of any organization. It
// returns an empty string when there is no such service.
func (s *Server) AddServiceAPIKey(org, service string, permission ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.scene.service(org, service)
	if v == nil {
		return ""
	}
	if len(permission) == 0 {
		permission = permissions
	}
	return s.scene.addKey(v, "test", permission, v.org.ownerID, s.now()).secret
}

// AddPlan adds a plan to a service and returns its id, which is empty when there
// is no such service. A plan of that name gets the price.
func (s *Server) AddPlan(org, service, name string, cents int) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.scene.service(org, service)
	if v == nil {
		return ""
	}
	return s.addPlan(v, name, cents).id
}

func (s *Server) addPlan(v *service, name string, cents int) *plan {
	p := find(v.plans, func(p *plan) bool { return p.name == name })
	if p == nil {
		p = &plan{
			id: s.newID(), name: name, currency: "usd", features: []string{}, priceID: new("price_" + s.randomHex(12)),
			created: s.now().Truncate(time.Microsecond),
		}
		v.plans = append(v.plans, p)
	}
	p.cents = cents
	return p
}

// AddSubscription puts a user on a plan for 30 days, as an end user of the plan's
// service. Who has a subscription there already gets this plan in its place. It
// returns the subscription's id, which is empty when there is no such plan.
func (s *Server) AddSubscription(email, planID string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, p := s.scene.planOf(planID)
	if p == nil {
		return ""
	}
	u, _ := s.scene.addUser(email, "", s.now())
	return s.subscribe(v, u, p).id
}

func (s *Server) subscribe(v *service, u *user, p *plan) *subscription {
	v.link(u, passwordProvider, s.now())
	row := v.subscription(u.ID)
	if row == nil {
		row = v.subscribe(u.ID, p, s.now())
	}
	row.plan = p
	return row
}

// AddWebhook registers a receiver for events, or for all of them when none are
// given. Deliveries are signed with the secret, and sent as [WithWebhookTransport]
// says.
func (s *Server) AddWebhook(org, url string, events ...string) (id, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.scene.orgs[org]
	if o == nil {
		return "", ""
	}
	if len(events) == 0 {
		events = webhookEvents
	}
	w := o.addWebhook(url+" "+s.randomHex(4), url, events, s.now())
	return w.id, w.secret
}

// Publish sends an event to the webhooks of an organization that have subscribed
// to it, as the server does by itself for user.login.success and
// user.signup.success. It does not wait for them. It panics when the data cannot
// be JSON.
func (s *Server) Publish(org, name string, data map[string]any) {
	if _, err := json.Marshal(data); err != nil {
		panic("authostest: data of " + name + ": " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.scene.orgs[org]; o != nil {
		s.publish(o, event{name: name, data: data}, s.now())
	}
}

// defaultScopes are what a service asks identity providers for when nobody says.
var defaultScopes = map[string][]string{
	"github": {"read:user", "user:email"}, "google": {"openid", "email", "profile"}, "microsoft": {"User.Read"},
}

// AllowProvider lets a service ask for tokens of an identity provider ("github",
// "google", "microsoft" or the id of another one) with these scopes.
func (s *Server) AllowProvider(org, service, provider string, scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.scene.service(org, service); v != nil {
		v.allowByDefault(provider, scopes)
	}
}

// allowByDefault allows these scopes, or those that are allowed already, or the
// usual ones.
func (v *service) allowByDefault(provider string, scopes []string) {
	switch {
	case len(scopes) > 0:
		v.allow(provider, slices.Clone(scopes))
	case len(v.scopes[provider]) == 0:
		v.allow(provider, slices.Concat(defaultScopes[provider], []string{})) // never null
	}
}

// LinkProvider gives a user an account at an identity provider, as an end user of
// the default service, who lets the service have the account's token. Without
// scopes the token has those that the service may ask for.
func (s *Server) LinkProvider(email, provider string, scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.linkProvider(email, provider, scopes)
}

func (s *Server) linkProvider(email, provider string, scopes []string) {
	v := s.scene.service(defaultOrg, defaultService)
	if v == nil {
		return
	}
	u, _ := s.scene.addUser(email, "", s.now())
	v.link(u, passwordProvider, s.now())
	if len(v.scopes[provider]) == 0 {
		v.allowByDefault(provider, scopes)
	}
	if len(scopes) == 0 {
		scopes = v.scopes[provider]
	}
	a := &account{id: s.newID(), provider: provider, scopes: slices.Clone(scopes)}
	a.grant(s, v.id, scopes, s.now())
	a.refresh(s, s.now())
	u.accounts = append(u.accounts, a)
}

func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// RevokeProviderGrant takes back what a user has let services have of an identity
// provider. The account stays linked.
func (s *Server) RevokeProviderGrant(email, provider string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.scene.byEmail[strings.ToLower(email)]; u != nil {
		for _, a := range u.accounts {
			if a.provider == provider {
				clear(a.granted)
			}
		}
	}
}

// SignInTo is [Server.SignIn] for another tenant: a service of an organization, or
// with an empty service the organization itself. Who is not a member gets a session
// that cannot be refreshed.
func (s *Server) SignInTo(org, service, email string) Tokens {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, _ := s.scene.addUser(email, "", s.now())
	t := s.open(u, org, service, s.now())
	return s.newTokens(t)
}

// AddLogin puts a sign-in on record for the analytics, without a session.
func (s *Server) AddLogin(org, service, email, provider string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, _ := s.scene.addUser(email, "", s.now())
	s.scene.addLogin(login{org: org, service: service, userID: u.ID, provider: provider, at: at})
}

// AddRiskEvent puts a sign-in on record that the risk engine has given a score of 0 to
// 100, for these factors ("new_device").
func (s *Server) AddRiskEvent(org, email string, score int, factors ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, _ := s.scene.addUser(email, "", s.now())
	action := "allow"
	if o := s.scene.orgs[org]; o != nil && o.risk.EnforcementMode != "log_only" {
		switch {
		case score >= o.risk.MediumThreshold && o.risk.EnforcementMode == "block":
			action = "block"
		case score >= o.risk.LowThreshold:
			action = "challenge_mfa"
		}
	}
	s.scene.addLogin(login{
		org: org, userID: u.ID, provider: passwordProvider, at: s.now(), risk: &rating{score, append([]string{}, factors...), action},
	})
}

// ProveDomain publishes the tokens under an organization's custom domain and under the
// domains of its domain routes, so that the next verification succeeds.
func (s *Server) ProveDomain(org string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.scene.orgs[org]; o != nil {
		o.domain.proven = true
		for _, r := range o.domainRoutes {
			r.proven = true
		}
	}
}
