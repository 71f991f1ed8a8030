package authostest

import (
	"math"
	"net/http"
	"slices"
	"strconv"
)

func (t *table) settingsRoutes() {
	const org = "/api/organizations/:org_slug"
	t.add("GET", org+"/risk-events", bearer, (*call).riskEvents)
	t.add("POST", org+"/smtp", bearer, (*call).setSMTP)
	t.add("GET", org+"/smtp", bearer, (*call).getSMTP)
	t.add("DELETE", org+"/smtp", bearer, (*call).deleteSMTP)
	t.add("GET", org+"/risk-settings", bearer, (*call).getRiskSettings)
	t.add("PUT", org+"/risk-settings", bearer, (*call).updateRiskSettings)
	t.add("POST", org+"/risk-settings/reset", bearer, (*call).resetRiskSettings)
	t.add("POST", org+"/oauth-credentials/:provider", bearer, (*call).setOAuthCredentials)
	t.add("GET", org+"/oauth-credentials/:provider", bearer, (*call).getOAuthCredentials)
}

// smtp is a mail server of an organization's own. Its password is kept nowhere:
// nothing here sends mail through it.
type smtp struct {
	Host       string  `json:"host"`
	Port       int     `json:"port"`
	Username   string  `json:"username"`
	FromEmail  string  `json:"from_email"`
	FromName   *string `json:"from_name"`
	Configured bool    `json:"configured"`
}

func (c *call) setSMTP() response {
	in, bad := decode[struct {
		Host      string  `json:"host"`
		Port      int     `json:"port"`
		Username  string  `json:"username"`
		Password  string  `json:"password"`
		FromEmail string  `json:"from_email"`
		FromName  *string `json:"from_name"`
	}](c, plainJSON)
	switch {
	case bad != nil:
		return *bad
	case in.Port < 0 || in.Port > math.MaxUint16:
		text := "invalid value: integer `" + strconv.Itoa(in.Port) + "`, expected u16"
		return *c.refuseShape(plainJSON, &shapeError{field: "port", text: text})
	}
	o, refused := c.settingsOrg()
	if refused != nil {
		return *refused
	}
	o.smtp = &smtp{in.Host, in.Port, in.Username, in.FromEmail, in.FromName, true}
	o.touch(c.now)
	c.applied = true
	return jsonResponse(http.StatusOK, message{"SMTP configuration saved successfully"})
}

func (c *call) getSMTP() response {
	o, refused := c.settingsOrg()
	if refused != nil {
		return *refused
	}
	if o.smtp == nil {
		return jsonResponse(http.StatusOK, smtp{Port: 587})
	}
	return jsonResponse(http.StatusOK, o.smtp)
}

func (c *call) deleteSMTP() response {
	o, refused := c.settingsOrg()
	if refused != nil {
		return *refused
	}
	c.applied = o.smtp != nil
	o.smtp = nil
	o.touch(c.now)
	return jsonResponse(http.StatusOK, message{
		"SMTP configuration deleted successfully. Organization will now use platform-level SMTP.",
	})
}

// riskSettings say how the server rates sign-ins.
type riskSettings struct {
	EnforcementMode       string `json:"enforcement_mode"`
	LowThreshold          int    `json:"low_threshold"`
	MediumThreshold       int    `json:"medium_threshold"`
	NewDeviceScore        int    `json:"new_device_score"`
	ImpossibleTravelScore int    `json:"impossible_travel_score"`
	VelocityThreshold     int    `json:"velocity_threshold"`
	VelocityScore         int    `json:"velocity_score"`
}

var defaultRisk = riskSettings{"log_only", 30, 70, 20, 50, 10, 30}

type riskResponse struct {
	Message  string       `json:"message"`
	Settings riskSettings `json:"settings"`
}

// riskOrg finds the organization of the path for somebody with one of the
// capabilities, or a platform owner.
func (c *call) riskOrg(doing string, anyOf ...string) (*organization, *response) {
	if c.user.platformOwner {
		return c.activeOrg()
	}
	return c.orgFor(doing, anyOf...)
}

func (c *call) getRiskSettings() response {
	o, refused := c.riskOrg("view risk settings", "risk_events.view", "risk_policies.manage")
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, o.risk)
}

// riskEvent is a sign-in that was given a score.
type riskEvent struct {
	ID          string   `json:"id"`
	UserID      string   `json:"user_id"`
	UserEmail   *string  `json:"user_email"`
	CreatedAt   string   `json:"created_at"`
	RiskScore   int      `json:"risk_score"`
	RiskFactors []string `json:"risk_factors"`
	RiskAction  string   `json:"risk_action"`
	GeoCountry  *string  `json:"geo_country"`
	GeoCity     *string  `json:"geo_city"`
	GeoLat      *float64 `json:"geo_lat"`
	GeoLong     *float64 `json:"geo_long"`
	IPAddress   *string  `json:"ip_address"`
	Provider    string   `json:"provider"`
}

