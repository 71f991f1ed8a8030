package authos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
)

// BootstrapService is the configuration of a server that manages itself; others return 404
// NOT_FOUND. Its shapes are confirmed by an earlier version of the server's source.
type BootstrapService struct{ c *Client }

// BootstrapConfig is how a server is set up. It holds secrets: Config and Status are not printed.
type BootstrapConfig struct { //nolint:recvcheck // a copy must not print secrets either
	// Config is JSON of the server's own.
	Config     json.RawMessage `json:"config"`
	ConfigPath string          `json:"config_path"` // on the server's machine
	// ApplyCommandConfigured: [BootstrapService.Apply] has something to call.
	ApplyCommandConfigured bool `json:"apply_command_configured"`
	// Status is JSON about the last Apply; null or nil when there was none.
	Status json.RawMessage `json:"status"`
}

// Format implements [fmt.Formatter] for every verb: neither the configuration nor the status print.
func (b BootstrapConfig) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "BootstrapConfig("+b.ConfigPath+", "+redacted+")")
}

// LogValue implements [slog.LogValuer]; it leaves the configuration out.
func (b BootstrapConfig) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(b)) }

func (b *BootstrapConfig) missing() string {
	if len(b.Config) == 0 || string(b.Config) == "null" {
		return "config"
	}
	return ""
}

// BootstrapUpdateParams are a server's whole configuration.
type BootstrapUpdateParams struct {
	// Config replaces the one before: begin with that of [BootstrapService.Config]. The data
	// directory and the way in which the proxy was installed cannot be changed.
	Config json.RawMessage
}

const bootstrapConfigPath = "/api/platform/bootstrap/config"

// Config returns how the server is set up. GET /api/platform/bootstrap/config; bearer, platform
// owner; may be repeated; never stale. Confirmed by an earlier version of the server's source.
func (s *BootstrapService) Config(ctx context.Context, opts ...RequestOption) (*BootstrapConfig, error) {
	return invoke[BootstrapConfig](ctx, s.c, request{method: http.MethodGet, template: bootstrapConfigPath}, opts)
}

// Update sets the server up anew, as a whole, although the route is a PATCH; it takes effect with
// [BootstrapService.Apply]. PATCH /api/platform/bootstrap/config; bearer, platform owner; may be
// repeated. Confirmed by an earlier version of the server's source.
func (s *BootstrapService) Update(ctx context.Context, p BootstrapUpdateParams, opts ...RequestOption) (*BootstrapConfig, error) {
	var in checks
	if !json.Valid(p.Config) || parseObject(p.Config) == nil {
		in.add("config", CodeInvalidFormat, "must be a JSON object, the whole configuration")
	}
	return invoke[BootstrapConfig](ctx, s.c, request{
		method: http.MethodPatch, template: bootstrapConfigPath, body: p.Config, checks: in,
	}, opts)
}

type scheduledBody struct {
	Scheduled *bool `json:"scheduled"`
}

func (b *scheduledBody) missing() string {
	if b.Scheduled == nil || !*b.Scheduled {
		return "scheduled"
	}
	return ""
}

// Apply makes the server take up its configuration, soon after the response. POST
// /api/platform/bootstrap/apply; bearer, platform owner; not repeated when its outcome is unknown.
// Confirmed by an earlier version of the server's source.
func (s *BootstrapService) Apply(ctx context.Context, opts ...RequestOption) error {
	_, err := invoke[scheduledBody](ctx, s.c, request{method: http.MethodPost, template: "/api/platform/bootstrap/apply"}, opts)
	return err
}
