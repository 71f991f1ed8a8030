package authostest

import (
	"net/http"
	"strings"
	"time"
	"unicode"
)

func (t *table) deviceRoutes() {
	t.add("POST", "/auth/device/code", public, (*call).deviceCode)
	t.add("POST", "/auth/device/verify", public, (*call).verifyDevice)
	t.add("POST", "/auth/token", public, (*call).exchangeDeviceCode)
}

const (
	deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"
	deviceCodeLife  = 15 * time.Minute
	pollInterval    = 5 * time.Second
)

// The tenant and the client of the platform's own command-line tool.
const (
	cliOrg     = "platform"
	cliService = "admin-cli"
	cliClient  = "platform-admin-cli"
	cliPrefix  = "platform-" // in October 2025
)

// commitDelay is how long after its creation a code was not in the database yet.
const commitDelay = 5 * time.Millisecond

// userCodeAlphabet leaves out what is easily misread.
const userCodeAlphabet = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"

// deviceFlow holds the codes that were handed out.
type deviceFlow struct {
	byCode     map[string]*deviceGrant
	byUserCode map[string]*deviceGrant
}

func newDeviceFlow() deviceFlow {
	return deviceFlow{byCode: map[string]*deviceGrant{}, byUserCode: map[string]*deviceGrant{}}
}

type deviceGrant struct {
	client, org, service string
	status               deviceStatus
	userID               string // who approved
	created              time.Time
	expires              time.Time
}

type deviceStatus int

const (
	devicePending deviceStatus = iota
	deviceAuthorized
	deviceDenied
	deviceConsumed
)

func (g *deviceGrant) forPlatform() bool { return g.org == cliOrg && g.service == cliService }

// ApproveDevice does what a user does on the activation page: signs in and
// approves a user code. It reports whether the code was there to be approved. An
// unknown user is added first, as by [Server.AddUser].
func (s *Server) ApproveDevice(userCode, email string) bool {
	return s.decideDevice(userCode, func(g *deviceGrant) {
		g.status, g.userID = deviceAuthorized, s.addMember(email, "").ID
	})
}

// DenyDevice refuses a user code. The device is not told: it sees a pending code
// until that expires, as with the real server.
func (s *Server) DenyDevice(userCode string) bool {
	return s.decideDevice(userCode, func(g *deviceGrant) { g.status = deviceDenied })
}

func (s *Server) decideDevice(userCode string, decide func(*deviceGrant)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.scene.devices.byUserCode[userCode]
	if g == nil || g.status != devicePending || s.now().After(g.expires) {
		return false
	}
	decide(g)
	return true
}

func (c *call) deviceCode() response {
	in, bad := decode[struct {
		ClientID string `json:"client_id"`
		Org      string `json:"org"`
		Service  string `json:"service"`
	}](c, json400)
	if bad != nil {
		return *bad
	}
	for _, f := range []struct {
		field, name, value string
		longest            int
	}{{"client_id", "client_id", in.ClientID, 500}, {"org", "org slug", in.Org, 100}, {"service", "service slug", in.Service, 100}} {
		switch {
		case len(f.value) > f.longest:
			return c.invalid(f.field, "OUT_OF_RANGE", f.name+" too long")
		case strings.ContainsFunc(f.value, notInSlug):
			return c.invalid(f.field, "INVALID_FORMAT", f.name+" contains invalid characters")
		}
	}
	page := c.s.URL + "/activate"
	ofTheCLI := in.ClientID == cliClient || c.october() && strings.HasPrefix(in.ClientID, cliPrefix)
	if in.Org != cliOrg || in.Service != cliService || !ofTheCLI {
		v := c.s.scene.service(in.Org, in.Service)
		if v == nil || v.clientID != in.ClientID {
			return c.badRequest("Invalid client credentials")
		}
		if v.activationURI == "" {
			return c.badRequest("Device activation URI not configured for this service")
		}
		if !c.s.config.pages {
			page = v.activationURI
		}
	}
	flow, code, userCode := &c.s.scene.devices, c.s.newID(), newUserCode(c.s.randomBytes(8), c.october())
	g := &deviceGrant{client: in.ClientID, org: in.Org, service: in.Service, created: c.now, expires: c.now.Add(deviceCodeLife)}
	flow.byCode[code], flow.byUserCode[userCode] = g, g
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		DeviceCode      string `json:"device_code"`
		UserCode        string `json:"user_code"`
		VerificationURI string `json:"verification_uri"`
		ExpiresIn       int64  `json:"expires_in"`
		Interval        int64  `json:"interval"`
	}{code, userCode, page, int64(deviceCodeLife / time.Second), int64(pollInterval / time.Second)})
}

