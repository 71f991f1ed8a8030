package verify

import (
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

// Values of [Claims.TokenUse], each with its [Claims.Type].
const (
	// UseManagement is what users' sessions hold: for the AuthOS API and for the backends of its
	// services.
	UseManagement = "management_access"
	// UseResource is an access token for an external resource server. AuthOS's own API refuses it.
	UseResource = "external_resource_access"
	// UseImpersonation is a session in somebody else's name. [Claims.Actor] is who is behind it.
	UseImpersonation = "impersonation"
	// UseLegacy stands for the missing claim in tokens of servers before token_use. See
	// [Config.AllowLegacy].
	UseLegacy = "legacy"
)

// The header's typ for each use. The server demands that both agree, since issuer, audience and key
// are the same in all of them.
const (
	typeManagement    = "authos-management+jwt"
	typeResource      = "at+jwt"
	typeImpersonation = "authos-impersonation+jwt"
	typePreAuth       = "authos-mfa-preauth+jwt"
	typeAssertion     = "oauth-id-jag+jwt"
	typeLegacy        = "JWT"
)

const impersonationAudience = "impersonation-session"

// Claims are what a verified token says, as AuthOS signed it. Slices are shared: do not change
// them.
type Claims struct {
	// Subject is the user's id, Email the user's address when the token was issued.
	Subject, Email string
	// Org and Service are the slugs of the tenant that the user signed in to; empty when the
	// sign-in named none.
	Org, Service string
	// IsPlatformOwner is as old as the token, or as fresh as CheckedAt.
	IsPlatformOwner bool
	// ID is the token's own id (jti). Legacy tokens may have none.
	ID string
	// TokenUse is [UseManagement], [UseResource], [UseImpersonation] or [UseLegacy], Type the
	// header's typ that belongs to it.
	TokenUse, Type string
	// Audience is the aud claim, Issuer the iss claim. Of a legacy token without them, Audience is
	// what the server derives from Org and Service, and Issuer is empty.
	Audience, Issuer string
	// IssuedAt and ExpiresAt have whole seconds.
	IssuedAt, ExpiresAt time.Time
	// Scope is what a resource token was granted, separated by spaces; empty in all other tokens.
	Scope string
	// Actor is who acts in the user's name; nil unless TokenUse is [UseImpersonation]. Whatever is
	// written in an audit log belongs to the actor.
	Actor *Actor

	// KeysFetchedAt is when the server published the key that the token was verified with.
	// StaleKeys reports that it should have confirmed it since and has not: it cannot be reached,
	// or this process has just begun with the keys of an earlier one.
	KeysFetchedAt time.Time
	StaleKeys     bool

	// CheckedAt is when the server last accepted the token; zero without an online check. The
	// fields below are what it said then.
	CheckedAt time.Time
	// Permissions are relations ("namespace:object#relation") and capability names. No token
	// carries them.
	Permissions []string
	// Plan is empty and Features nil without a subscription.
	Plan     string
	Features []string
}

// Actor is the platform owner behind an impersonation (RFC 8693, section 4.1).
type Actor struct {
	Subject string `json:"sub"`
	Email   string `json:"email"`
	Reason  string `json:"reason"`
}

// HasPermission reports whether the server named the permission; always false without an online
// check.
func (c Claims) HasPermission(name string) bool { return slices.Contains(c.Permissions, name) }

// HasScope reports whether a resource token was granted the scope (RFC 6749, section 3.3).
func (c Claims) HasScope(name string) bool {
	return name != "" && slices.Contains(strings.Fields(c.Scope), name)
}

// payload is a token's payload as the server sends it. A pointer tells a claim that is absent from
// an empty one.
type payload struct {
	TokenUse        *string `json:"token_use"`
	Subject         string  `json:"sub"`
	Email           string  `json:"email"`
	IsPlatformOwner bool    `json:"is_platform_owner"`
	ID              *string `json:"jti"`
	Org             *string `json:"org"`
	Service         *string `json:"service"`
	MFARequired     *bool   `json:"mfa_required"`
	MFAVerified     *bool   `json:"mfa_verified"`
	DeviceCode      *string `json:"device_code_id"`
	Actor           *Actor  `json:"act"`
	Audience        *string `json:"aud"`
	Issuer          *string `json:"iss"`
	Scope           *string `json:"scope"`
	ExpiresAt       *int64  `json:"exp"`
	IssuedAt        *int64  `json:"iat"`
	NotBefore       *int64  `json:"nbf"`
}

// decode reads a payload whose signature is good. go-jose's JSON is stricter than the standard
// library's: names are compared exactly, and a name that occurs twice is an error, so that no two
// readers can understand one token differently.
func decode(raw []byte) (*payload, error) {
	var p payload
	if err := json.Unmarshal(raw, &p); err != nil {
		// the decoder's text quotes values
		return nil, refuse(ErrClaims, "not the JSON that AuthOS sends")
	}
	return &p, nil
}

// claims checks a payload against the use that the header's typ declares and against what is
// accepted here. What no new token would cure is looked at first, and the clock last: a caller
// whose token has merely expired should hear that, and nobody else.
func (v *Verifier) claims(typ string, p *payload, now time.Time) (Claims, error) {
	use, err := v.use(typ, p)
	if err != nil {
		return Claims{}, err
	}
	t := tenant{deref(p.Org), deref(p.Service)}
	c := Claims{
		Subject: p.Subject, Email: p.Email, Org: t.org, Service: t.service, IsPlatformOwner: p.IsPlatformOwner, ID: deref(p.ID),
		TokenUse: use, Type: typ, Audience: deref(p.Audience), Issuer: deref(p.Issuer), Scope: deref(p.Scope), Actor: p.Actor,
	}
	if use == UseLegacy && p.Audience == nil {
		c.Audience = t.name()
	}
	if err := v.issuer(use, p); err != nil {
		return Claims{}, err
	}
	if err := complete(use, p); err != nil {
		return Claims{}, err
	}
	if err := v.audience(use, t, c.Audience); err != nil {
		return Claims{}, err
	}
	if err := v.clock(p, now); err != nil {
		return Claims{}, err
	}
	c.IssuedAt, c.ExpiresAt = time.Unix(*p.IssuedAt, 0), time.Unix(*p.ExpiresAt, 0)
	return c, nil
}

// use decides what a token is, from its type, its token_use and the claims that only some uses
// have. The server holds the same invariants.
func (v *Verifier) use(typ string, p *payload) (string, error) {
	var want string
	switch typ {
	case typeManagement:
		want = UseManagement
	case typeResource:
		want = UseResource
		if len(v.cfg.Audience.resources) == 0 {
			return "", refuse(ErrUse, "an access token for an external resource, and this verifier is for none")
		}
	case typeImpersonation:
		want = UseImpersonation
		if !v.cfg.AllowImpersonation {
			return "", refuse(ErrUse, "an impersonation")
		}
	case typeLegacy:
		want = UseLegacy
		if !v.cfg.AllowLegacy {
			return "", refuse(ErrUse, "a token of an old server, which does not declare its use")
		}
	case typePreAuth:
		return "", refuse(ErrUse, "a sign-in without its second factor")
	case typeAssertion:
		return "", refuse(ErrUse, "an assertion for the token endpoint")
	default:
		return "", refuse(ErrUse, "a type of token that is not known")
	}
	if want == UseLegacy {
		if p.TokenUse != nil {
			return "", refuse(ErrUse, "token_use does not fit the type")
		}
	} else if deref(p.TokenUse) != want {
		return "", refuse(ErrUse, "token_use does not fit the type")
	}
	// Servers between October 2025 and token_use sent all of their tokens as "JWT", so there these
	// claims alone tell them apart.
	if p.MFARequired != nil || p.MFAVerified != nil || p.DeviceCode != nil || (p.Actor != nil) != (want == UseImpersonation) ||
		p.Scope != nil && want != UseResource {
		return "", refuse(ErrUse, "a claim that tokens of this type do not have, or lack")
	}
	return want, nil
}

func (v *Verifier) issuer(use string, p *payload) error {
	switch {
	case p.Issuer == nil && use == UseLegacy:
		return nil // October 2025: there was none yet
	case p.Issuer == nil:
		return refuse(ErrIssuer, "none")
	case !sameIssuer(*p.Issuer, v.cfg.Issuer):
		return refuse(ErrIssuer, "%q, not %q", *p.Issuer, v.cfg.Issuer)
	}
	return nil
}

// maxTime is the last second of the year 9999; beyond it time arithmetic would overflow sooner or
// later.
const maxTime = 253402300799

// complete checks that every claim is there which the server always sends.
func complete(use string, p *payload) error {
	switch {
	case p.Subject == "":
		return refuse(ErrClaims, "sub is missing")
	case use != UseLegacy && deref(p.ID) == "":
		return refuse(ErrClaims, "jti is missing")
	case p.ExpiresAt == nil || *p.ExpiresAt <= 0 || *p.ExpiresAt > maxTime:
		return refuse(ErrClaims, "exp is missing or no time")
	case p.IssuedAt == nil || *p.IssuedAt <= 0 || *p.IssuedAt > maxTime:
		return refuse(ErrClaims, "iat is missing or no time")
	case p.NotBefore != nil && (*p.NotBefore < 0 || *p.NotBefore > maxTime):
		return refuse(ErrClaims, "nbf is no time")
	case *p.ExpiresAt < *p.IssuedAt:
		return refuse(ErrClaims, "exp is before iat")
	case p.Org != nil && *p.Org == "" || p.Service != nil && (*p.Service == "" || p.Org == nil):
		return refuse(ErrClaims, "org and service do not name a tenant")
	case use == UseResource && p.Service == nil:
		return refuse(ErrClaims, "org and service are missing")
	case p.Actor != nil && p.Actor.Subject == "":
		return refuse(ErrClaims, "act names nobody")
	}
	return nil
}

func (v *Verifier) audience(use string, t tenant, aud string) error {
	accepted := v.cfg.Audience
	var ok bool
	switch use {
	case UseResource:
		ok = slices.Contains(accepted.resources, aud)
	case UseImpersonation:
		ok = aud == impersonationAudience && accepted.hasImpersonated(t)
	default:
		// The server derives aud from org and service, and refuses a token where they disagree.
		ok = aud == t.name() && accepted.hasTenant(t)
	}
	if !ok {
		return refuse(ErrAudience, "%q of tenant %q, not %q", aud, t.name(), accepted)
	}
	return nil
}

func (v *Verifier) clock(p *payload, now time.Time) error {
	early, late := now.Add(v.cfg.ClockTolerance), now.Add(-v.cfg.ClockTolerance)
	if issued := time.Unix(*p.IssuedAt, 0); issued.After(early) {
		return refuse(ErrNotYetValid, "issued %s from now", issued.Sub(now).Round(time.Second))
	}
	if p.NotBefore != nil && time.Unix(*p.NotBefore, 0).After(early) {
		return refuse(ErrNotYetValid, "nbf has not come")
	}
	// RFC 7519, section 4.1.4: at exp itself it is over.
	if expires := time.Unix(*p.ExpiresAt, 0); !expires.After(late) {
		return refuse(ErrExpired, "%s ago", now.Sub(expires).Round(time.Second))
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
