package authos_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/authos-go/authos"
)

var settingCases = []typedCase{
	{
		name: "Organizations.SMTP.Set",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Organizations.SMTP.Set(ctx, "acme", settingMail)
		},
		body:     `{"host":"mail.acme.example","port":465,"username":"acme","password":"hush-hush","from_email":"noreply@acme.example","from_name":"Acme"}`,
		optional: true,
	},
	{
		name:  "Organizations.SMTP.Get",
		setup: settingSMTP,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.SMTP.Get(ctx, "acme")
		},
	},
	{
		name:  "Organizations.SMTP.Delete",
		setup: settingSMTP,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Organizations.SMTP.Delete(ctx, "acme")
		},
		optional: true,
	},
	{
		name:  "Organizations.Branding.Get",
		setup: settingBranding,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Branding.Get(ctx, "acme")
		},
	},
	{
		name:  "Organizations.Branding.Public",
		setup: settingBranding,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Branding.Public(ctx, "acme")
		},
	},
	{
		name:  "Organizations.Branding.Update",
		setup: settingFeatures,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Branding.Update(ctx, "acme", authos.BrandingUpdateParams{LogoURL: "https://acme.example/logo.svg"})
		},
		body: `{"logo_url":"https://acme.example/logo.svg","primary_color":null}`,
	},
	{
		name:  "Organizations.Domain.Set",
		setup: settingFeatures,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Domain.Set(ctx, "acme", "sso.acme.example")
		},
		body: `{"domain":"sso.acme.example"}`,
	},
	{
		name:  "Organizations.Domain.Get",
		setup: settingDomain,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Domain.Get(ctx, "acme")
		},
	},
	{
		name:  "Organizations.Domain.Delete",
		setup: settingDomain,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Organizations.Domain.Delete(ctx, "acme")
		},
	},
	{
		name:  "Organizations.Domain.Verify",
		setup: settingDomain,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Domain.Verify(ctx, "acme")
		},
	},
	{
		name: "Organizations.Risk.Get",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Risk.Get(ctx, "acme")
		},
	},
	{
		name: "Organizations.Risk.Update",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Risk.Update(ctx, "acme", authos.RiskUpdateParams{
				EnforcementMode: authos.RiskChallenge, LowThreshold: new(0), MediumThreshold: new(100), NewDeviceScore: new(1),
				ImpossibleTravelScore: new(2), VelocityThreshold: new(3), VelocityScore: new(4),
			})
		},
		body: `{"enforcement_mode":"challenge","low_threshold":0,"medium_threshold":100,"new_device_score":1,"impossible_travel_score":2,` +
			`"velocity_threshold":3,"velocity_score":4}`,
	},
	{
		name: "Organizations.Risk.Reset",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Risk.Reset(ctx, "acme")
		},
	},
}

var settingMail = authos.SMTPSetParams{
	Host: "mail.acme.example", Port: 465, Username: "acme", Password: "hush-hush", FromEmail: "noreply@acme.example", FromName: "Acme",
}

func settingFeatures(w *typedWorld) {
	w.Server.SetFeature("acme", "allow_branding", true)
	w.Server.SetFeature("acme", "allow_custom_domain", true)
}

