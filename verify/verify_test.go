package verify_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/verify"
)

func TestGoodTokens(t *testing.T) {
	now := time.Now()
	for name, p := range profiles(now) {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, issuer, usual(), p.config)
			c, err := v.Verify(t.Context(), signed(p.header, p.claims, firstKey()))
			if err != nil {
				t.Fatal(err)
			}
			if c.Subject != "user-1" || c.Email != "ada@example.com" || c.IsPlatformOwner {
				t.Errorf("claims of user %q %q, platform owner %t", c.Subject, c.Email, c.IsPlatformOwner)
			}
			if c.Org != text(p.claims["org"]) || c.Service != text(p.claims["service"]) || c.ID != text(p.claims["jti"]) ||
				c.Issuer != text(p.claims["iss"]) || c.Type != text(p.header["typ"]) || c.Scope != text(p.claims["scope"]) {
				t.Errorf("claims %+v of %v", c, p.claims)
			}
			if want := now.Add(time.Hour).Truncate(time.Second); !c.ExpiresAt.Equal(want) || !c.IssuedAt.Equal(now.Truncate(time.Second)) {
				t.Errorf("issued %s, expires %s, want %s", c.IssuedAt, c.ExpiresAt, want)
			}
			use, aud := text(p.claims["token_use"]), text(p.claims["aud"])
			if p.header["typ"] == "JWT" {
				use, aud = verify.UseLegacy, "service:acme/web"
			}
			if c.TokenUse != use || c.Audience != aud {
				t.Errorf("use %q for %q, want %q for %q", c.TokenUse, c.Audience, use, aud)
			}
			if (c.Actor != nil) != (use == verify.UseImpersonation) {
				t.Errorf("actor %v of use %q", c.Actor, use)
			}
			if c.Actor != nil && *c.Actor != (verify.Actor{Subject: "admin-1", Email: "root@example.com", Reason: "ticket 42"}) {
				t.Errorf("actor %+v", *c.Actor)
			}
			if !c.CheckedAt.IsZero() || c.Permissions != nil {
				t.Errorf("checked at %s with permissions %v although nobody asked", c.CheckedAt, c.Permissions)
			}
			if c.HasScope("read") != (name == "resource") || c.HasScope("") || c.HasPermission("") {
				t.Errorf("HasScope(read) = %t for scope %q", c.HasScope("read"), c.Scope)
			}
		})
	}
}

