package authostest

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// The scene every server starts with.
const (
	defaultOrg     = "acme"
	defaultService = "app"
)

// scene is the server's database.
type scene struct {
	entropy       *entropy
	users         map[string]*user // by id
	byEmail       map[string]*user // by lower-case address
	orgs          map[string]*organization
	keys          map[string]*apiKey // by prefix
	sessions      map[string]*session
	issued        map[hash]*issuedToken
	refreshes     map[hash]string // current refresh tokens: session id
	order         tokenOrder
	consumed      map[hash]string // refresh tokens exchanged before: session id
	links         map[hash]magicLink
	mail          mailbox
	devices       deviceFlow
	platform      platformState
	keyRing       keyRing
	signIns       signInStates
	challenges    passkeyChallenges
	tokenRequests map[string]*tokenRequest // by state
	shelves       map[shelfKey][]thing
	managed       managed
	preauths      map[string]bool // ids of the pre-auth tokens already used
	logins        []login
}

// User is somebody who can sign in.
type User struct {
	ID       string
	Email    string
	Password string // empty when the user has none
}

type user struct {
	User
	platformOwner bool
	mfa           bool
	factor        secondFactor
	devices       []*device
	passkeys      []*passkey
	accounts      []*account // at identity providers
	tenantID      string     // the organization that made the user for itself; empty for most
	verified      time.Time
	created       time.Time
	updated       time.Time
}

type organization struct {
	entropy        *entropy
	id, slug, name string
	ownerID        string
	status         string
	created        time.Time
	updated        time.Time
	members        map[string]string // user id: role
	tenant                           // what its members have set up
	services       map[string]*service
	decision       // what the platform has decided about it
}

func (o *organization) active() bool { return o.status == "active" }

type service struct {
	id, slug, name string
	kind           string
	org            *organization
	created        time.Time
	linked         []*user // who has an identity here, in order
	catalog                // what its organization has set up for it
	clientID       string
	redirectURIs   []string
	activationURI  string // where users type device codes; empty when there is none
}

type apiKey struct {
	id, name    string
	prefix      string
	secret      string // the whole key
	permissions []string
	service     *service
	createdBy   string // user id
	created     time.Time
	expires     time.Time // zero for never
	used        time.Time // zero when it never was
}

type magicLink struct {
	userID  string
	expires time.Time
}

// login is one sign-in to a tenant, for the analytics.
type login struct {
	id                   string
	org, service, userID string // service is empty for a sign-in to the organization alone
	provider             string
	at                   time.Time
	risk                 *rating // nil when nobody has rated it
}

// rating is what the risk engine thinks of a sign-in.
type rating struct {
	score   int
	factors []string
	action  string // allow, challenge_mfa or block
}

func newScene(from *entropy, now time.Time) scene {
	now = now.Truncate(time.Microsecond) // what the database keeps
	sc := scene{
		entropy:       from,
		keyRing:       newKeyRing(from),
		users:         map[string]*user{},
		byEmail:       map[string]*user{},
		orgs:          map[string]*organization{},
		keys:          map[string]*apiKey{},
		sessions:      map[string]*session{},
		issued:        map[hash]*issuedToken{},
		refreshes:     map[hash]string{},
		consumed:      map[hash]string{},
		links:         map[hash]magicLink{},
		mail:          newMailbox(),
		devices:       newDeviceFlow(),
		preauths:      map[string]bool{},
		tokenRequests: map[string]*tokenRequest{},
	}
	sc.addService(defaultOrg, defaultService, now)
	return sc
}

// addUser returns the user of an address and whether it is new.
func (sc *scene) addUser(email, password string, now time.Time) (*user, bool) {
	if u := sc.byEmail[strings.ToLower(email)]; u != nil {
		return u, false
	}
	now = now.Truncate(time.Microsecond)
	u := &user{User: User{ID: sc.entropy.newID(), Email: email, Password: password}, verified: now, created: now, updated: now}
	sc.users[u.ID] = u
	sc.byEmail[strings.ToLower(email)] = u
	return u, true
}

func (sc *scene) rename(u *user, email string, now time.Time) {
	delete(sc.byEmail, strings.ToLower(u.Email))
	u.Email, u.updated = email, now.Truncate(time.Microsecond)
	sc.byEmail[strings.ToLower(email)] = u
}

// addService makes the service of an organization, and the organization, where they
// do not exist. An organization needs an owner, so it is made with one.
func (sc *scene) addService(orgSlug, slug string, now time.Time) {
	o := sc.orgs[orgSlug]
	if o == nil {
		owner, _ := sc.addUser("owner@"+orgSlug+".example", "", now)
		o = sc.addOrg(orgSlug, title(orgSlug), "active", owner, now)
		o.tierID = "tier_starter" // the free one would not let a test do much
	}
	if o.services[slug] == nil {
		v := &service{
			id: sc.entropy.newID(), slug: slug, name: title(slug), kind: "web", org: o, created: now, clientID: orgSlug + "_" + slug,
			redirectURIs:  []string{"https://" + slug + "." + orgSlug + ".example/callback"},
			activationURI: "https://" + slug + "." + orgSlug + ".example/activate",
		}
		v.plans = []*plan{newFreePlan(sc.entropy, now)}
		o.services[slug] = v
	}
}

func (sc *scene) addOrg(slug, name, status string, owner *user, now time.Time) *organization {
	now = now.Truncate(time.Microsecond)
	o := &organization{
		entropy: sc.entropy, id: sc.entropy.newID(), slug: slug, name: name, ownerID: owner.ID, status: status, created: now, updated: now,
		members: map[string]string{}, services: map[string]*service{}, tenant: newTenant(),
	}
	o.join(owner.ID, "owner", now)
	sc.orgs[slug] = o
	return o
}

func title(slug string) string {
	if slug == "" {
		return ""
	}
	return strings.ToUpper(slug[:1]) + slug[1:]
}

// service returns a service by slugs, or nil.
func (sc *scene) service(org, slug string) *service {
	if o := sc.orgs[org]; o != nil {
		return o.services[slug]
	}
	return nil
}

// mayEnter reports whether a user belongs to a tenant: platform owners to all,
// others by membership or by an identity of the service.
func (sc *scene) mayEnter(who *user, o *organization, v *service) bool {
	if who.platformOwner || o.members[who.ID] != "" {
		return true
	}
	return v != nil && slices.Contains(v.linked, who)
}

// mayContinue is the check a refresh repeats: nothing that the session was
// granted on may have gone away.
func (sc *scene) mayContinue(who *user, row *session) bool {
	if row.org == "" {
		return true
	}
	o := sc.orgs[row.org]
	if o == nil || !o.active() {
		return false
	}
	v := o.services[row.service]
	if row.service != "" && v == nil {
		return false
	}
	return sc.mayEnter(who, o, v)
}

func (sc *scene) deleteOrg(o *organization) {
	delete(sc.orgs, o.slug)
	maps.DeleteFunc(sc.keys, func(_ string, k *apiKey) bool { return k.service.org == o })
}