func settingMust(w *typedWorld, err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

func settingSMTP(w *typedWorld) {
	settingMust(w, w.Client(asOwner).Organizations.SMTP.Set(w.T.Context(), "acme", settingMail))
}

func settingBranding(w *typedWorld) {
	settingFeatures(w)
	_, err := w.Client(asOwner).Organizations.Branding.Update(w.T.Context(), "acme", authos.BrandingUpdateParams{PrimaryColor: "#FF5733"})
	settingMust(w, err)
}

func settingDomain(w *typedWorld) {
	settingFeatures(w)
	_, err := w.Client(asOwner).Organizations.Domain.Set(w.T.Context(), "acme", "sso.acme.example")
	settingMust(w, err)
}

// settingCalls are all calls, each with input that is good, on an organization that has every
// feature and a domain.
var settingCalls = map[string]func(ctx context.Context, o *authos.OrganizationsService, org string) error{
	"SMTP.Set": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		return o.SMTP.Set(ctx, org, settingMail)
	},
	"SMTP.Get": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.SMTP.Get(ctx, org)
		return err
	},
	"SMTP.Delete": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		return o.SMTP.Delete(ctx, org)
	},
	"Branding.Get": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.Branding.Get(ctx, org)
		return err
	},
	"Branding.Public": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.Branding.Public(ctx, org)
		return err
	},
	"Branding.Update": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.Branding.Update(ctx, org, authos.BrandingUpdateParams{})
		return err
	},
	"Domain.Set": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.Domain.Set(ctx, org, org+".example")
		return err
	},
	"Domain.Get": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.Domain.Get(ctx, org)
		return err
	},
	"Domain.Delete": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		return o.Domain.Delete(ctx, org)
	},
	"Domain.Verify": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.Domain.Verify(ctx, org)
		return err
	},
	"Risk.Get": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.Risk.Get(ctx, org)
		return err
	},
	"Risk.Update": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.Risk.Update(ctx, org, authos.RiskUpdateParams{})
		return err
	},
	"Risk.Reset": func(ctx context.Context, o *authos.OrganizationsService, org string) error {
		_, err := o.Risk.Reset(ctx, org)
		return err
	},
}

// Who may call what, in which state of the organization, under both contracts.
func TestSettingsAccess(t *testing.T) {
	eventContracts(t, newerContracts, func(t *testing.T, w *typedWorld, _ bool) {
		settingDomain(w)
		w.Server.AddOrganization("sleepy", "suspended", asOwner)
		w.Server.AddRole("acme", "risk-viewer", "risk_events.view")
		w.Server.AddMember("acme", "rita@example.com", "risk-viewer")
		w.Server.SetFeature("sleepy", "allow_branding", true)
		w.Server.SetFeature("sleepy", "allow_custom_domain", true)
		ctx := t.Context()
		owner, root, member := w.Client(asOwner), w.Client(asPlatform), w.Client(asMember)
		rita, stranger, nobody := w.Client("rita@example.com"), w.Client(asUser), w.Client(asNobody)
		w.Server.SetRole("acme", asPlatform, "")
		w.Server.SetRole("acme", asUser, "")
		for what, call := range settingCalls {
			group, verb, _ := strings.Cut(what, ".")
			eventRefused(t, what, call(ctx, owner.Organizations, ""), "org_slug")
			eventWant(t, what+" of none", call(ctx, owner.Organizations, "nowhere"), 404, authos.CodeNotFound, authos.ErrNotFound)
			for who, c := range map[string]*authos.Client{"owner": owner, "platform owner": root} {
				if what == "Domain.Verify" {
					_, err := c.Organizations.Domain.Set(ctx, "acme", "acme.example")
					settingMust(w, err)
				}
				if err := call(ctx, c.Organizations, "acme"); err != nil {
					t.Errorf("%s by %s: %v", what, who, err)
				}
			}
			switch {
			case what == "Branding.Public":
				if err := call(ctx, nobody.Organizations, "acme"); err != nil {
					t.Errorf("%s by nobody: %v", what, err)
				}
				continue
			case verb == "Get" && (group == "Branding" || group == "Domain"):
				if err := call(ctx, member.Organizations, "acme"); err != nil {
					t.Errorf("%s by a member: %v", what, err)
				}
				eventWant(t, what+" by a stranger", call(ctx, stranger.Organizations, "acme"), 403, authos.CodeForbidden, authos.ErrForbidden)
			case what == "Risk.Get":
				if err := call(ctx, rita.Organizations, "acme"); err != nil {
					t.Errorf("%s by a viewer of risks: %v", what, err)
				}
				fallthrough
			default:
				eventWant(t, what+" by a member", call(ctx, member.Organizations, "acme"), 403, authos.CodeForbidden, authos.ErrForbidden)
			}
			eventWant(t, what+" by nobody", call(ctx, nobody.Organizations, "acme"), 401, authos.ErrUnauthenticated)
			if group == "Risk" {
				eventWant(t, what+" of a suspended one", call(ctx, owner.Organizations, "sleepy"), 403, authos.CodeOrganizationNotActive, authos.ErrForbidden)
			} else if what != "Domain.Verify" {
				if err := call(ctx, owner.Organizations, "sleepy"); err != nil {
					t.Errorf("%s of a suspended organization: %v", what, err)
				}
			}
		}
		eventWant(t, "Risk.Update by a viewer", settingCalls["Risk.Update"](ctx, rita.Organizations, "acme"), 403, authos.ErrForbidden)
	})
}