func capitals(o object) object {
	out := object{}
	for name, value := range o {
		out[strings.ToUpper(name)] = value
	}
	return out
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// Each row is one thing wrong in a token that is signed as it should be.
func TestEveryClaimWrong(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	null := json.RawMessage("null")
	type row struct {
		name    string
		of      string // profile
		changes object
		want    error
	}
	rows := []row{
		{"other tenant's service", "service", object{"org": "globex", "aud": "service:globex/web"}, verify.ErrAudience},
		{"other service", "service", object{"service": "mobile", "aud": "service:acme/mobile"}, verify.ErrAudience},
		{"only the organization", "service", object{"service": nil, "aud": "org:acme"}, verify.ErrAudience},
		{"platform", "service", object{"org": nil, "service": nil, "aud": "platform"}, verify.ErrAudience},
		{"aud does not fit org", "service", object{"org": "globex"}, verify.ErrAudience},
		{"aud does not fit service", "service", object{"service": "mobile"}, verify.ErrAudience},
		{"aud without org and service", "service", object{"org": nil, "service": nil}, verify.ErrAudience},
		{"aud of another", "service", object{"aud": "service:acme/mobile"}, verify.ErrAudience},
		{"aud a prefix", "service", object{"aud": "service:acme/we"}, verify.ErrAudience},
		{"aud in capitals", "service", object{"aud": "SERVICE:ACME/WEB"}, verify.ErrAudience},
		{"aud with a space", "service", object{"aud": "service:acme/web "}, verify.ErrAudience},
		{"aud empty", "service", object{"aud": ""}, verify.ErrAudience},
		{"aud missing", "service", object{"aud": nil}, verify.ErrAudience},
		{"aud null", "service", object{"aud": null}, verify.ErrAudience},
		{"aud a list", "service", object{"aud": []string{"service:acme/web"}}, verify.ErrClaims},
		{"aud a list with others", "service", object{"aud": []string{"platform", "service:acme/web"}}, verify.ErrClaims},
		{"aud a resource", "service", object{"aud": "https://api.example.com/v1"}, verify.ErrAudience},
		{"iss of another server", "service", object{"iss": "https://evil.example.com"}, verify.ErrIssuer},
		{"iss with a slash", "service", object{"iss": issuer + "/"}, verify.ErrIssuer},
		{"iss by http", "service", object{"iss": "http://sso.example.com"}, verify.ErrIssuer},
		{"iss with another port", "service", object{"iss": issuer + ":8443"}, verify.ErrIssuer},
		{"iss with http's port", "service", object{"iss": issuer + ":80"}, verify.ErrIssuer},
		{"iss with a path", "service", object{"iss": issuer + "/x"}, verify.ErrIssuer},
		{"iss with a query", "service", object{"iss": issuer + "?x"}, verify.ErrIssuer},
		{"iss with a fragment", "service", object{"iss": issuer + "#x"}, verify.ErrIssuer},
		{"iss with credentials", "service", object{"iss": "https://x@sso.example.com"}, verify.ErrIssuer},
		{"iss a prefix", "service", object{"iss": issuer + ".evil.example"}, verify.ErrIssuer},
		{"iss empty", "service", object{"iss": ""}, verify.ErrIssuer},
		{"iss missing", "service", object{"iss": nil}, verify.ErrIssuer},
		{"iss a number", "service", object{"iss": 1}, verify.ErrClaims},
		{"token_use of a pre-auth", "service", object{"token_use": "mfa_preauth"}, verify.ErrUse},
		{"token_use of a resource", "service", object{"token_use": "external_resource_access"}, verify.ErrUse},
		{"token_use of an impersonation", "service", object{"token_use": "impersonation"}, verify.ErrUse},
		{"token_use of an assertion", "service", object{"token_use": "id_jag"}, verify.ErrUse},
		{"token_use legacy", "service", object{"token_use": "legacy"}, verify.ErrUse},
		{"token_use empty", "service", object{"token_use": ""}, verify.ErrUse},
		{"token_use missing", "service", object{"token_use": nil}, verify.ErrUse},
		{"token_use a list", "service", object{"token_use": []string{"management_access"}}, verify.ErrClaims},
		{"mfa_required", "service", object{"mfa_required": true}, verify.ErrUse},
		{"mfa_required false", "service", object{"mfa_required": false}, verify.ErrUse},
		{"mfa_verified", "service", object{"mfa_verified": true}, verify.ErrUse},
		{"device_code_id", "service", object{"device_code_id": "d"}, verify.ErrUse},
		{"act", "service", object{"act": object{"sub": "admin-1", "email": "root@example.com"}}, verify.ErrUse},
		{"scope", "service", object{"scope": "read"}, verify.ErrUse},
		{"sub missing", "service", object{"sub": nil}, verify.ErrClaims},
		{"sub empty", "service", object{"sub": ""}, verify.ErrClaims},
		{"sub a number", "service", object{"sub": 7}, verify.ErrClaims},
		{"email a number", "service", object{"email": 7}, verify.ErrClaims},
		{"is_platform_owner a text", "service", object{"is_platform_owner": "true"}, verify.ErrClaims},
		{"jti missing", "service", object{"jti": nil}, verify.ErrClaims},
		{"jti empty", "service", object{"jti": ""}, verify.ErrClaims},
		{"org empty", "service", object{"org": ""}, verify.ErrClaims},
		{"org a number", "service", object{"org": 1}, verify.ErrClaims},
		{"service empty", "service", object{"service": ""}, verify.ErrClaims},
		{"service without org", "service", object{"org": nil}, verify.ErrClaims},
		{"exp missing", "service", object{"exp": nil}, verify.ErrClaims},
		{"exp null", "service", object{"exp": null}, verify.ErrClaims},
		{"exp a text", "service", object{"exp": "9999999999"}, verify.ErrClaims},
		{"exp a fraction", "service", object{"exp": json.RawMessage("9999999999.5")}, verify.ErrClaims},
		{"exp beyond all years", "service", object{"exp": int64(1) << 62}, verify.ErrClaims},
		{"exp beyond int64", "service", object{"exp": json.RawMessage("1e30")}, verify.ErrClaims},
		{"exp negative", "service", object{"exp": -1}, verify.ErrClaims},
		{"exp before iat", "service", object{"exp": at(-time.Second)}, verify.ErrClaims},
		{"expired", "service", object{"exp": at(-2 * time.Minute), "iat": at(-time.Hour)}, verify.ErrExpired},
		{"iat missing", "service", object{"iat": nil}, verify.ErrClaims},
		{"iat negative", "service", object{"iat": -1}, verify.ErrClaims},
		{"iat in the future", "service", object{"iat": at(2 * time.Minute)}, verify.ErrNotYetValid},
		{"nbf in the future", "service", object{"nbf": at(2 * time.Minute)}, verify.ErrNotYetValid},
		{"nbf a text", "service", object{"nbf": "0"}, verify.ErrClaims},
		{"nbf beyond all years", "service", object{"nbf": int64(1) << 62}, verify.ErrClaims},

		{"sign-in to a service", "organization", object{"service": "web", "aud": "service:acme/web"}, verify.ErrAudience},
		{"other organization", "organization", object{"org": "globex", "aud": "org:globex"}, verify.ErrAudience},
		{"sign-in to an organization", "platform", object{"org": "acme", "aud": "org:acme"}, verify.ErrAudience},

		{"other resource", "resource", object{"aud": "https://api.example.com/v2"}, verify.ErrAudience},
		{"resource with a slash", "resource", object{"aud": "https://api.example.com/v1/"}, verify.ErrAudience},
		{"resource token for a service", "resource", object{"aud": "service:acme/web"}, verify.ErrAudience},
		{"resource token without a service", "resource", object{"service": nil}, verify.ErrClaims},
		{"resource token of a pre-auth", "resource", object{"mfa_required": true}, verify.ErrUse},
		{"resource token with act", "resource", object{"act": object{"sub": "a"}}, verify.ErrUse},
		{"resource token for management", "resource", object{"token_use": "management_access"}, verify.ErrUse},

		{"impersonation of another organization", "impersonation", object{"org": "globex"}, verify.ErrAudience},
		{"impersonation of another service", "impersonation", object{"service": "mobile"}, verify.ErrAudience},
		{"impersonation of nobody's tenant", "impersonation", object{"org": nil}, verify.ErrAudience},
		{"impersonation with our own aud", "impersonation", object{"aud": "service:acme/web", "service": "web"}, verify.ErrAudience},
		{"impersonation without act", "impersonation", object{"act": nil}, verify.ErrUse},
		{"impersonation with an empty act", "impersonation", object{"act": object{"sub": ""}}, verify.ErrClaims},
		{"impersonation with a scope", "impersonation", object{"scope": "x"}, verify.ErrUse},
		{"impersonation of a pre-auth", "impersonation", object{"mfa_verified": false}, verify.ErrUse},

		{"old token of another tenant", "October 2025", object{"org": "globex"}, verify.ErrAudience},
		{"old token of another service", "October 2025", object{"service": "mobile"}, verify.ErrAudience},
		{"old token without a tenant", "October 2025", object{"org": nil, "service": nil}, verify.ErrAudience},
		{"old token of another issuer", "October 2025", object{"iss": "https://evil.example.com"}, verify.ErrIssuer},
		{"old token, aud of another", "October 2025", object{"aud": "service:globex/web"}, verify.ErrAudience},
		{"old token for a resource", "between", object{"aud": "https://api.example.com/v1"}, verify.ErrAudience},
		{"old pre-auth token", "between", object{"mfa_required": true, "mfa_verified": false}, verify.ErrUse},
		{"old impersonation", "between", object{"act": object{"sub": "admin-1"}, "aud": "impersonation-session"}, verify.ErrUse},
		{"old token that declares a use", "between", object{"token_use": "management_access"}, verify.ErrUse},
		{"old token without sub", "October 2025", object{"sub": nil}, verify.ErrClaims},
		{"old token without exp", "October 2025", object{"exp": nil}, verify.ErrClaims},
		{"old token expired", "October 2025", object{"exp": at(-2 * time.Minute), "iat": at(-time.Hour)}, verify.ErrExpired},
	}
	all := profiles(now)
	source := usual()
	verifiers := map[string]*verify.Verifier{}
	for name, p := range all {
		verifiers[name] = newVerifier(t, issuer, source, p.config)
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			p := all[row.of]
			token := signed(p.header, with(p.claims, row.changes), firstKey())
			c, err := verifiers[row.of].Verify(t.Context(), token)
			checkRefused(t, err, row.want, token)
			if !errors.Is(err, verify.ErrInvalidToken) || errors.Is(err, verify.ErrUnavailable) {
				t.Errorf("%q is not in the group of invalid tokens alone", err)
			}
			if c.Subject != "" || c.Org != "" {
				t.Errorf("refused, yet claims %+v", c)
			}
		})
	}
}

