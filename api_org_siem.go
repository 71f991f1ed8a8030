package authos

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
)

// SIEMService are the log collectors (security information and event management) that an
// organization's events are sent to. It is for bearers with the capability integrations.manage, and
// asks for an active organization; others get 403 FORBIDDEN.
type SIEMService struct{ c *Client }

// SIEMProvider is a kind of log collector. Other values than those named here are kept as the
// server sent them.
type SIEMProvider string

// The kinds of log collectors.
const (
	SIEMDatadog SIEMProvider = "Datadog"
	SIEMSplunk  SIEMProvider = "Splunk"
	SIEMElastic SIEMProvider = "Elastic"
	SIEMCustom  SIEMProvider = "Custom"
)

// SIEMConfig is a log collector. Its credentials are never shown.
type SIEMConfig struct {
	ID           string       `json:"id"`
	OrgID        string       `json:"org_id"`
	Name         string       `json:"name"`
	ProviderType SIEMProvider `json:"provider_type"`
	EndpointURL  string       `json:"endpoint_url"`
	BatchSize    int          `json:"batch_size"`
	Enabled      bool         `json:"enabled"`
	// LastSuccessfulBatchAt is zero when nothing has arrived yet.
	LastSuccessfulBatchAt Time  `json:"last_successful_batch_at"`
	FailureCount          int64 `json:"failure_count"`
	CreatedAt             Time  `json:"created_at"`
}

func (c *SIEMConfig) missing() string { return missingID(c.ID) }

type siemList struct {
	Configs *[]SIEMConfig `json:"siem_configs"`
	Total   *int64        `json:"total"`
}

func (l *siemList) missing() string { return missingItem("siem_configs", l.Configs) }

// SIEMCreateParams are a new log collector.
type SIEMCreateParams struct {
	Name         string       `json:"name"`
	ProviderType SIEMProvider `json:"provider_type"`
	EndpointURL  string       `json:"endpoint_url"`
	// APIKey and AuthHeader are what the collector asks for; empty: nothing.
	APIKey     string `json:"-"` // sent, but not marshaled: params end up in logs
	AuthHeader string `json:"-"` // likewise
	// BatchSize is how many events are sent at once; zero: the server's default.
	BatchSize int `json:"batch_size,omitempty"`
}

// Format implements [fmt.Formatter] for every verb: the credentials do not print.
func (p SIEMCreateParams) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "SIEMCreateParams(%s, %s, %s, credentials %s)", p.Name, p.ProviderType, p.EndpointURL, redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the credentials out.
func (p SIEMCreateParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *SIEMCreateParams) UnmarshalJSON(b []byte) error {
	type fields SIEMCreateParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"api_key": &p.APIKey, "auth_header": &p.AuthHeader})
}

type siemCreateBody struct {
	SIEMCreateParams
	APIKey     string `json:"api_key,omitempty"`
	AuthHeader string `json:"auth_header,omitempty"`
}

// SIEMUpdateParams are the changes of [SIEMService.Update]; nil fields stay as they are. The kind
// of a collector cannot be changed, and its credentials cannot be taken away: the server reads null
// as no change.
type SIEMUpdateParams struct {
	Name        *string `json:"name,omitzero"`
	EndpointURL *string `json:"endpoint_url,omitzero"`
	APIKey      *string `json:"-"` // sent, but not marshaled: params end up in logs
	AuthHeader  *string `json:"-"` // likewise
	BatchSize   *int    `json:"batch_size,omitzero"`
	Enabled     *bool   `json:"enabled,omitzero"`
}

// Format implements [fmt.Formatter] for every verb: the credentials do not print.
func (p SIEMUpdateParams) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "SIEMUpdateParams"+redacted)
}

// LogValue implements [slog.LogValuer]; it leaves the credentials out.
func (p SIEMUpdateParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *SIEMUpdateParams) UnmarshalJSON(b []byte) error {
	type fields SIEMUpdateParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"api_key": &p.APIKey, "auth_header": &p.AuthHeader})
}

type siemUpdateBody struct {
	SIEMUpdateParams
	APIKey     *string `json:"api_key,omitzero"`
	AuthHeader *string `json:"auth_header,omitzero"`
}

// SIEMTest is how a test of a log collector went.
type SIEMTest struct {
	Success bool `json:"success"`
	// Message says why, or why not, for people.
	Message string `json:"message"`
}

type siemTestBody struct {
	SIEMTest
	Success *bool `json:"success"` // goes before the embedded one
}

func (b *siemTestBody) missing() string {
	if b.Success == nil {
		return "success"
	}
	return ""
}

