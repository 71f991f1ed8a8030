package authos

import (
	"strings"
	"unicode"
)

// goNames are the Go names of wire names that the general rule does not give.
var goNames = map[string]string{ //nolint:gosec // names of fields
	"q": "Query", "expires_in_days": "ExpiresIn", "preauth_token": "PreAuthToken", "token_type_hint": "Hint",
	"start_date": "Start", "end_date": "End", "org": "OrgSlug", "service": "ServiceSlug",
}

// initialisms are the parts of names that Go writes in its own way.
var initialisms = map[string]string{
	"id": "ID", "url": "URL", "uri": "URI", "uris": "URIs", "saml": "SAML", "acs": "ACS", "slo": "SLO", "api": "API", "mfa": "MFA",
	"mau": "MAU", "idp": "IdP", "github": "GitHub",
}

// goName is what a program calls the input with this wire name, by the rule of CONTRIBUTING.md's
// "Names in the API": "grants[0].service_slug" is Grants[0].ServiceSlug.
func goName(wire string) string {
	if strings.ContainsFunc(wire, unicode.IsUpper) {
		return wire // it is one already, such as that of an option
	}
	parts := strings.Split(wire, ".")
	for i, part := range parts {
		name, index, indexed := strings.Cut(part, "[")
		if parts[i] = goNames[name]; parts[i] == "" {
			for word := range strings.SplitSeq(name, "_") {
				if known := initialisms[word]; known != "" {
					parts[i] += known
				} else if word != "" {
					parts[i] += string(unicode.ToUpper(rune(word[0]))) + word[1:]
				}
			}
		}
		if indexed {
			parts[i] += "[" + index
		}
	}
	return strings.Join(parts, ".")
}

// argumentName is the Go name of an input that is an argument: "org_slug" is orgSlug.
func argumentName(wire string) string {
	name := goName(wire)
	first := len(name) - len(strings.TrimLeftFunc(name, unicode.IsUpper))
	switch {
	case first == 0:
		return name
	case first == len(name): // all capitals
		return strings.ToLower(name)
	case first > 1:
		first-- // the last capital begins the next word: APIKeyID is apiKeyID
	}
	return strings.ToLower(name[:first]) + name[first:]
}