// Uses that only an option lets in, and uses that nothing lets in.
func TestUsesThatAreRefused(t *testing.T) {
	now := time.Now()
	all := profiles(now)
	everything := verify.Config{
		Audience:           verify.AnyAudience().Or(verify.ResourceAudience("https://api.example.com/v1")),
		AllowImpersonation: true, AllowLegacy: true,
	}
	strict := verify.Config{Audience: verify.AnyAudience()}
	preAuth := with(goodClaims(now), object{"token_use": "mfa_preauth", "mfa_required": true, "mfa_verified": false})
	assertion := object{
		"token_use": "id_jag", "iss": issuer, "sub": "user-1", "aud": issuer, "resource": "https://api.example.com/v1",
		"client_id": "acme_web", "jti": "j", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(),
	}
	typ := func(s string) object { return with(goodHeader(), object{"typ": s}) }
	for _, row := range []struct {
		name   string
		header object
		claims object
		config verify.Config
	}{
		{"pre-auth", typ("authos-mfa-preauth+jwt"), preAuth, everything},
		{"pre-auth claims in a management header", goodHeader(), preAuth, everything},
		{"pre-auth claims in an old header", typ("JWT"), preAuth, everything},
		{"management claims in a pre-auth header", typ("authos-mfa-preauth+jwt"), goodClaims(now), everything},
		{"id-jag", typ("oauth-id-jag+jwt"), assertion, everything},
		{"impersonation, not allowed", all["impersonation"].header, all["impersonation"].claims, strict},
		{"October 2025, not allowed", all["October 2025"].header, all["October 2025"].claims, strict},
		{"between, not allowed", all["between"].header, all["between"].claims, strict},
		{"resource, not for one", all["resource"].header, all["resource"].claims, strict},
		{"unknown typ", typ("dpop+jwt"), goodClaims(now), everything},
		{"typ in capitals", typ("AUTHOS-MANAGEMENT+JWT"), goodClaims(now), everything},
		{"typ missing", with(goodHeader(), object{"typ": nil}), goodClaims(now), everything},
		{"typ a number", with(goodHeader(), object{"typ": 1}), goodClaims(now), everything},
		{"typ swapped by the server itself", typ("at+jwt"), goodClaims(now), everything},
		{"old typ on a new token", typ("JWT"), goodClaims(now), everything},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newVerifier(t, issuer, usual(), row.config)
			token := signed(row.header, row.claims, firstKey())
			_, err := v.Verify(t.Context(), token)
			checkRefused(t, err, verify.ErrUse, token)
		})
	}
}

