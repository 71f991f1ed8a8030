package authos

import (
	"context"
	"net/http"
)

// RiskService are an organization's rules for sign-ins that look risky. It asks for an active
// organization; a platform owner may do all of it, others need capabilities and get 403 FORBIDDEN
// without.
type RiskService struct{ c *Client }

// RiskEnforcement is what the server does about a risky sign-in. Other values than those named here
// are kept as the server sent them.
type RiskEnforcement string

// The modes of enforcement.
const (
	RiskLogOnly RiskEnforcement = "log_only"
	RiskMonitor RiskEnforcement = "monitor"
	// RiskChallenge asks for a second factor, also where the user has none and so cannot go on.
	RiskChallenge RiskEnforcement = "challenge"
	RiskBlock     RiskEnforcement = "block"
)

// RiskSettings say how the server rates sign-ins, and what it does then. Scores and the two
// thresholds for them are 0 to 100.
type RiskSettings struct {
	EnforcementMode RiskEnforcement `json:"enforcement_mode"`
	// LowThreshold and MediumThreshold divide scores into low, medium and high risk.
	LowThreshold    int `json:"low_threshold"`
	MediumThreshold int `json:"medium_threshold"`
	// What each finding adds to a sign-in's score: a device that was not seen before, two places
	// too far apart for the time between them, and more sign-ins than VelocityThreshold.
	NewDeviceScore        int `json:"new_device_score"`
	ImpossibleTravelScore int `json:"impossible_travel_score"`
	VelocityThreshold     int `json:"velocity_threshold"`
	VelocityScore         int `json:"velocity_score"`
}

func (s *RiskSettings) missing() string {
	if s.EnforcementMode == "" {
		return "enforcement_mode"
	}
	return ""
}

// RiskUpdateParams are the changes of [RiskService.Update]; an empty mode and nil fields stay as
// they are.
type RiskUpdateParams struct {
	EnforcementMode RiskEnforcement `json:"enforcement_mode,omitempty"`
	// LowThreshold is less than MediumThreshold. Only when both are given is that checked, here and
	// by the server.
	LowThreshold          *int `json:"low_threshold,omitzero"`
	MediumThreshold       *int `json:"medium_threshold,omitzero"`
	NewDeviceScore        *int `json:"new_device_score,omitzero"`
	ImpossibleTravelScore *int `json:"impossible_travel_score,omitzero"`
	// VelocityThreshold is a number of sign-ins, which the server does not bound.
	VelocityThreshold *int `json:"velocity_threshold,omitzero"`
	VelocityScore     *int `json:"velocity_score,omitzero"`
}

func (p *RiskUpdateParams) check(in *checks) {
	if p.EnforcementMode != "" {
		in.oneOf("enforcement_mode", string(p.EnforcementMode),
			string(RiskLogOnly), string(RiskMonitor), string(RiskChallenge), string(RiskBlock))
	}
	score := func(field string, value *int) {
		if value != nil && (*value < 0 || *value > 100) {
			in.add(field, CodeOutOfRange, "must be 0 to 100")
		}
	}
	score("low_threshold", p.LowThreshold)
	score("medium_threshold", p.MediumThreshold)
	score("new_device_score", p.NewDeviceScore)
	score("impossible_travel_score", p.ImpossibleTravelScore)
	score("velocity_score", p.VelocityScore)
	if p.LowThreshold != nil && p.MediumThreshold != nil && *p.LowThreshold >= *p.MediumThreshold {
		*in = append(*in, FieldError{
			Fields: []string{"low_threshold", "medium_threshold"}, Code: CodeInvalidRange,
			Message: "low_threshold must be less than medium_threshold",
		})
	}
}

type riskBody struct {
	Settings RiskSettings `json:"settings"`
}

func (b *riskBody) missing() string { return b.Settings.missing() }

const riskPath = "/api/organizations/:org_slug/risk-settings"

// Get returns an organization's rules. GET /api/organizations/:org_slug/risk-settings; bearer,
// capability risk_events.view or risk_policies.manage, or platform owner; may be repeated; cached
// for the stale fallback.
func (s *RiskService) Get(ctx context.Context, orgSlug string, opts ...RequestOption) (*RiskSettings, error) {
	var in checks
	in.id("org_slug", orgSlug)
	return invoke[RiskSettings](ctx, s.c, request{
		method: http.MethodGet, template: riskPath, args: []string{orgSlug}, checks: in,
	}, opts)
}

// Update changes an organization's rules and returns them all. PUT
// /api/organizations/:org_slug/risk-settings; bearer, capability risk_policies.manage or platform
// owner; may be repeated.
func (s *RiskService) Update(ctx context.Context, orgSlug string, p RiskUpdateParams, opts ...RequestOption) (*RiskSettings, error) {
	var in checks
	in.id("org_slug", orgSlug)
	p.check(&in)
	body, err := invoke[riskBody](ctx, s.c, request{
		method: http.MethodPut, template: riskPath, args: []string{orgSlug}, body: p, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return &body.Settings, nil
}

// Reset gives an organization the server's own rules again, and returns them. POST
// /api/organizations/:org_slug/risk-settings/reset; bearer, capability risk_policies.manage or
// platform owner; may be repeated.
func (s *RiskService) Reset(ctx context.Context, orgSlug string, opts ...RequestOption) (*RiskSettings, error) {
	var in checks
	in.id("org_slug", orgSlug)
	body, err := invoke[riskBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/risk-settings/reset", args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return &body.Settings, nil
}
