package authos

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
)

// SMTPService is an organization's mail server, in place of the platform's. It is for bearers with
// the capability org.settings.manage and for platform owners; others get 403 FORBIDDEN. The
// organization need not be active.
type SMTPService struct{ c *Client }

// SMTPConfig is an organization's mail server. The server never shows its password.
type SMTPConfig struct {
	// Configured is false when the organization has none and uses the platform's. All else is then
	// empty, but for Port, which is the server's proposal.
	Configured bool   `json:"configured"`
	Host       string `json:"host"`
	Port       int    `json:"port"`
	Username   string `json:"username"`
	FromEmail  string `json:"from_email"`
	FromName   string `json:"from_name"`
}

// SMTPSetParams are a mail server.
type SMTPSetParams struct {
	Host string `json:"host"`
	Port int    `json:"port"` // 1 to 65535
	// Username and Password may be empty, for a server that asks for none.
	Username string `json:"username"`
	Password string `json:"-"` // sent, but not marshaled with the rest: params end up in logs
	// FromEmail is the sender's address, FromName the name beside it; without one there is only the
	// address.
	FromEmail string `json:"from_email"`
	FromName  string `json:"from_name,omitempty"`
}

// Format implements [fmt.Formatter] for every verb: the password does not print.
func (p SMTPSetParams) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "SMTPSetParams(%s port %d, username %s, password %s, from %s)", p.Host, p.Port, p.Username, redacted, p.FromEmail)
}

// LogValue implements [slog.LogValuer]; it leaves the password out.
func (p SMTPSetParams) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// UnmarshalJSON reads what [json.Marshal] leaves out too, by its wire name.
func (p *SMTPSetParams) UnmarshalJSON(b []byte) error {
	type fields SMTPSetParams // without this method
	return readSecrets(b, (*fields)(p), map[string]any{"password": &p.Password})
}

type smtpRequest struct {
	SMTPSetParams
	Password string `json:"password"`
}

// smtpBody tells a response without a mail server from one that says nothing.
type smtpBody struct {
	SMTPConfig
	Configured *bool `json:"configured"`
}

func (b *smtpBody) missing() string {
	switch {
	case b.Configured == nil:
		return "configured"
	case *b.Configured && b.Host == "":
		return "host"
	}
	return ""
}

const smtpPath = "/api/organizations/:org_slug/smtp"

// Set makes an organization's mail go through a mail server of its own, in place of the one before.
// The server does not try it out. POST /api/organizations/:org_slug/smtp; bearer, capability
// org.settings.manage or platform owner; not repeated when its outcome is unknown.
func (s *SMTPService) Set(ctx context.Context, orgSlug string, p SMTPSetParams, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	in.required("host", p.Host)
	if p.Port < 1 || p.Port > math.MaxUint16 {
		in.add("port", CodeOutOfRange, "must be 1 to 65535")
	}
	in.emailField("from_email", p.FromEmail)
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: smtpPath, args: []string{orgSlug}, body: smtpRequest{p, p.Password}, checks: in,
	}, opts)
}

// Get returns an organization's mail server, or that it has none. GET
// /api/organizations/:org_slug/smtp; bearer, capability org.settings.manage or platform owner; may
// be repeated.
func (s *SMTPService) Get(ctx context.Context, orgSlug string, opts ...RequestOption) (*SMTPConfig, error) {
	var in checks
	in.id("org_slug", orgSlug)
	body, err := invoke[smtpBody](ctx, s.c, request{
		method: http.MethodGet, template: smtpPath, args: []string{orgSlug}, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	body.SMTPConfig.Configured = *body.Configured
	return &body.SMTPConfig, nil
}

// Delete makes an organization's mail go through the platform's mail server again; that there was
// no other is no error. DELETE /api/organizations/:org_slug/smtp; bearer, capability
// org.settings.manage or platform owner; may be repeated.
func (s *SMTPService) Delete(ctx context.Context, orgSlug string, opts ...RequestOption) error {
	var in checks
	in.id("org_slug", orgSlug)
	return acknowledged(ctx, s.c, request{
		method: http.MethodDelete, template: smtpPath, args: []string{orgSlug}, checks: in,
	}, opts)
}
