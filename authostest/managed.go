package authostest

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
)

// managed is what a server has that the standalone installer set up. Others have none.
type managed struct {
	config map[string]any  // nil when the server is not managed
	tokens map[hash]string // of first sign-ins: the ids of who they are for
}

// Manage makes the server one that the standalone installer has set up, with this
// configuration. It panics when that cannot be JSON.
func (s *Server) Manage(config map[string]any) {
	text, err := json.Marshal(config)
	if err != nil {
		panic("authostest: configuration: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scene.managed.config = map[string]any{}
	_ = json.Unmarshal(text, &s.scene.managed.config) // a map made it
}

// AddBootstrapToken returns a token with which this user, who becomes a platform
// owner, signs in once to a server that [Server.Manage] has made a managed one.
func (s *Server) AddBootstrapToken(email string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.addMember(email, "")
	u.platformOwner = true
	token := segment(s.randomBytes(32))
	if s.scene.managed.tokens == nil {
		s.scene.managed.tokens = map[hash]string{}
	}
	s.scene.managed.tokens[hashOf(token)] = u.ID
	return token
}

func (c *call) webConfig() response {
	return jsonResponse(http.StatusOK, struct {
		FullClientURL        *string `json:"full_client_url"`
		ManagedConfigEnabled bool    `json:"managed_config_enabled"`
	}{nil, c.s.scene.managed.config != nil})
}

// unmanaged refuses what only a managed server has.
func (c *call) unmanaged() *response {
	if c.s.scene.managed.config != nil {
		return nil
	}
	a := c.notFound("Managed config is not enabled")
	return &a
}

func (c *call) managedConfig() response {
	if refused := c.unmanaged(); refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, struct {
		Config     map[string]any `json:"config"`
		ConfigPath string         `json:"config_path"`
		Applicable bool           `json:"apply_command_configured"`
		Status     any            `json:"status"`
	}{c.s.scene.managed.config, "/etc/authos/config.json", true, nil})
}

// setManagedConfig is a PATCH that replaces. Two of the values cannot be changed.
func (c *call) setManagedConfig() response {
	if _, bad := decode[struct{}](c, plainJSON); bad != nil {
		return *bad
	}
	if refused := c.unmanaged(); refused != nil {
		return *refused
	}
	var in map[string]any
	_ = json.Unmarshal(c.body, &in) // decode has seen that it is an object
	for _, fixed := range [][2]string{{"standalone", "dataDir"}, {"caddy", "install"}} {
		if !reflect.DeepEqual(inside(in, fixed), inside(c.s.scene.managed.config, fixed)) {
			return c.invalid(fixed[0]+"."+fixed[1], "INVALID_VALUE", fixed[0]+"."+fixed[1]+" cannot be changed")
		}
	}
	c.s.scene.managed.config = maps.Clone(in)
	c.applied = true
	return c.managedConfig()
}

func inside(config map[string]any, path [2]string) any {
	part, _ := config[path[0]].(map[string]any)
	return part[path[1]]
}

func (c *call) applyManagedConfig() response {
	if refused := c.unmanaged(); refused != nil {
		return *refused
	}
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Scheduled bool   `json:"scheduled"`
		Message   string `json:"message"`
	}{true, "The configuration will be applied shortly"})
}

// bootstrapLogin signs in the first owner, once. Every failure looks the same.
func (c *call) bootstrapLogin() response {
	in, bad := decode[struct {
		Token string `json:"token"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	u := c.s.scene.users[c.s.scene.managed.tokens[hashOf(in.Token)]]
	if u == nil || c.s.scene.managed.config == nil {
		return c.unauthorized("Invalid or expired bootstrap token")
	}
	delete(c.s.scene.managed.tokens, hashOf(in.Token))
	c.applied = true
	return jsonResponse(http.StatusOK, c.s.openVia("bootstrap", u, "", "", c.now))
}
