package authostest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Scene says what a server is to have beside what it has. It is what a file for the
// command in cmd/fakeauthos holds, in YAML or JSON, and what [Server.Apply] takes. What
// exists already is changed, not made twice.
type Scene struct {
	Users         []SceneUser         `json:"users,omitempty"`
	Organizations []SceneOrganization `json:"organizations,omitempty"`
}

// SceneUser is a user with a verified address.
type SceneUser struct {
	Email         string              `json:"email"`
	Password      string              `json:"password,omitempty"` // empty: no sign-in by password
	PlatformOwner bool                `json:"platform_owner,omitempty"`
	MFA           bool                `json:"mfa,omitempty"` // asks for a second factor, which is "123456"
	Unverified    bool                `json:"unverified,omitempty"`
	Devices       []string            `json:"devices,omitempty"`   // names
	Providers     map[string][]string `json:"providers,omitempty"` // linked accounts: the scopes of each
}

// SceneOrganization is an organization and all that is in it.
type SceneOrganization struct {
	Slug        string            `json:"slug"`
	Name        string            `json:"name,omitempty"`   // the slug with a capital, if empty
	Status      string            `json:"status,omitempty"` // "active" if empty
	Owner       string            `json:"owner,omitempty"`  // address; "owner@SLUG.example" if empty
	Tier        string            `json:"tier,omitempty"`   // id; that of a new organization if empty
	Features    map[string]any    `json:"features,omitempty"`
	Members     []SceneMember     `json:"members,omitempty"`
	Roles       []SceneRole       `json:"roles,omitempty"`
	Invitations []SceneInvitation `json:"invitations,omitempty"`
	Services    []SceneService    `json:"services,omitempty"`
	Webhooks    []SceneWebhook    `json:"webhooks,omitempty"`
}

// SceneMember is a user's role in an organization.
type SceneMember struct {
	Email string `json:"email"`
	Role  string `json:"role"`
}

// SceneRole is a role of an organization's own.
type SceneRole struct {
	Slug         string   `json:"slug"`
	Capabilities []string `json:"capabilities,omitempty"`
}

// SceneInvitation waits for somebody.
type SceneInvitation struct {
	Email string `json:"email"`
	Role  string `json:"role"`
	Token string `json:"token,omitempty"` // drawn if empty
}

// SceneService is a service with its plans, users and keys.
type SceneService struct {
	Slug          string              `json:"slug"`
	Name          string              `json:"name,omitempty"`
	Type          string              `json:"type,omitempty"` // "web" if empty
	ClientID      string              `json:"client_id,omitempty"`
	ClientSecret  string              `json:"client_secret,omitempty"`
	RedirectURIs  []string            `json:"redirect_uris,omitempty"`
	ActivationURI string              `json:"activation_uri,omitempty"` // where users type device codes
	Scopes        map[string][]string `json:"scopes,omitempty"`         // by identity provider
	Users         []string            `json:"users,omitempty"`          // addresses of end users
	Plans         []ScenePlan         `json:"plans,omitempty"`
	Subscriptions []SceneSubscription `json:"subscriptions,omitempty"`
	APIKeys       []SceneAPIKey       `json:"api_keys,omitempty"`
}

// ScenePlan is what users of a service can subscribe to.
type ScenePlan struct {
	Name       string   `json:"name"`
	PriceCents int      `json:"price_cents,omitempty"`
	Currency   string   `json:"currency,omitempty"` // "usd" if empty
	Features   []string `json:"features,omitempty"`
}

// SceneSubscription puts an end user on a plan of the same service.
type SceneSubscription struct {
	Email  string    `json:"email"`
	Plan   string    `json:"plan"` // name
	Status string    `json:"status,omitempty"`
	Ends   time.Time `json:"ends,omitzero"` // in 30 days if zero
}

// SceneAPIKey is a key of a service.
type SceneAPIKey struct {
	Name        string   `json:"name"`
	Permissions []string `json:"permissions,omitempty"` // all if empty
	Key         string   `json:"key,omitempty"`         // sk_, 12 hex digits, _, 64 hex digits; drawn if empty
}

// SceneWebhook is a receiver of events.
type SceneWebhook struct {
	Name   string   `json:"name,omitempty"` // the URL if empty
	URL    string   `json:"url"`
	Events []string `json:"events,omitempty"` // all if empty
	Secret string   `json:"secret,omitempty"` // drawn if empty
}

// SceneSecrets are the secrets of what [Server.Apply] has made, in the order of the
// scene.
type SceneSecrets struct {
	APIKeys     []SceneSecret `json:"api_keys"`
	Webhooks    []SceneSecret `json:"webhooks"`
	Invitations []SceneSecret `json:"invitations"`
}

// SceneSecret is one of them.
type SceneSecret struct {
	Organization string `json:"organization"`
	Service      string `json:"service,omitempty"`
	Name         string `json:"name"` // of the key or the webhook, or who is invited
	Secret       string `json:"secret"`
}