func notInSlug(r rune) bool {
	return r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r)
}

// newUserCode turns random bytes into a code that a user can type.
func newUserCode(b []byte, withL bool) string {
	alphabet := userCodeAlphabet
	if withL {
		alphabet += "L"
	}
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// verifyDevice tells the activation page what a user code is for. Every failure
// looks the same, so that codes cannot be guessed.
func (c *call) verifyDevice() response {
	in, bad := decode[struct {
		UserCode string `json:"user_code"`
	}](c, json400)
	if bad != nil {
		return *bad
	}
	g := c.s.scene.devices.byUserCode[in.UserCode]
	switch {
	case c.october() && g != nil && g.status == deviceAuthorized:
		return c.badRequest("Device already authorized")
	case g == nil || g.status != devicePending || c.now.After(g.expires):
		return c.badRequest(c.either("Invalid or unavailable user code", "Invalid user code"))
	}
	providers := []string{"github", "google", "microsoft"}
	if !g.forPlatform() {
		switch o := c.s.scene.orgs[g.org]; {
		case o == nil:
			return c.notFound("Organization not found")
		case o.services[g.service] == nil:
			return c.notFound("Service not found")
		}
		providers = c.providersOf(c.s.scene.orgs[g.org])
	}
	return jsonResponse(http.StatusOK, struct {
		OrgSlug            string   `json:"org_slug"`
		ServiceSlug        string   `json:"service_slug"`
		AvailableProviders []string `json:"available_providers"`
	}{g.org, g.service, providers})
}

// exchangeDeviceCode is what a device polls. There is no slow_down and no
// access_denied: a denied code and a used one both look pending until they expire.
func (c *call) exchangeDeviceCode() response {
	in, bad := decode[struct {
		ClientID   string  `json:"client_id"`
		DeviceCode string  `json:"device_code"`
		GrantType  string  `json:"grant_type"`
		Resource   *string `json:"resource"`
	}](c, plainJSON)
	switch {
	case bad != nil:
		return *bad
	case in.GrantType != deviceGrantType:
		return c.invalid("grant_type", "INVALID_VALUE", "Invalid grant type")
	}
	g := c.s.scene.devices.byCode[in.DeviceCode]
	switch {
	case g == nil, c.october() && c.now.Sub(g.created) < commitDelay:
		return c.badRequest("Invalid device code")
	case g.client != in.ClientID:
		return c.unauthorized("Invalid client")
	case c.now.After(g.expires):
		return c.fail(http.StatusBadRequest, "DEVICE_CODE_EXPIRED", "Device code expired")
	case g.status != deviceAuthorized:
		return c.fail(http.StatusBadRequest, "DEVICE_CODE_PENDING", "Authorization pending")
	}
	who := c.s.scene.users[g.userID]
	if who == nil {
		return c.notFound("User not found")
	}
	if refused := c.deviceAccess(g, who); refused != nil {
		return *refused // the code stays authorized: access may come back
	}
	if c.october() {
		in.Resource = nil // came later
	}
	if refused := c.unknownResource(c.s.scene.service(g.org, g.service), in.Resource); refused != nil {
		return *refused
	}
	org, service := g.org, g.service
	if g.forPlatform() {
		org, service = "", ""
	}
	if !c.october() {
		g.status = deviceConsumed
	} else if c.s.collides(c.s.sign(managementType, who, org, service, c.now, c.now.Add(c.s.config.accessLife))) {
		return c.databaseError() // exchanged twice within a second
	}
	c.applied = true
	opened := c.s.openVia("device", who, org, service, c.now)
	if in.Resource != nil {
		opened.AccessToken = c.resourceToken(who, org, service, *in.Resource, "")
	}
	return jsonResponse(http.StatusOK, struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}{opened.AccessToken, "Bearer", opened.ExpiresIn}) // the session's refresh token reaches nobody
}

func (c *call) deviceAccess(g *deviceGrant, who *user) *response {
	if g.forPlatform() {
		if who.platformOwner {
			return nil
		}
		a := c.forbidden("Platform owner access required")
		return &a
	}
	var a response
	o := c.s.scene.orgs[g.org]
	switch v := c.s.scene.service(g.org, g.service); {
	case v == nil:
		a = c.notFound("Service not found")
	case !o.active():
		a = c.organizationNotActive(o.status)
	case !c.s.scene.mayEnter(who, o, v):
		a = c.forbidden("You do not have access to this service")
	default:
		return nil
	}
	return &a
}
