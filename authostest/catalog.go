package authostest

import (
	"slices"
	"time"
)

// catalog is what an organization has set up for one of its services, and who
// uses it.
type catalog struct {
	secret        string              // of the OAuth client
	scopes        map[string][]string // by identity provider; a missing one is not offered
	resourceURIs  []string
	plans         []*plan
	subscriptions []*subscription
	apiKeys       []*apiKey
	grants        map[string]string // user id: viewer or manager
	identities    map[string]identity
	saml          samlSettings
	certificates  []samlCert // oldest first
}

// passwordProvider is the identity provider of who signs in with a password.
const passwordProvider = "password"

// identity is how a user came to a service.
type identity struct {
	provider string
	created  time.Time
}

// link gives a user an identity of the service, and reports whether that is new.
func (v *service) link(u *user, provider string, now time.Time) bool {
	if slices.Contains(v.linked, u) {
		return false
	}
	if v.identities == nil {
		v.identities = map[string]identity{}
	}
	v.linked = append(v.linked, u)
	v.identities[u.ID] = identity{provider, now.Truncate(time.Microsecond)}
	return true
}

// unlink takes a user's identity away, and what hung on it.
func (v *service) unlink(u *user) {
	v.linked = without(v.linked, u)
	delete(v.identities, u.ID)
	v.subscriptions = without(v.subscriptions, v.subscription(u.ID))
}

// grant gives a member direct access to the service; an empty one takes it away.
func (v *service) grant(userID, access string) {
	if v.grants == nil {
		v.grants = map[string]string{}
	}
	if v.grants[userID] = access; access == "" {
		delete(v.grants, userID)
	}
}

// viewableBy reports whether a member may look at the service.
func (v *service) viewableBy(userID string) bool {
	return v.org.can(userID, "services.view", "services.manage") || v.org.members[userID] != "" && v.grants[userID] != ""
}

// manageableBy reports whether a member may change the service.
func (v *service) manageableBy(userID string) bool {
	return v.org.can(userID, "services.manage") || v.org.members[userID] != "" && v.grants[userID] == "manager"
}

type plan struct {
	id, name    string
	description *string
	cents       int
	currency    string
	features    []string
	priceID     *string // at the billing provider
	byDefault   bool
	created     time.Time
}

// newFreePlan is the plan that every service is born with.
func newFreePlan(from *entropy, now time.Time) *plan {
	return &plan{
		id: from.newID(), name: freeTier.Name, currency: "usd", features: []string{}, byDefault: true,
		created: now.Truncate(time.Microsecond),
	}
}

func (v *service) plan(id string) *plan {
	return find(v.plans, func(p *plan) bool { return p.id == id })
}

// subscription is one user's plan in one service.
type subscription struct {
	id, userID string
	plan       *plan
	status     string
	ends       time.Time // of the current period
	created    time.Time
}

// subscribe puts a user on a plan for 30 days.
func (v *service) subscribe(userID string, p *plan, now time.Time) *subscription {
	now = now.Truncate(time.Microsecond)
	s := &subscription{id: v.org.entropy.newID(), userID: userID, plan: p, status: "active", ends: now.AddDate(0, 0, 30), created: now}
	v.subscriptions = append(v.subscriptions, s)
	return s
}

// subscription returns the one of a user, or nil.
func (v *service) subscription(userID string) *subscription {
	return find(v.subscriptions, func(s *subscription) bool { return s.userID == userID })
}

// active counts the active subscriptions, of one plan or of all.
func (v *service) active(of *plan) int {
	n := 0
	for _, s := range v.subscriptions {
		if s.status == "active" && (of == nil || s.plan == of) {
			n++
		}
	}
	return n
}

// addKey makes an API key that does not expire.
func (sc *scene) addKey(v *service, name string, permissions []string, by string, now time.Time) *apiKey {
	prefix := "sk_" + sc.entropy.hex(6)
	k := &apiKey{
		id: sc.entropy.newID(), name: name, prefix: prefix, secret: prefix + "_" + sc.entropy.hex(32),
		permissions: slices.Clone(permissions), service: v, createdBy: by, created: now.Truncate(time.Microsecond),
	}
	sc.keys[prefix] = k
	v.apiKeys = append(v.apiKeys, k)
	return k
}

func (sc *scene) deleteKey(k *apiKey) {
	delete(sc.keys, k.prefix)
	k.service.apiKeys = without(k.service.apiKeys, k)
}

func (sc *scene) deleteService(v *service) {
	delete(v.org.services, v.slug)
	for _, k := range v.apiKeys {
		delete(sc.keys, k.prefix)
	}
}

// addLogin puts a sign-in on record, which is in order of time.
func (sc *scene) addLogin(l login) {
	l.id, l.at = sc.entropy.newID(), l.at.Truncate(time.Microsecond)
	i := len(sc.logins)
	for i > 0 && sc.logins[i-1].at.After(l.at) {
		i--
	}
	sc.logins = newest(slices.Insert(sc.logins, i, l), maxLogins)
}