const (
	siemConfigsPath = "/api/organizations/:org_slug/siem-configs"
	siemConfigPath  = "/api/organizations/:org_slug/siem-configs/:config_id"
)

// List returns all log collectors of an organization; the server does not page them. GET
// /api/organizations/:org_slug/siem-configs; bearer, capability integrations.manage; may be
// repeated; never stale.
func (s *SIEMService) List(ctx context.Context, orgSlug string, opts ...RequestOption) (*Page[SIEMConfig], error) {
	var in checks
	in.id("org_slug", orgSlug)
	list, err := invoke[siemList](ctx, s.c, request{
		method: http.MethodGet, template: siemConfigsPath, args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.Configs, list.Total), nil
}

// All iterates over the same log collectors. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *SIEMService) All(ctx context.Context, orgSlug string, opts ...RequestOption) iter.Seq2[SIEMConfig, error] {
	return unpaged(func() ([]SIEMConfig, error) {
		page, err := s.List(ctx, orgSlug, opts...)
		if err != nil {
			return nil, err
		}
		return page.Items, nil
	})
}

// Create adds a log collector. POST /api/organizations/:org_slug/siem-configs; bearer, capability
// integrations.manage; not repeated when its outcome is unknown. 403
// [CodeFeatureNotAvailableInTier] means that the organization's tier has none; a server that cannot
// encrypt credentials returns 500 when any are given.
func (s *SIEMService) Create(ctx context.Context, orgSlug string, p SIEMCreateParams, opts ...RequestOption) (*SIEMConfig, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.required("name", p.Name)
	in.oneOf("provider_type", string(p.ProviderType), string(SIEMDatadog), string(SIEMSplunk), string(SIEMElastic), string(SIEMCustom))
	in.absoluteURI("endpoint_url", p.EndpointURL)
	return invoke[SIEMConfig](ctx, s.c, request{
		method: http.MethodPost, template: siemConfigsPath,
		args: []string{orgSlug}, body: siemCreateBody{p, p.APIKey, p.AuthHeader}, checks: in,
	}, opts)
}

// Get returns a log collector. GET /api/organizations/:org_slug/siem-configs/:config_id; bearer,
// capability integrations.manage; may be repeated; never stale.
func (s *SIEMService) Get(ctx context.Context, orgSlug, configID string, opts ...RequestOption) (*SIEMConfig, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("config_id", configID)
	return invoke[SIEMConfig](ctx, s.c, request{
		method: http.MethodGet, template: siemConfigPath, args: []string{orgSlug, configID}, checks: in,
	}, opts)
}

// Update changes a log collector. PUT /api/organizations/:org_slug/siem-configs/:config_id, of
// which the server changes only what is given; bearer, capability integrations.manage; may be
// repeated.
func (s *SIEMService) Update(
	ctx context.Context, orgSlug, configID string, p SIEMUpdateParams, opts ...RequestOption,
) (*SIEMConfig, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("config_id", configID)
	if p.EndpointURL != nil {
		in.absoluteURI("endpoint_url", *p.EndpointURL)
	}
	return invoke[SIEMConfig](ctx, s.c, request{
		method: http.MethodPut, template: siemConfigPath, args: []string{orgSlug, configID},
		body: siemUpdateBody{p, p.APIKey, p.AuthHeader}, checks: in,
	}, opts)
}

// Delete removes a log collector. DELETE /api/organizations/:org_slug/siem-configs/:config_id;
// bearer, capability integrations.manage; may be repeated: when an attempt's outcome is unknown and
// its repeat finds 404, Delete has succeeded.
func (s *SIEMService) Delete(ctx context.Context, orgSlug, configID string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("config_id", configID)
	return s.c.call(ctx, request{
		method: http.MethodDelete, template: siemConfigPath, args: []string{orgSlug, configID}, checks: in,
	}, nil, opts)
}

// Test makes the server send something to a log collector now, and returns how that went: a
// collector that cannot be reached is a response, not an error. POST
// /api/organizations/:org_slug/siem-configs/:config_id/test; bearer, capability
// integrations.manage; not repeated when its outcome is unknown.
func (s *SIEMService) Test(ctx context.Context, orgSlug, configID string, opts ...RequestOption) (*SIEMTest, error) {
	var in checks
	in.id("org_slug", orgSlug)
	in.id("config_id", configID)
	body, err := invoke[siemTestBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/organizations/:org_slug/siem-configs/:config_id/test",
		args: []string{orgSlug, configID}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	body.SIEMTest.Success = *body.Success
	return &body.SIEMTest, nil
}