// Nothing wrong is sent, and everything wrong is named.
func TestSettingsInput(t *testing.T) {
	w := newTypedWorld(t)
	o := w.Client(asOwner).Organizations
	ctx := t.Context()
	w.Server.Reset()
	smtp := func(change func(p *authos.SMTPSetParams)) error {
		p := settingMail
		change(&p)
		return o.SMTP.Set(ctx, "acme", p)
	}
	branding := func(color string) error {
		_, err := o.Branding.Update(ctx, "acme", authos.BrandingUpdateParams{PrimaryColor: color})
		return err
	}
	domain := func(org, name string) error {
		_, err := o.Domain.Set(ctx, org, name)
		return err
	}
	risk := func(p authos.RiskUpdateParams) error {
		_, err := o.Risk.Update(ctx, "acme", p)
		return err
	}
	for _, tt := range []struct {
		what   string
		err    error
		fields []string
	}{
		{"SMTP of nothing", o.SMTP.Set(ctx, "", authos.SMTPSetParams{}), []string{"org_slug", "host", "port", "from_email"}},
		{"blank host", smtp(func(p *authos.SMTPSetParams) { p.Host = " " }), []string{"host"}},
		{"port 65536", smtp(func(p *authos.SMTPSetParams) { p.Port = 65536 }), []string{"port"}},
		{"port -1", smtp(func(p *authos.SMTPSetParams) { p.Port = -1 }), []string{"port"}},
		{"sender", smtp(func(p *authos.SMTPSetParams) { p.FromEmail = "Acme <noreply@acme.example>" }), []string{"from_email"}},
		{"color red", branding("red"), []string{"primary_color"}},
		{"color #1234", branding("#1234"), []string{"primary_color"}},
		{"color #12345", branding("#12345"), []string{"primary_color"}},
		{"color #1234567", branding("#1234567"), []string{"primary_color"}},
		{"color #ggg", branding("#ggg"), []string{"primary_color"}},
		{"color fff", branding("fff"), []string{"primary_color"}},
		{"color with a line", branding("#fff\n"), []string{"primary_color"}},
		{"no domain", domain("", "  "), []string{"org_slug", "domain"}},
		{"URL", domain("acme", "https://sso.acme.example"), []string{"domain"}},
		{"port", domain("acme", "sso.acme.example:443"), []string{"domain"}},
		{"address", domain("acme", "root@acme.example"), []string{"domain"}},
		{"two domains", domain("acme", "a.example b.example"), []string{"domain"}},
		{"mode", risk(authos.RiskUpdateParams{EnforcementMode: "shout"}), []string{"enforcement_mode"}},
		{"scores", risk(authos.RiskUpdateParams{
			LowThreshold: new(-1), MediumThreshold: new(101), NewDeviceScore: new(101), ImpossibleTravelScore: new(-1), VelocityScore: new(101),
		}), []string{"low_threshold", "medium_threshold", "new_device_score", "impossible_travel_score", "velocity_score"}},
		{"thresholds", risk(authos.RiskUpdateParams{LowThreshold: new(50), MediumThreshold: new(50)}), []string{"low_threshold+medium_threshold"}},
	} {
		eventRefused(t, tt.what, tt.err, tt.fields...)
	}
	if seen := w.Server.Requests(); len(seen) != 0 {
		t.Errorf("sent %+v", seen)
	}
	settingFeatures(w)
	for what, err := range map[string]error{
		"port 1":             smtp(func(p *authos.SMTPSetParams) { p.Port = 1 }),
		"port 65535":         smtp(func(p *authos.SMTPSetParams) { p.Port = 65535 }),
		"no sign-in":         smtp(func(p *authos.SMTPSetParams) { p.Username, p.Password, p.FromName = "", "", "" }),
		"#f57":               branding("#f57"),
		"#FF5733":            branding("#FF5733"),
		"domain with spaces": domain("acme", " SSO.acme.example "),
		"bounds":             risk(authos.RiskUpdateParams{LowThreshold: new(0), MediumThreshold: new(1), VelocityScore: new(100)}),
		"many":               risk(authos.RiskUpdateParams{VelocityThreshold: new(100_000)}),
		"one threshold":      risk(authos.RiskUpdateParams{LowThreshold: new(99)}),
		"nothing":            risk(authos.RiskUpdateParams{}),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSMTP(t *testing.T) {
	w := newTypedWorld(t)
	ctx := t.Context()
	smtp := w.Client(asOwner).Organizations.SMTP
	none, err := smtp.Get(ctx, "acme")
	if err != nil || *none != (authos.SMTPConfig{Port: 587}) {
		t.Errorf("none = %+v, %v", none, err)
	}
	settingMust(w, smtp.Set(ctx, "acme", settingMail))
	want := authos.SMTPConfig{
		Configured: true, Host: "mail.acme.example", Port: 465, Username: "acme", FromEmail: "noreply@acme.example", FromName: "Acme",
	}
	if got, err := smtp.Get(ctx, "acme"); err != nil || *got != want {
		t.Errorf("Get = %+v, %v, want %+v", got, err, want)
	}
	for round := range 2 { // deleting what is not there is no error
		if err := smtp.Delete(ctx, "acme"); err != nil {
			t.Errorf("Delete %d: %v", round, err)
		}
		if got, err := smtp.Get(ctx, "acme"); err != nil || got.Configured {
			t.Errorf("Get = %+v, %v, want none", got, err)
		}
	}
	eventHides(t, new(settingMail), settingMail.Password)
	if text := fmt.Sprint(settingMail); !strings.Contains(text, "mail.acme.example") || !strings.Contains(text, "[redacted]") {
		t.Errorf("prints as %s", text)
	}
}

// A password does not come back in an error either.
func TestSMTPPasswordIsNotInErrors(t *testing.T) {
	c := clientWithoutBreaker(t, scripted(reply{status: 422, body: "Failed to deserialize: " + settingMail.Password}), eventSession())
	err := c.Organizations.SMTP.Set(t.Context(), "acme", authos.SMTPSetParams{Password: "hush-hush"})
	if err == nil || strings.Contains(err.Error(), "hush-hush") {
		t.Errorf("got %v", err)
	}
}

func TestBranding(t *testing.T) {
	eventContracts(t, newerContracts, func(t *testing.T, w *typedWorld, _ bool) {
		ctx := t.Context()
		o := w.Client(asOwner).Organizations
		_, err := o.Branding.Update(ctx, "acme", authos.BrandingUpdateParams{PrimaryColor: "#fff"})
		eventWant(t, "tier", err, 403, authos.CodeFeatureNotAvailableInTier, authos.ErrForbidden)
		settingFeatures(w)
		for _, p := range []authos.BrandingUpdateParams{
			{LogoURL: "https://acme.example/logo.svg", PrimaryColor: "#ff5733"},
			{PrimaryColor: "#fff"}, // takes the logo away
			{LogoURL: "logo"},
			{},
		} {
			set, err := o.Branding.Update(ctx, "acme", p)
			got, getErr := o.Branding.Get(ctx, "acme")
			public, publicErr := w.Client(asNobody).Organizations.Branding.Public(ctx, "acme")
			if err := errors.Join(err, getErr, publicErr); err != nil {
				t.Fatal(err)
			}
			if want := authos.Branding(p); *set != want || *got != want || *public != want {
				t.Errorf("Update(%+v) = %+v, then Get %+v, Public %+v", p, set, got, public)
			}
		}
	})
}

func TestDomain(t *testing.T) {
	eventContracts(t, newerContracts, func(t *testing.T, w *typedWorld, isReal bool) {
		ctx := t.Context()
		domain := w.Client(asOwner).Organizations.Domain
		_, err := domain.Set(ctx, "acme", "sso.acme.example")
		eventWant(t, "tier", err, 403, authos.CodeFeatureNotAvailableInTier, authos.ErrForbidden)
		settingFeatures(w)
		_, err = domain.Verify(ctx, "acme")
		eventWant(t, "no domain", err, 400, authos.ErrInvalid)
		if got, err := domain.Get(ctx, "acme"); err != nil || *got != (authos.CustomDomain{}) {
			t.Errorf("Get = %+v, %v, want none", got, err)
		}
		v, err := domain.Set(ctx, "acme", " SSO.acme.example ")
		if err != nil || v.Token == "" || len(v.Methods) != 2 {
			t.Fatalf("Set = %+v, %v", v, err)
		}
		dns, file := v.Methods[0], v.Methods[1]
		if dns.RecordType != "TXT" || dns.RecordName != "_sso-verification.sso.acme.example" || dns.RecordValue != v.Token || dns.Method == "" ||
			file.RecordType != "" || file.RecordName != "" || file.RecordValue != v.Token || file.Instructions == "" {
			t.Errorf("methods %+v", v.Methods)
		}
		check, err := domain.Verify(ctx, "acme")
		if err != nil || check.Verified || check.Message == "" {
			t.Errorf("Verify = %+v, %v, want no, and why", check, err)
		}
		w.Server.ProveDomain("acme")
		for range 2 {
			if check, err := domain.Verify(ctx, "acme"); err != nil || !check.Verified || check.Message == "" {
				t.Errorf("Verify = %+v, %v, want yes", check, err)
			}
		}
		if got, err := domain.Get(ctx, "acme"); err != nil || *got != (authos.CustomDomain{Domain: "sso.acme.example", Verified: true}) {
			t.Errorf("Get = %+v, %v", got, err)
		}
		w.Server.AddOrganization("engines", "active", asOwner)
		w.Server.SetFeature("engines", "allow_custom_domain", true)
		_, err = domain.Set(ctx, "engines", "sso.acme.example")
		if isReal {
			eventWant(t, "taken", err, 400, authos.CodeBadRequest, authos.ErrInvalid)
		} else {
			eventWant(t, "taken", err, 409, authos.ErrConflict)
		}
		_, err = domain.Set(ctx, "engines", "localhost")
		eventWant(t, "no domain by the server's rule", err, 400, authos.ErrInvalid)
		for round := range 2 {
			var resp authos.Response
			if err := domain.Delete(ctx, "acme", authos.WithResponse(&resp)); err != nil || resp.StatusCode != 204 {
				t.Errorf("Delete %d: %v, status %d", round, err, resp.StatusCode)
			}
		}
		if got, err := domain.Get(ctx, "acme"); err != nil || *got != (authos.CustomDomain{}) {
			t.Errorf("Get = %+v, %v, want none", got, err)
		}
	})
}

func TestRisk(t *testing.T) {
	w := newTypedWorld(t)
	ctx := t.Context()
	risk := w.Client(asOwner).Organizations.Risk
	standard := authos.RiskSettings{
		EnforcementMode: authos.RiskLogOnly, LowThreshold: 30, MediumThreshold: 70, NewDeviceScore: 20, ImpossibleTravelScore: 50,
		VelocityThreshold: 10, VelocityScore: 30,
	}
	want := standard
	compare := func(what string, got *authos.RiskSettings, err error) {
		t.Helper()
		if err != nil || *got != want {
			t.Errorf("%s = %+v, %v, want %+v", what, got, err, want)
		}
	}
	got, err := risk.Get(ctx, "acme")
	compare("Get", got, err)
	want.EnforcementMode, want.LowThreshold = authos.RiskBlock, 0
	got, err = risk.Update(ctx, "acme", authos.RiskUpdateParams{EnforcementMode: authos.RiskBlock, LowThreshold: new(0)})
	compare("Update", got, err)
	got, err = risk.Get(ctx, "acme")
	compare("Get after Update", got, err)
	w.Server.Reset()
	got, err = risk.Update(ctx, "acme", authos.RiskUpdateParams{})
	compare("Update without a change", got, err)
	if body := string(w.Server.Requests()[0].Body); body != "{}" {
		t.Errorf("Update without a change sent %s, want {}", body)
	}
	want = standard
	got, err = risk.Reset(ctx, "acme")
	compare("Reset", got, err)
}

func TestSettingsMembers(t *testing.T) {
	ctx := context.Background()
	smtp := func(c *authos.Client) (any, error) { return c.Organizations.SMTP.Get(ctx, "acme") }
	set := func(c *authos.Client) (any, error) { return nil, c.Organizations.SMTP.Set(ctx, "acme", settingMail) }
	branding := func(c *authos.Client) (any, error) { return c.Organizations.Branding.Get(ctx, "acme") }
	domain := func(c *authos.Client) (any, error) { return c.Organizations.Domain.Get(ctx, "acme") }
	setDomain := func(c *authos.Client) (any, error) { return c.Organizations.Domain.Set(ctx, "acme", "a.example") }
	verify := func(c *authos.Client) (any, error) { return c.Organizations.Domain.Verify(ctx, "acme") }
	risk := func(c *authos.Client) (any, error) { return c.Organizations.Risk.Get(ctx, "acme") }
	reset := func(c *authos.Client) (any, error) { return c.Organizations.Risk.Reset(ctx, "acme") }
	eventMembers(t, []eventMember{
		{"SMTP none", smtp, `{"configured":false}`, "&{false  0   }"},
		{"SMTP nulls", smtp, `{"configured":true,"host":"h","port":25,"username":null,"from_email":"a@b","from_name":null}`, "&{true h 25  a@b }"},
		{"SMTP without configured", smtp, `{"host":"h","port":25}`, "without configured"},
		{"SMTP configured null", smtp, `{"host":"h","configured":null}`, "without configured"},
		{"SMTP without host", smtp, `{"configured":true}`, "without host"},
		{"SMTP not saved", set, `{"success":false,"message":"no"}`, "without success"},
		{"branding nulls", branding, `{"logo_url":null,"primary_color":null}`, "&{ }"},
		{"branding without logo", branding, `{"primary_color":"#fff"}`, "without logo_url"},
		{"branding without color", branding, `{"logo_url":null}`, "without primary_color"},
		{"domain null", domain, `{"custom_domain":null,"domain_verified":false}`, "&{ false}"},
		{"domain without verified", domain, `{"custom_domain":"x"}`, "without domain_verified"},
		{"domain methods null", setDomain, `{"verification_token":"t","verification_methods":null}`, "without verification_methods"},
		{"domain without methods", setDomain, `{"verification_token":"t","verification_methods":[]}`, "&{t []}"},
		{"domain without token", setDomain, `{"verification_methods":[]}`, "without verification_token"},
		{"verify without verified", verify, `{"message":"x"}`, "without verified"},
		{"verify without message", verify, `{"verified":true}`, "&{true }"},
		{"risk of a newer server", risk, `{"enforcement_mode":"later","low_threshold":1}`, "&{later 1 "},
		{"risk without mode", risk, `{"low_threshold":1}`, "without enforcement_mode"},
		{"risk without settings", reset, `{"message":"x"}`, "without enforcement_mode"},
	})
}
