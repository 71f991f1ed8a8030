package authos

import (
	"context"
	"iter"
	"net/http"
	"strconv"
)

// RiskAction is what the server did about a risky sign-in. Other values than those named here are
// kept as the server sent them.
type RiskAction string

// What the server can do.
const (
	RiskActionAllow        RiskAction = "allow"
	RiskActionChallengeMFA RiskAction = "challenge_mfa"
	RiskActionBlock        RiskAction = "block"
)

// RiskEvent is a sign-in that the server has rated. What is not known is empty or nil.
type RiskEvent struct {
	ID        string     `json:"id"`
	UserID    string     `json:"user_id"`
	UserEmail string     `json:"user_email"`
	CreatedAt Time       `json:"created_at"`
	RiskScore int        `json:"risk_score"` // 0 (none) to 100
	Action    RiskAction `json:"risk_action"`
	// RiskFactors are the reasons for the score.
	RiskFactors []string `json:"risk_factors"`
	GeoCountry  string   `json:"geo_country"`
	GeoCity     string   `json:"geo_city"`
	GeoLat      *float64 `json:"geo_lat"`
	GeoLong     *float64 `json:"geo_long"`
	IPAddress   string   `json:"ip_address"`
	Provider    string   `json:"provider"` // such as password or github
}

func (e *RiskEvent) missing() string { return missingID(e.ID) }

// RiskEventListParams choose sign-ins, and a page of them.
type RiskEventListParams struct {
	// MinScore lists those rated as high as that or higher, 0 to 100; zero: all.
	MinScore int
	// Limit is 1 to 100; zero: the server's default, 50; for AllEvents, 100. Page counts from 1;
	// zero: the first. (The server counts from 0; that is translated.)
	Limit, Page int
}

// Events returns one page of the sign-ins that the server has rated, newest first. The server does
// not count them: Total is -1. GET /api/organizations/:org_slug/risk-events; bearer, capability
// risk_events.view or risk_policies.manage, or platform owner; may be repeated; cached for the
// stale fallback. Confirmed by an earlier version of the server's source.
func (s *RiskService) Events(
	ctx context.Context, orgSlug string, p RiskEventListParams, opts ...RequestOption,
) (*Page[RiskEvent], error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.numbered(p.Limit, p.Page)
	if p.MinScore < 0 || p.MinScore > 100 {
		in.add("min_score", CodeOutOfRange, "must be 0 to 100")
	}
	q := paging(p.Limit, 0)
	if p.Page > 1 {
		q.Set("page", strconv.Itoa(p.Page-1))
	}
	putInt(q, "min_score", p.MinScore)
	list, err := invoke[bare[RiskEvent, *RiskEvent]](ctx, s.c, request{
		method: http.MethodGet, template: "/api/organizations/:org_slug/risk-events", args: []string{orgSlug}, query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list, nil), nil
}

// AllEvents iterates over the same sign-ins from p.Page on, p.Limit at a time. It stops at the
// first error, which it yields last; [AllItems] collects them. Sign-ins that happen meanwhile move
// the pages: one may then be seen twice.
func (s *RiskService) AllEvents(
	ctx context.Context, orgSlug string, p RiskEventListParams, opts ...RequestOption,
) iter.Seq2[RiskEvent, error] {
	return byNumber(p.Limit, p.Page, func(limit, number int) (*Page[RiskEvent], error) {
		p.Limit, p.Page = limit, number
		return s.Events(ctx, orgSlug, p, opts...)
	})
}