func TestTampering(t *testing.T) {
	now := time.Now()
	key := firstKey()
	good := signed(goodHeader(), goodClaims(now), key)
	parts := strings.Split(good, ".")
	claims := parts[1]
	resign := func(header object) string { return signed(header, goodClaims(now), key) }
	// reheader keeps claims and signature.
	reheader := func(changes object) string {
		return b64(marshal(with(goodHeader(), changes))) + "." + claims + "." + parts[2]
	}
	reclaim := func(changes object) string {
		return parts[0] + "." + b64(marshal(with(goodClaims(now), changes))) + "." + parts[2]
	}
	forge := func(header object) string {
		return signed(header, with(goodClaims(now), object{"sub": "admin"}), secondKey())
	}
	hmacWith := func(secret []byte) string {
		input := b64(marshal(with(goodHeader(), object{"alg": "HS256"}))) + "." + claims
		return input + "." + hs256(input, secret)
	}
	none := b64(marshal(with(goodHeader(), object{"alg": "none"}))) + "." + claims + "."
	public := publicForms(&key.PublicKey)

	rows := map[string]struct {
		token string
		want  error
	}{
		"alg none":                         {none, verify.ErrAlgorithm},
		"alg none, signature kept":         {none + parts[2], verify.ErrAlgorithm},
		"alg None":                         {reheader(object{"alg": "None"}), verify.ErrAlgorithm},
		"alg nOnE signed":                  {resign(with(goodHeader(), object{"alg": "nOnE"})), verify.ErrAlgorithm},
		"alg missing":                      {resign(with(goodHeader(), object{"alg": nil})), verify.ErrAlgorithm},
		"alg empty":                        {resign(with(goodHeader(), object{"alg": ""})), verify.ErrAlgorithm},
		"alg a list":                       {resign(with(goodHeader(), object{"alg": []string{"RS256"}})), verify.ErrAlgorithm},
		"alg rs256":                        {resign(with(goodHeader(), object{"alg": "rs256"})), verify.ErrAlgorithm},
		"alg RS384":                        {reheader(object{"alg": "RS384"}), verify.ErrAlgorithm},
		"alg PS256":                        {reheader(object{"alg": "PS256"}), verify.ErrAlgorithm},
		"alg ES256":                        {reheader(object{"alg": "ES256"}), verify.ErrAlgorithm},
		"alg twice":                        {rawHeader(`{"typ":"authos-management+jwt","alg":"none","alg":"RS256","kid":"k1"}`, claims, key), verify.ErrMalformed},
		"alg in capitals beside it":        {rawHeader(`{"typ":"authos-management+jwt","ALG":"RS256","alg":"none","kid":"k1"}`, claims, key), verify.ErrAlgorithm},
		"signature missing":                {parts[0] + "." + claims + ".", verify.ErrSignature},
		"signature of other claims":        {reclaim(object{"sub": "admin"}), verify.ErrSignature},
		"made a platform owner":            {reclaim(object{"is_platform_owner": true}), verify.ErrSignature},
		"made to last":                     {reclaim(object{"exp": now.Add(240 * time.Hour).Unix()}), verify.ErrSignature},
		"audience swapped":                 {reclaim(object{"aud": "service:globex/web", "org": "globex"}), verify.ErrSignature},
		"typ swapped":                      {reheader(object{"typ": "at+jwt"}), verify.ErrSignature},
		"typ swapped to the old one":       {reheader(object{"typ": "JWT"}), verify.ErrSignature},
		"kid of another key":               {reheader(object{"kid": "k2"}), verify.ErrSignature},
		"signed with another key":          {forge(goodHeader()), verify.ErrSignature},
		"kid unknown":                      {resign(with(goodHeader(), object{"kid": "k9"})), verify.ErrUnknownKey},
		"kid a path":                       {resign(with(goodHeader(), object{"kid": "../../dev/null"})), verify.ErrUnknownKey},
		"kid missing":                      {resign(with(goodHeader(), object{"kid": nil})), verify.ErrUnknownKey},
		"kid empty":                        {resign(with(goodHeader(), object{"kid": ""})), verify.ErrUnknownKey},
		"kid a number":                     {resign(with(goodHeader(), object{"kid": 1})), verify.ErrMalformed},
		"kid twice":                        {rawHeader(`{"typ":"authos-management+jwt","alg":"RS256","kid":"k2","kid":"k1"}`, claims, key), verify.ErrMalformed},
		"own key in the header":            {forge(with(goodHeader(), object{"jwk": jwk("k1", &secondKey().PublicKey, nil)})), verify.ErrMalformed},
		"own key in the header, signed":    {resign(with(goodHeader(), object{"jwk": jwk("k1", &key.PublicKey, nil)})), verify.ErrMalformed},
		"key URL":                          {forge(with(goodHeader(), object{"jku": "https://evil.example.com/keys"})), verify.ErrMalformed},
		"certificate URL":                  {forge(with(goodHeader(), object{"x5u": "https://evil.example.com/cert"})), verify.ErrMalformed},
		"certificate":                      {forge(with(goodHeader(), object{"x5c": []string{}})), verify.ErrSignature},
		"crit":                             {resign(with(goodHeader(), object{"crit": []string{"exp"}, "exp": 1})), verify.ErrMalformed},
		"crit empty":                       {resign(with(goodHeader(), object{"crit": []string{}})), verify.ErrMalformed},
		"payload not encoded":              {resign(with(goodHeader(), object{"crit": []string{"b64"}, "b64": false})), verify.ErrMalformed},
		"payload said not to be encoded":   {resign(with(goodHeader(), object{"b64": false})), verify.ErrMalformed},
		"claim twice":                      {rawClaims(`{"sub":"user-1","sub":"admin"}`, key), verify.ErrClaims},
		"claims a list":                    {rawClaims(`[]`, key), verify.ErrClaims},
		"claims null":                      {rawClaims(`null`, key), verify.ErrUse},
		"claims cut":                       {rawClaims(`{"sub":"user-1"`, key), verify.ErrClaims},
		"claims with more behind":          {rawClaims(string(marshal(goodClaims(now)))+`{}`, key), verify.ErrClaims},
		"claims no JSON":                   {rawClaims("\xff\xfe", key), verify.ErrClaims},
		"claims named in capitals":         {signed(goodHeader(), capitals(goodClaims(now)), key), verify.ErrUse},
		"empty":                            {"", verify.ErrMalformed},
		"dots":                             {"..", verify.ErrMalformed},
		"two parts":                        {parts[0] + "." + claims, verify.ErrMalformed},
		"four parts":                       {good + ".x", verify.ErrMalformed},
		"five parts, as if encrypted":      {good + ".eA.eA", verify.ErrMalformed},
		"JSON serialization":               {`{"payload":"` + claims + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, verify.ErrMalformed},
		"with its scheme":                  {"Bearer " + good, verify.ErrMalformed},
		"line break at the end":            {good + "\n", verify.ErrMalformed},
		"line break in the signature":      {good[:len(good)-9] + "\r\n" + good[len(good)-9:], verify.ErrMalformed},
		"line break in the claims":         {parts[0] + "." + claims[:8] + "\n" + claims[8:] + "." + parts[2], verify.ErrMalformed},
		"padding":                          {good + "==", verify.ErrMalformed},
		"standard base64":                  {strings.NewReplacer("-", "+", "_", "/").Replace(good), verify.ErrMalformed},
		"unused bits set in the signature": {good[:len(good)-1] + string(nextLetter(good[len(good)-1])), verify.ErrMalformed},
		"too long":                         {parts[0] + "." + claims + "." + strings.Repeat("A", 16<<10), verify.ErrMalformed},
	}
	for i, secret := range public {
		rows["HS256 with the public key, form "+string(rune('0'+i))] = struct {
			token string
			want  error
		}{hmacWith(secret), verify.ErrAlgorithm}
	}
	source := newSource(jwk("k1", &key.PublicKey, nil), jwk("k2", &secondKey().PublicKey, nil))
	v := newVerifier(t, issuer, source, verify.Config{Audience: verify.ServiceAudience("acme", "web"), AllowLegacy: true})
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		t.Run(name, func(t *testing.T) {
			row := rows[name]
			if row.token == good {
				t.Fatal("the token is not changed")
			}
			_, err := v.Verify(t.Context(), row.token)
			checkRefused(t, err, row.want, row.token)
		})
	}
	// Nothing in a token makes the verifier ask anybody else: only the keys were fetched.
	for _, req := range source.seen {
		if req.URL.String() != issuer+"/.well-known/jwks.json" {
			t.Errorf("asked %s", req.URL)
		}
		if auth := req.Header.Get("Authorization"); auth != "" {
			t.Errorf("the request for the keys carried a credential")
		}
	}
	if n := source.requests(); n > 1+5 {
		t.Errorf("%d requests for the keys, want the first and a burst of 5 at most", n)
	}
}