// riskEvents lists the rated sign-ins, newest first. Its pages count from 0, and the
// scores are those of [Server.AddRiskEvent].
func (c *call) riskEvents() response {
	page, bad := c.integer("page", 0)
	if bad != nil {
		return *bad
	}
	limit, bad := c.integer("limit", 50)
	if bad != nil {
		return *bad
	}
	least, bad := c.integer("min_score", 0)
	if bad != nil {
		return *bad
	}
	o, refused := c.riskOrg("view security insights", "risk_events.view", "risk_policies.manage")
	if refused != nil {
		return *refused
	}
	list := []riskEvent{}
	for _, l := range slices.Backward(c.s.scene.logins) {
		if l.org != o.slug || l.risk == nil || l.risk.score < least {
			continue
		}
		shown := riskEvent{
			ID: l.id, UserID: l.userID, CreatedAt: stampZ(l.at), RiskScore: l.risk.score, RiskFactors: l.risk.factors,
			RiskAction: l.risk.action, IPAddress: new("127.0.0.1"), Provider: l.provider,
		}
		if u := c.s.scene.users[l.userID]; u != nil {
			shown.UserEmail = &u.Email
		}
		list = append(list, shown)
	}
	return jsonResponse(http.StatusOK, pageOf(list, max(page, 0)+1, min(max(limit, 1), 100)))
}

func (c *call) updateRiskSettings() response {
	in, bad := decode[struct {
		EnforcementMode       *string `json:"enforcement_mode"`
		LowThreshold          *int    `json:"low_threshold"`
		MediumThreshold       *int    `json:"medium_threshold"`
		NewDeviceScore        *int    `json:"new_device_score"`
		ImpossibleTravelScore *int    `json:"impossible_travel_score"`
		VelocityThreshold     *int    `json:"velocity_threshold"`
		VelocityScore         *int    `json:"velocity_score"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.riskOrg("manage risk settings", "risk_policies.manage")
	if refused != nil {
		return *refused
	}
	if in.EnforcementMode != nil && !slices.Contains([]string{"log_only", "monitor", "challenge", "block"}, *in.EnforcementMode) {
		return c.invalid("enforcement_mode", "INVALID_VALUE",
			"Invalid enforcement mode. Must be one of: log_only, monitor, challenge, block")
	}
	for _, score := range []struct {
		field, printed string
		value          *int
	}{
		{"low_threshold", "Low threshold", in.LowThreshold},
		{"medium_threshold", "Medium threshold", in.MediumThreshold},
		{"new_device_score", "New device score", in.NewDeviceScore},
		{"impossible_travel_score", "Impossible travel score", in.ImpossibleTravelScore},
		{"velocity_score", "Velocity score", in.VelocityScore},
	} {
		if score.value != nil && (*score.value < 0 || *score.value > 100) {
			return c.invalid(score.field, "OUT_OF_RANGE", score.printed+" must be between 0 and 100")
		}
	}
	// Only what one request gives is compared, not what was there before.
	if in.LowThreshold != nil && in.MediumThreshold != nil && *in.LowThreshold >= *in.MediumThreshold {
		return c.badRequest("Low threshold must be less than medium threshold")
	}
	set(&o.risk.EnforcementMode, in.EnforcementMode)
	set(&o.risk.LowThreshold, in.LowThreshold)
	set(&o.risk.MediumThreshold, in.MediumThreshold)
	set(&o.risk.NewDeviceScore, in.NewDeviceScore)
	set(&o.risk.ImpossibleTravelScore, in.ImpossibleTravelScore)
	set(&o.risk.VelocityThreshold, in.VelocityThreshold)
	set(&o.risk.VelocityScore, in.VelocityScore)
	c.applied = true
	return jsonResponse(http.StatusOK, riskResponse{"Risk settings updated successfully", o.risk})
}

func (c *call) resetRiskSettings() response {
	o, refused := c.riskOrg("manage risk settings", "risk_policies.manage")
	if refused != nil {
		return *refused
	}
	o.risk = defaultRisk
	c.applied = true
	return jsonResponse(http.StatusOK, riskResponse{"Risk settings reset to default values", o.risk})
}

type oauthCredentials struct {
	Provider  string `json:"provider"`
	ClientID  string `json:"client_id"`
	HasSecret bool   `json:"has_secret"`
}

// credentialsOrg finds the organization of the path, and checks the provider.
func (c *call) credentialsOrg() (*organization, *response) {
	o, refused := c.settingsOrg()
	if refused != nil {
		return nil, refused
	}
	if !o.active() {
		a := c.organizationNotActive(o.status)
		return nil, &a
	}
	if p := c.params[1]; p != "github" && p != "google" && p != "microsoft" {
		a := c.invalid("provider", "INVALID_VALUE", "Invalid provider. Must be github, google, or microsoft")
		return nil, &a
	}
	return o, nil
}

func (c *call) setOAuthCredentials() response {
	in, bad := decode[struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.credentialsOrg()
	if refused != nil {
		return *refused
	}
	o.oauth[c.params[1]] = in.ClientID
	c.applied = true
	return jsonResponse(http.StatusOK, oauthCredentials{c.params[1], in.ClientID, true})
}

func (c *call) getOAuthCredentials() response {
	o, refused := c.credentialsOrg()
	if refused != nil {
		return *refused
	}
	id, ok := o.oauth[c.params[1]]
	if !ok {
		return c.notFound("OAuth credentials not found for this provider")
	}
	return jsonResponse(http.StatusOK, oauthCredentials{c.params[1], id, true})
}