// ReadScene reads a scene from JSON. It refuses members that it does not know.
func ReadScene(data []byte) (Scene, error) {
	var sc Scene
	err := strict(data, &sc)
	if err != nil {
		err = fmt.Errorf("authostest: scene: %w", err)
	}
	return sc, err
}

// strict decodes JSON that must not say more than is asked.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("something follows the JSON")
	}
	return nil
}

// Apply makes the server have what a scene says. After an error, which names the place,
// nothing has changed.
func (s *Server) Apply(sc Scene) (SceneSecrets, error) {
	if err := sc.check(); err != nil {
		return SceneSecrets{}, fmt.Errorf("authostest: scene: %w", err)
	}
	made := SceneSecrets{[]SceneSecret{}, []SceneSecret{}, []SceneSecret{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range sc.Users {
		s.applyUser(u)
	}
	for _, o := range sc.Organizations {
		s.applyOrganization(o, &made)
	}
	for _, u := range sc.Users { // whose services are there now
		for _, provider := range sortedNames(u.Providers) {
			s.linkProvider(u.Email, provider, u.Providers[provider])
		}
	}
	return made, nil
}

func (s *Server) applyUser(in SceneUser) {
	u, _ := s.scene.addUser(in.Email, in.Password, s.now())
	u.Password, u.platformOwner, u.mfa = in.Password, in.PlatformOwner, in.MFA
	if in.Unverified {
		u.verified = time.Time{}
	}
	for _, name := range in.Devices {
		if find(u.devices, func(d *device) bool { return d.name == name }) == nil {
			s.addDevice(u, name)
		}
	}
}

func (s *Server) applyOrganization(in SceneOrganization, made *SceneSecrets) {
	now := s.now()
	if in.Owner == "" {
		in.Owner = "owner@" + in.Slug + ".example"
	}
	owner, _ := s.scene.addUser(in.Owner, "", now)
	o := s.scene.orgs[in.Slug]
	if o == nil {
		o = s.scene.addOrg(in.Slug, title(in.Slug), "active", owner, now)
	}
	o.join(owner.ID, "owner", now)
	o.ownerID = owner.ID
	setText(&o.name, in.Name)
	setText(&o.status, in.Status)
	setText(&o.tierID, in.Tier)
	for _, name := range sortedNames(in.Features) {
		o.override(name, in.Features[name])
	}
	for _, r := range in.Roles {
		s.addRole(o, r.Slug, r.Capabilities)
	}
	for _, m := range in.Members {
		u, _ := s.scene.addUser(m.Email, "", now)
		o.join(u.ID, m.Role, now)
	}
	for _, i := range in.Invitations {
		row := find(o.invitations, func(row *invitation) bool { return row.status == "pending" && strings.EqualFold(row.email, i.Email) })
		if row == nil {
			row, _ = o.invite(i.Email, i.Role, owner, now)
		}
		row.role = i.Role
		setText(&row.token, i.Token)
		made.Invitations = append(made.Invitations, SceneSecret{Organization: o.slug, Name: i.Email, Secret: row.token})
	}
	for _, v := range in.Services {
		s.applyService(o, v, made)
	}
	for _, w := range in.Webhooks {
		s.applyWebhook(o, w, made)
	}
}

func (s *Server) applyService(o *organization, in SceneService, made *SceneSecrets) {
	now := s.now()
	s.scene.addService(o.slug, in.Slug, now.Truncate(time.Microsecond))
	v := o.services[in.Slug]
	setText(&v.name, in.Name)
	setText(&v.kind, in.Type)
	setText(&v.clientID, in.ClientID)
	setText(&v.secret, in.ClientSecret)
	setText(&v.activationURI, in.ActivationURI)
	if len(in.RedirectURIs) > 0 {
		v.redirectURIs = slices.Clone(in.RedirectURIs)
	}
	for _, provider := range sortedNames(in.Scopes) {
		v.allowByDefault(provider, in.Scopes[provider])
	}
	for _, email := range in.Users {
		u, _ := s.scene.addUser(email, "", now)
		v.link(u, passwordProvider, now)
	}
	for _, p := range in.Plans {
		row := s.addPlan(v, p.Name, p.PriceCents)
		setText(&row.currency, p.Currency)
		if p.Features != nil {
			row.features = slices.Clone(p.Features)
		}
	}
	for _, sub := range in.Subscriptions {
		u, _ := s.scene.addUser(sub.Email, "", now)
		p := find(v.plans, func(p *plan) bool { return p.name == sub.Plan }) // check has seen that there is one
		row := s.subscribe(v, u, p)
		setText(&row.status, sub.Status)
		if !sub.Ends.IsZero() {
			row.ends = sub.Ends.UTC().Truncate(time.Microsecond)
		}
	}
	for _, k := range in.APIKeys {
		row := find(v.apiKeys, func(row *apiKey) bool { return row.name == k.Name })
		if row == nil {
			row = s.scene.addKey(v, k.Name, permissions, o.ownerID, now)
		}
		if len(k.Permissions) > 0 {
			row.permissions = slices.Clone(k.Permissions)
		}
		if k.Key != "" {
			delete(s.scene.keys, row.prefix)
			row.secret, row.prefix = k.Key, k.Key[:strings.LastIndexByte(k.Key, '_')]
			s.scene.keys[row.prefix] = row
		}
		made.APIKeys = append(made.APIKeys, SceneSecret{o.slug, v.slug, k.Name, row.secret})
	}
}

func (s *Server) applyWebhook(o *organization, in SceneWebhook, made *SceneSecrets) {
	if in.Name == "" {
		in.Name = in.URL
	}
	w := find(o.webhooks, func(w *webhook) bool { return w.name == in.Name })
	if w == nil {
		w = o.addWebhook(in.Name, in.URL, webhookEvents, s.now())
	}
	w.url = in.URL
	if len(in.Events) > 0 {
		w.events = slices.Clone(in.Events)
	}
	setText(&w.secret, in.Secret)
	made.Webhooks = append(made.Webhooks, SceneSecret{Organization: o.slug, Name: in.Name, Secret: w.secret})
}

// setText changes a text that was given.
func setText(to *string, given string) {
	if given != "" {
		*to = given
	}
}

var keyShape = regexp.MustCompile(`^sk_[0-9a-f]{12}_[0-9a-f]{64}$`)

// check finds the first place of a scene that makes no sense.
func (sc Scene) check() error {
	for i, u := range sc.Users {
		if !strings.Contains(u.Email, "@") {
			return fmt.Errorf("users[%d].email: %q is no address", i, u.Email)
		}
	}
	for i, o := range sc.Organizations {
		if err := o.check(); err != nil {
			return fmt.Errorf("organizations[%d]%w", i, err)
		}
	}
	return nil
}

func (o SceneOrganization) check() error {
	switch {
	case o.Slug == "" || strings.Trim(o.Slug, slugAlphabet) != "":
		return fmt.Errorf(".slug: %q is no slug", o.Slug)
	case o.Status != "" && !slices.Contains([]string{"pending", "active", "suspended", "rejected"}, o.Status):
		return fmt.Errorf(".status: %q; want pending, active, suspended or rejected", o.Status)
	case o.Tier != "" && findTier(o.Tier) == nil:
		return fmt.Errorf(".tier: there is no %q", o.Tier)
	}
	roles := slices.Clone(builtInRoles)
	for i, r := range o.Roles {
		if r.Slug == "" {
			return fmt.Errorf(".roles[%d].slug: missing", i)
		}
		roles = append(roles, r.Slug)
	}
	people := slices.Clone(o.Members)
	for _, i := range o.Invitations {
		people = append(people, SceneMember{i.Email, i.Role})
	}
	for _, m := range people {
		if !strings.Contains(m.Email, "@") || !slices.Contains(roles, m.Role) {
			return fmt.Errorf(".members: %q cannot be %q; want an address, and one of %s", m.Email, m.Role, strings.Join(roles, ", "))
		}
	}
	for i, v := range o.Services {
		if err := v.check(); err != nil {
			return fmt.Errorf(".services[%d]%w", i, err)
		}
	}
	for i, w := range o.Webhooks {
		if !strings.HasPrefix(w.URL, "http://") && !strings.HasPrefix(w.URL, "https://") {
			return fmt.Errorf(".webhooks[%d].url: %q begins with neither http:// nor https://", i, w.URL)
		}
		for _, event := range w.Events {
			if !slices.Contains(webhookEvents, event) {
				return fmt.Errorf(".webhooks[%d].events: there is no %q", i, event)
			}
		}
	}
	return nil
}

func (v SceneService) check() error {
	if v.Slug == "" || strings.Trim(v.Slug, slugAlphabet) != "" {
		return fmt.Errorf(".slug: %q is no slug", v.Slug)
	}
	plans := []string{freeTier.Name}
	for i, p := range v.Plans {
		if p.Name == "" {
			return fmt.Errorf(".plans[%d].name: missing", i)
		}
		plans = append(plans, p.Name)
	}
	for i, s := range v.Subscriptions {
		if !slices.Contains(plans, s.Plan) || !strings.Contains(s.Email, "@") {
			return fmt.Errorf(".subscriptions[%d]: %q cannot have %q; want an address, and one of %s", i, s.Email, s.Plan, strings.Join(plans, ", "))
		}
	}
	for i, k := range v.APIKeys {
		if k.Key != "" && !keyShape.MatchString(k.Key) {
			return fmt.Errorf(".api_keys[%d].key: want sk_, 12 hexadecimal digits, _, and 64 more", i)
		}
		for _, p := range k.Permissions {
			if !validPermission(p) {
				return fmt.Errorf(".api_keys[%d].permissions: there is no %q", i, p)
			}
		}
	}
	return nil
}