func TestClockTolerance(t *testing.T) {
	for _, row := range []struct {
		name      string
		tolerance time.Duration
		exp, iat  time.Duration
		want      error
	}{
		{"default, within", 0, -59 * time.Second, -time.Hour, nil},
		{"default, at its end", 0, -60 * time.Second, -time.Hour, verify.ErrExpired},
		{"default, ahead within", 0, time.Hour, 60 * time.Second, nil},
		{"default, ahead beyond", 0, time.Hour, 61 * time.Second, verify.ErrNotYetValid},
		{"none, alive", -1, time.Second, -time.Hour, nil},
		{"none, at exp", -1, 0, -time.Hour, verify.ErrExpired},
		{"none, now", -1, time.Hour, 0, nil},
		{"none, ahead", -1, time.Hour, time.Second, verify.ErrNotYetValid},
		{"five minutes", 5 * time.Minute, -299 * time.Second, -time.Hour, nil},
		{"five minutes, at their end", 5 * time.Minute, -300 * time.Second, -time.Hour, verify.ErrExpired},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				v := newVerifier(t, issuer, usual(), verify.Config{Audience: verify.AnyAudience(), ClockTolerance: row.tolerance})
				token := signed(goodHeader(), with(goodClaims(now), object{
					"exp": now.Add(row.exp).Unix(), "iat": now.Add(row.iat).Unix(),
				}), firstKey())
				_, err := v.Verify(t.Context(), token)
				if row.want == nil {
					if err != nil {
						t.Fatal(err)
					}
					return
				}
				checkRefused(t, err, row.want, token)
			})
		})
	}
}

func TestAudiences(t *testing.T) {
	now := time.Now()
	all := profiles(now)
	resource := verify.ResourceAudience("https://api.example.com/v1")
	for _, row := range []struct {
		name     string
		audience verify.Audience
		accepted []string // profiles
	}{
		{"service", verify.ServiceAudience("acme", "web"), []string{"service", "impersonation", "October 2025", "between"}},
		{"other service", verify.ServiceAudience("acme", "mobile"), []string{"impersonation"}},
		{"organization", verify.OrganizationAudience("acme"), []string{"organization", "impersonation"}},
		{"other organization", verify.OrganizationAudience("globex"), nil},
		{"platform", verify.PlatformAudience(), []string{"platform"}},
		{"resource", resource, []string{"resource"}},
		{"resource named like a service", verify.ResourceAudience("service:acme/web"), nil},
		{"service or resource", verify.ServiceAudience("acme", "web").Or(resource), []string{"service", "impersonation", "October 2025", "between", "resource"}},
		{"any", verify.AnyAudience(), []string{"service", "organization", "platform", "impersonation", "October 2025", "between"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newVerifier(t, issuer, usual(), verify.Config{Audience: row.audience, AllowImpersonation: true, AllowLegacy: true})
			for name, p := range all {
				_, err := v.Verify(t.Context(), signed(p.header, p.claims, firstKey()))
				if got, want := err == nil, slices.Contains(row.accepted, name); got != want {
					t.Errorf("%s token accepted = %t, want %t (%v)", name, got, want, err)
				}
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	web := verify.ServiceAudience("acme", "web")
	client, err := authos.New(issuer)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, row := range []struct {
		name    string
		baseURL string
		cfg     verify.Config
		want    []string // in the error's text
	}{
		{"no audience", issuer, verify.Config{}, []string{"Audience"}},
		{"no org", issuer, verify.Config{Audience: verify.ServiceAudience("", "web")}, []string{"Audience"}},
		{"no service", issuer, verify.Config{Audience: verify.ServiceAudience("acme", "")}, []string{"Audience"}},
		{"no organization", issuer, verify.Config{Audience: verify.OrganizationAudience("")}, []string{"Audience"}},
		{"org with a slash", issuer, verify.Config{Audience: verify.OrganizationAudience("acme/web")}, []string{"Audience"}},
		{"relative resource", issuer, verify.Config{Audience: verify.ResourceAudience("/v1")}, []string{"Audience"}},
		{"resource with a fragment", issuer, verify.Config{Audience: verify.ResourceAudience("https://a.example/#x")}, []string{"Audience"}},
		{"one bad of two", issuer, verify.Config{Audience: web.Or(verify.OrganizationAudience(""))}, []string{"Audience"}},
		{"plain http", "http://sso.example.com", verify.Config{Audience: web}, []string{"http"}},
		{"no URL", "", verify.Config{Audience: web}, []string{"Issuer", "base URL"}},
		{"no host", "https:///sso", verify.Config{Audience: web}, []string{"Issuer", "base URL"}},
		{"no scheme", "sso.example.com", verify.Config{Audience: web}, []string{"Issuer", "base URL"}},
		{"no port", "https://sso.example.com:port", verify.Config{Audience: web}, []string{"Issuer", "base URL"}},
		{"bad issuer", issuer, verify.Config{Audience: web, Issuer: "acme"}, []string{"Issuer"}},
		{"issuer with a password", issuer, verify.Config{Audience: web, Issuer: "https://u:p@sso.example.com"}, []string{"Issuer"}},
		{"tolerance", issuer, verify.Config{Audience: web, ClockTolerance: 6 * time.Minute}, []string{"ClockTolerance"}},
		{"everything at once", issuer, verify.Config{
			KeyTTL: time.Second, KeepKeys: time.Minute, FetchTimeout: time.Hour, Online: &verify.Online{For: time.Hour, Timeout: time.Millisecond},
		}, []string{"Audience", "KeyTTL", "FetchTimeout", "Online.For", "Online.Timeout"}},
		{"keys forgotten before they are refreshed", issuer, verify.Config{Audience: web, KeepKeys: time.Minute}, []string{"KeepKeys"}},
		{"two clients", issuer, verify.Config{Audience: web, Client: client, ClientOptions: []authos.Option{}}, []string{"ClientOptions"}},
		{"online check of resource tokens", issuer, verify.Config{
			Audience: web.Or(verify.ResourceAudience("https://a.example")), Online: &verify.Online{},
		}, []string{"Online"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			v, err := verify.New(row.baseURL, row.cfg)
			if err == nil || v != nil {
				t.Fatalf("New = %v, %v, want an error", v, err)
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %s", err, want)
				}
			}
		})
	}
}

// The issuer is the base URL without its slash, unless it is given.
func TestIssuer(t *testing.T) {
	now := time.Now()
	for _, row := range []struct{ baseURL, issuer, iss string }{
		{issuer + "/", "", issuer},
		{"HTTPS://sso.example.com", "", issuer},
		{"https://SSO.Example.COM", "", issuer},
		{"https://sso.example.com:443", "", issuer},
		{"https://sso.example.com:443/", "", "https://sso.example.com:443"},
		{"HTTP://LocalHost:8080", "", "http://localhost:8080"},
		{"http://[::1]:80/sso", "", "http://[::1]/sso"},
		{"https://sso.example.com", "", "HTTPS://SSO.example.com"},
		{"https://internal.example.com", "HTTPS://SSO.example.com:443/", issuer},
		{"https://example.com/SSO", "", "https://EXAMPLE.com/SSO"},
		{"https://example.com/sso/", "", "https://example.com/sso"},
		{"https://internal.example.com", issuer + "/", issuer},
	} {
		cfg := verify.Config{Audience: verify.AnyAudience(), Issuer: row.issuer}
		v := newVerifier(t, row.baseURL, usual(), cfg)
		if _, err := v.Verify(t.Context(), signed(goodHeader(), with(goodClaims(now), object{"iss": row.iss}), firstKey())); err != nil {
			t.Errorf("%+v: %v", row, err)
		}
	}
}

// What is another URL, or none, is another issuer.
func TestOtherIssuers(t *testing.T) {
	v := newVerifier(t, issuer, usual(), verify.Config{Audience: verify.AnyAudience()})
	for _, iss := range []string{
		"", "/", issuer + "/", issuer + "/sso", issuer + "?", issuer + "?a=b", issuer + "#a", "https://u@sso.example.com", "http://sso.example.com",
		"https://sso.example.com:80", "https://sso.example.com.", "https://sso.example.org", "sso.example.com", "//sso.example.com",
		"https:sso.example.com", "https:///sso.example.com", "https://", "https://sso.example.com:port", "https://[::1", "%", "://",
	} {
		token := signed(goodHeader(), with(goodClaims(time.Now()), object{"iss": iss}), firstKey())
		_, err := v.Verify(t.Context(), token)
		checkRefused(t, err, verify.ErrIssuer, token)
	}
}
