package authos

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

//go:generate go run ./internal/cmd/gentables

// Code is a machine-readable error code. It implements error, so that errors.Is(err,
// authos.CodeTokenExpired) works; codes that this package does not know work as well, as
// Code("SOMETHING_NEW").
type Code string

// Error is the code itself.
func (c Code) Error() string { return string(c) }

// Codes of AuthOS. [Codes] tells what each of them means and what to do.
const (
	CodeBadRequest                Code = "BAD_REQUEST"
	CodeDuplicateConstraint       Code = "DUPLICATE_CONSTRAINT"
	CodeUnauthorized              Code = "UNAUTHORIZED"
	CodeTokenExpired              Code = "TOKEN_EXPIRED"
	CodeJWTError                  Code = "JWT_ERROR"
	CodeForbidden                 Code = "FORBIDDEN"
	CodeFeatureNotAvailableInTier Code = "FEATURE_NOT_AVAILABLE_IN_TIER"
	CodeOrganizationNotActive     Code = "ORGANIZATION_NOT_ACTIVE"
	CodeNotFound                  Code = "NOT_FOUND"
	CodeServiceLimitExceeded      Code = "SERVICE_LIMIT_EXCEEDED"
	CodeTeamLimitExceeded         Code = "TEAM_LIMIT_EXCEEDED"
	CodeInvitationExpired         Code = "INVITATION_EXPIRED"
	CodeDeviceCodeExpired         Code = "DEVICE_CODE_EXPIRED"
	CodeDeviceCodePending         Code = "DEVICE_CODE_PENDING"
	CodeTooManyRequests           Code = "TOO_MANY_REQUESTS"
	CodeRateLimitExceeded         Code = "RATE_LIMIT_EXCEEDED"
	CodeInternalServerError       Code = "INTERNAL_SERVER_ERROR"
	CodeDatabaseError             Code = "DATABASE_ERROR"
	CodeOAuthError                Code = "OAUTH_ERROR"
	CodeStripeError               Code = "STRIPE_ERROR"
	CodeBillingError              Code = "BILLING_ERROR"
	CodeAuditError                Code = "AUDIT_ERROR"
	CodeIOError                   Code = "IO_ERROR"
	CodeGenericError              Code = "GENERIC_ERROR"
	CodeServiceUnavailable        Code = "SERVICE_UNAVAILABLE"

	// CodeProviderAccountConflict and the ones below are what a request for a provider's token can
	// lack. AuthOS sends them as the text of a BAD_REQUEST, and as the "code" of a good response
	// that asks for an action.
	CodeProviderAccountConflict      Code = "PROVIDER_ACCOUNT_CONFLICT"
	CodeProviderScopeConsentRequired Code = "PROVIDER_SCOPE_CONSENT_REQUIRED"
	CodeProviderLinkRequired         Code = "PROVIDER_LINK_REQUIRED"
	CodeProviderGrantRequired        Code = "PROVIDER_GRANT_REQUIRED"
	CodeProviderReauthRequired       Code = "PROVIDER_REAUTH_REQUIRED"
)

// Codes of common API error design, with their sub-codes.
const (
	CodeValidationError         Code = "VALIDATION_ERROR"
	CodeRequired                Code = "REQUIRED"
	CodeInvalidFormat           Code = "INVALID_FORMAT"
	CodeOutOfRange              Code = "OUT_OF_RANGE"
	CodeInvalidEnum             Code = "INVALID_ENUM"
	CodeInvalidRange            Code = "INVALID_RANGE"
	CodeAuthenticationError     Code = "AUTHENTICATION_ERROR"
	CodeMissingToken            Code = "MISSING_TOKEN"
	CodeInvalidToken            Code = "INVALID_TOKEN"
	CodeExpiredToken            Code = "EXPIRED_TOKEN"
	CodeRevokedToken            Code = "REVOKED_TOKEN"
	CodeAuthorizationError      Code = "AUTHORIZATION_ERROR"
	CodeInsufficientPermissions Code = "INSUFFICIENT_PERMISSIONS"
	CodeResourceForbidden       Code = "RESOURCE_FORBIDDEN"
	CodeResourceNotFound        Code = "RESOURCE_NOT_FOUND"
	CodeConflictError           Code = "CONFLICT_ERROR"
	CodeResourceAlreadyExists   Code = "RESOURCE_ALREADY_EXISTS"
	CodeConcurrentModification  Code = "CONCURRENT_MODIFICATION"
)

// Codes a response gets from its status when it carries none. The other statuses give codes from
// the lists above, and "HTTP_<status>" where there is nothing to say.
const (
	CodeRouteNotFound        Code = "ROUTE_NOT_FOUND" // a 404 with an empty body
	CodeMethodNotAllowed     Code = "METHOD_NOT_ALLOWED"
	CodeRequestTimeout       Code = "REQUEST_TIMEOUT"
	CodeConflict             Code = "CONFLICT"
	CodeGone                 Code = "GONE"
	CodePayloadTooLarge      Code = "PAYLOAD_TOO_LARGE"
	CodeUnsupportedMediaType Code = "UNSUPPORTED_MEDIA_TYPE"
	CodeBadGateway           Code = "BAD_GATEWAY"
	CodeGatewayTimeout       Code = "GATEWAY_TIMEOUT"
)

// Codes of the OAuth token endpoint (RFC 6749, section 5.2), and those of the device flow's
// standard (RFC 8628, section 3.5), for which AuthOS has codes of its own.
const (
	CodeOAuthInvalidRequest Code = "invalid_request"
	CodeOAuthInvalidGrant   Code = "invalid_grant"
	CodeOAuthInvalidScope   Code = "invalid_scope"
	CodeOAuthInvalidClient  Code = "invalid_client"
	CodeOAuthServerError    Code = "server_error"

	CodeOAuthAuthorizationPending Code = "authorization_pending"
	CodeOAuthSlowDown             Code = "slow_down"
	CodeOAuthExpiredToken         Code = "expired_token" // of a device code
	CodeOAuthAccessDenied         Code = "access_denied"
)

// Names of failures that are found on this side and have no code of the server. They are keys of
// [Messages], and the error types that mean them match them with [errors.Is]; CodeOutcomeUnknown
// and CodeUnknownError are keys only, see [ErrOutcomeUnknown].
const (
	CodeNetworkError     Code = "NETWORK_ERROR"
	CodeTimeout          Code = "TIMEOUT"
	CodeCanceled         Code = "CANCELED"
	CodeCircuitOpen      Code = "CIRCUIT_OPEN"
	CodeSessionExpired   Code = "SESSION_EXPIRED"
	CodeSessionUncertain Code = "SESSION_UNCERTAIN"
	CodeMFARequired      Code = "MFA_REQUIRED"
	CodeInvalidResponse  Code = "INVALID_RESPONSE"
	CodeOutcomeUnknown   Code = "OUTCOME_UNKNOWN"
	CodeUnknownError     Code = "UNKNOWN_ERROR"
)

// CodeInfo is what this package knows about a code.
type CodeInfo struct {
	Code Code
	// Status is the usual HTTP status; 0 for a failure found on this side.
	Status int
	// Meaning says what happened, Action what a developer does about it, Retry whether the client
	// repeats the call.
	Meaning, Action, Retry string
	// SameAs is the code that means the same, Parents are the wider codes; [errors.Is] matches them
	// too.
	SameAs  Code
	Parents []Code
	// Texts are parts of messages by which the server says it without sending the code, on the
	// routes where they mean that.
	Texts []string
}

// Codes lists every code this package knows, by status and name. The result is the caller's to
// change.
func Codes() []CodeInfo {
	all := make([]CodeInfo, 0, len(catalog))
	for code := range catalog {
		info, _ := Explain(code)
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b CodeInfo) int {
		if a.Status != b.Status {
			return a.Status - b.Status
		}
		return strings.Compare(string(a.Code), string(b.Code))
	})
	return all
}

// Explain returns what this package knows about a code: one of the catalog's, under any of its
// names. known is false for others, for which the status is all there is to go by.
func Explain(code Code) (info CodeInfo, known bool) {
	i, known := catalog[code]
	if !known {
		return CodeInfo{Code: code}, false
	}
	return CodeInfo{code, i.status, i.meaning, i.action, i.retry, i.sameAs, slices.Clone(i.parents), textsOf(code)}, true
}

// means reports whether c is target, the same as target under another name, or a narrower case of
// it.
func (c Code) means(target Code) bool {
	if c == target {
		return true
	}
	c, target = c.canonical(), target.canonical()
	return c == target || slices.ContainsFunc(c.parents(), func(parent Code) bool { return parent.means(target) })
}

// canonical is the one name of codes that mean the same.
func (c Code) canonical() Code {
	if same := catalog[c].sameAs; same != "" {
		return same
	}
	return c
}

// parents lists the wider codes. A code that nobody told us about but that calls itself a conflict
// is taken at its word.
func (c Code) parents() []Code {
	info, known := catalog[c]
	if !known && strings.HasPrefix(string(c), string(CodeConflict)) {
		return []Code{CodeConflictError}
	}
	return info.parents
}

// codeTexts are the meanings that the real server puts into the text only: the variants of these
// codes exist in its source, but it never sends them.
var codeTexts = []struct {
	code  Code // as sent
	match func(text, pattern string) bool
	text  string
	means Code
}{
	{CodeForbidden, strings.HasPrefix, "Organization is not active", CodeOrganizationNotActive},
	{CodeUnauthorized, strings.HasPrefix, "API key organization is not active", CodeOrganizationNotActive},
	{CodeBadRequest, strings.HasPrefix, "Team limit reached", CodeTeamLimitExceeded},
	{CodeBadRequest, strings.HasPrefix, "Invitation has expired", CodeInvitationExpired},
	{CodeBadRequest, strings.Contains, "maximum service limit", CodeServiceLimitExceeded},
}

// isMachineCode recognizes a code where a sentence is expected: capitals, digits and at least one
// underscore.
func isMachineCode(s string) bool {
	if len(s) > maxCode || !strings.Contains(s, "_") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') && (r < '0' || r > '9') })
}

// codeForStatus is the code of a response that carries none. An empty 404 is the router's: AuthOS's
// handlers always send a body.
func codeForStatus(status int, emptyBody bool) Code {
	if status == http.StatusNotFound && emptyBody {
		return CodeRouteNotFound
	}
	if code, ok := statusCodes[status]; ok {
		return code
	}
	return Code("HTTP_" + strconv.Itoa(status))
}

var statusCodes = map[int]Code{
	400: CodeBadRequest, 401: CodeUnauthorized, 403: CodeForbidden, 404: CodeNotFound, 405: CodeMethodNotAllowed,
	408: CodeRequestTimeout, 409: CodeConflict, 410: CodeGone, 413: CodePayloadTooLarge, 415: CodeUnsupportedMediaType,
	422: CodeValidationError, 429: CodeRateLimitExceeded,
	500: CodeInternalServerError, 502: CodeBadGateway, 503: CodeServiceUnavailable, 504: CodeGatewayTimeout,
}

// What the client does by itself with a response of a code.
const (
	retryNo     = "no"
	retryReads  = "reads and idempotent calls"
	retryWait   = "after the wait"
	retryAudit  = "reads, and calls with WithIdempotent"
	retryRenew  = "once, with a refreshed token"
	retryHinted = "reads and idempotent calls; others when it names a wait"
	retryPoll   = "by DeviceLogin, at the interval"
	retryUnsent = "reads and idempotent calls; others when nothing was sent"
)

// codeInfo is one entry of the catalog. The relations make a small graph without cycles:
//   - sameAs: two names of one meaning, AuthOS's and common API design's; each matches the other.
//   - parents: wider codes that the code is a case of. It matches them, they do not match it.
//
// AuthOS's own codes of one status stay siblings (a TOKEN_EXPIRED is no UNAUTHORIZED), because
// AuthOS's guide tells programs to handle them differently; what they share is the parent from the
// general catalog.
type codeInfo struct {
	status          int
	meaning, action string // for developers
	retry           string
	sameAs          Code
	parents         []Code
}

// catalog holds every code of both contracts. README's table is generated from it.
var catalog = map[Code]codeInfo{
	// 400
	CodeBadRequest: {
		status: 400, retry: retryNo, meaning: "invalid input, or a rule that forbids it", action: "read the message, correct the request",
	},
	CodeValidationError: {
		status: 400, retry: retryNo, meaning: "input that fails validation", action: "correct the fields listed in Fields",
		parents: []Code{CodeBadRequest},
	},
	CodeRequired: {
		status: 400, retry: retryNo, meaning: "a required field is missing", action: "send the field", parents: []Code{CodeValidationError},
	},
	CodeInvalidFormat: {
		status: 400, retry: retryNo, meaning: "a field in the wrong format", action: "correct the field", parents: []Code{CodeValidationError},
	},
	CodeOutOfRange: {
		status: 400, retry: retryNo, meaning: "a value beyond its bounds", action: "keep to the constraints", parents: []Code{CodeValidationError},
	},
	CodeInvalidEnum: {
		status: 400, retry: retryNo, meaning: "a value that is not one of the allowed", action: "use an allowed value", parents: []Code{CodeValidationError},
	},
	CodeInvalidRange: {
		status: 400, retry: retryNo, meaning: "fields that contradict each other", action: "correct the fields together", parents: []Code{CodeValidationError},
	},
	CodeDuplicateConstraint: {
		status: 400, retry: retryNo, meaning: "AuthOS's response where something with this name, address or key is there already",
		action: "use what is there, or choose another value", sameAs: CodeResourceAlreadyExists,
	},
	CodeServiceLimitExceeded: {
		status: 400, retry: retryNo, meaning: "the tier's number of services or of monthly users is used up", action: "upgrade the tier or delete services",
	},
	CodeTeamLimitExceeded: {
		status: 400, retry: retryNo, meaning: "the tier's number of team members is used up", action: "upgrade the tier or remove members",
	},
	CodeInvitationExpired: {
		status: 400, retry: retryNo, meaning: "the invitation is too old", action: "send a new invitation",
	},
	CodeDeviceCodeExpired: {
		status: 400, retry: retryNo, meaning: "the device code is too old", action: "start the device flow again",
	},
	CodeDeviceCodePending: {
		status: 400, retry: retryPoll, meaning: "the user has not approved the device yet (or denied it, or the code was used)",
		action: "poll again after the interval, until the code expires",
	},
	CodeProviderAccountConflict: {
		status: 400, retry: retryNo, meaning: "the provider's account belongs to another user", action: "unlink it there, or use another account",
	},
	CodeProviderScopeConsentRequired: {
		status: 400, retry: retryNo, meaning: "the user has not granted the scopes at the provider", action: "send the user to the reauth URL",
	},
	CodeProviderLinkRequired: {
		status: 400, retry: retryNo, meaning: "the user has no account of this provider linked", action: "send the user to the reauth URL",
	},
	CodeProviderGrantRequired: {
		status: 400, retry: retryNo, meaning: "the user has not allowed this service to use the provider's token", action: "send the user to the reauth URL",
	},
	CodeProviderReauthRequired: {
		status: 400, retry: retryNo, meaning: "the provider's token is dead", action: "send the user to the reauth URL",
	},
	CodeOAuthInvalidRequest: {
		status: 400, retry: retryNo, meaning: "an OAuth request that lacks a parameter or has a wrong one", action: "correct the request",
		parents: []Code{CodeBadRequest},
	},
	CodeOAuthInvalidGrant: {
		status: 400, retry: retryNo, meaning: "an OAuth code or token that is wrong, used or expired", action: "start the OAuth flow again",
	},
	CodeOAuthInvalidScope: {
		status: 400, retry: retryNo, meaning: "an OAuth scope that does not exist or is not allowed", action: "ask for allowed scopes",
	},
	CodeOAuthAuthorizationPending: {
		status: 400, retry: retryPoll, meaning: "the user has not approved the device yet", action: "poll again after the interval, until the code expires",
		sameAs: CodeDeviceCodePending,
	},
	CodeOAuthSlowDown: {
		status: 400, retry: retryPoll, meaning: "the user has not approved the device yet, and it polls too often",
		action: "poll every 5 s less often from now on", parents: []Code{CodeDeviceCodePending},
	},
	CodeOAuthExpiredToken: {
		status: 400, retry: retryNo, meaning: "the device code is too old", action: "start the device flow again", sameAs: CodeDeviceCodeExpired,
	},
	CodeOAuthAccessDenied: {
		status: 400, retry: retryNo, meaning: "the user, or the identity provider, has refused the sign-in", action: "start again if the user wants to",
		parents: []Code{CodeAuthorizationError},
	},

	// 401
	CodeAuthenticationError: {
		status: 401, retry: retryRenew, meaning: "authentication failed", action: "sign in again, or check the API key",
	},
	CodeUnauthorized: {
		status: 401, retry: retryRenew, meaning: "no valid credential (missing, wrong, revoked, or ended with its session)",
		action: "sign in again, or check the API key", parents: []Code{CodeAuthenticationError},
	},
	CodeTokenExpired: {
		status: 401, retry: retryRenew, meaning: "the access token has expired", action: "sign in again if the refresh failed too",
		parents: []Code{CodeAuthenticationError},
	},
	CodeExpiredToken: {
		status: 401, retry: retryRenew, meaning: "the access token has expired", action: "sign in again if the refresh failed too",
		sameAs: CodeTokenExpired,
	},
	CodeJWTError: {
		status: 401, retry: retryRenew, meaning: "the access token is malformed, wrongly signed, or expired more than a minute ago",
		action: "sign in again if the refresh failed too", parents: []Code{CodeInvalidToken},
	},
	CodeMissingToken: {
		status: 401, retry: retryRenew, meaning: "no token was sent", action: "configure a credential", parents: []Code{CodeUnauthorized},
	},
	CodeInvalidToken: {
		status: 401, retry: retryRenew, meaning: "the token is malformed or not valid", action: "sign in again if the refresh failed too",
		parents: []Code{CodeAuthenticationError},
	},
	CodeRevokedToken: {
		status: 401, retry: retryRenew, meaning: "the token was revoked", action: "sign in again if the refresh failed too",
		parents: []Code{CodeAuthenticationError},
	},
	CodeOAuthInvalidClient: {
		status: 401, retry: retryNo, meaning: "the OAuth client's id or secret is wrong", action: "check the client's credentials",
		parents: []Code{CodeAuthenticationError},
	},

	// 403
	CodeAuthorizationError: {
		status: 403, retry: retryNo, meaning: "the credential does not allow this", action: "ask for the permission",
	},
	CodeForbidden: {
		status: 403, retry: retryNo, meaning: "a valid credential without the right, role or membership", action: "ask for the permission, or use another account",
		parents: []Code{CodeAuthorizationError},
	},
	CodeInsufficientPermissions: {
		status: 403, retry: retryNo, meaning: "a permission is missing; the details may name it", action: "ask for the permission", parents: []Code{CodeForbidden},
	},
	CodeResourceForbidden: {
		status: 403, retry: retryNo, meaning: "this resource is not for this credential", action: "ask for access", parents: []Code{CodeForbidden},
	},
	CodeOrganizationNotActive: {
		status: 403, retry: retryNo, meaning: "the organization is pending, suspended or rejected", action: "ask the platform's administrator to activate it",
		parents: []Code{CodeAuthorizationError},
	},
	CodeFeatureNotAvailableInTier: {
		status: 403, retry: retryNo, meaning: "the organization's tier does not include the feature", action: "upgrade the tier",
		parents: []Code{CodeAuthorizationError},
	},

	// 404 to 422
	CodeNotFound: {
		status: 404, retry: retryNo, meaning: "no such resource, or not visible to this credential", action: "check the id or slug",
	},
	CodeResourceNotFound: {
		status: 404, retry: retryNo, meaning: "no such resource, or not visible to this credential", action: "check the id or slug", sameAs: CodeNotFound,
	},
	CodeRouteNotFound: {
		status: 404, retry: retryNo, meaning: "no such route (a 404 without a body)", action: "check the base URL and the server's version", parents: []Code{CodeNotFound},
	},
	CodeMethodNotAllowed: {
		status: 405, retry: retryNo, meaning: "the route exists, not with this method", action: "check the method and the server's version",
	},
	CodeRequestTimeout: {
		status: 408, retry: retryReads, meaning: "the server gave up after its own time limit; the work may still be done", action: "read back before repeating a change",
	},
	CodeConflictError: {
		status: 409, retry: retryNo, meaning: "the request clashes with what is there", action: "read the current state, then decide",
	},
	CodeConflict: {
		status: 409, retry: retryNo, meaning: "the request clashes with what is there", action: "read the current state, then decide", sameAs: CodeConflictError,
	},
	CodeResourceAlreadyExists: {
		status: 409, retry: retryNo, meaning: "something with this name, address or key is there already", action: "use what is there, or choose another value",
		parents: []Code{CodeConflictError},
	},
	CodeConcurrentModification: {
		status: 409, retry: retryNo, meaning: "someone else changed the resource meanwhile", action: "read it again, apply the change again",
		parents: []Code{CodeConflictError},
	},
	CodeGone: {
		status: 410, retry: retryNo, meaning: "the resource was there and is gone for good", action: "forget its id",
	},
	CodePayloadTooLarge: {
		status: 413, retry: retryNo, meaning: "the request is larger than the server takes (1 MiB by default)", action: "send less",
	},
	CodeUnsupportedMediaType: {
		status: 415, retry: retryNo, meaning: "the request's content type is not what the route takes", action: "send JSON, or a form where the route wants one",
	},

	// 429
	CodeRateLimitExceeded: {
		status: 429, retry: retryWait, meaning: "too many requests", action: "wait as long as RetryAfter says, send less",
	},
	CodeTooManyRequests: {
		status: 429, retry: "after the wait; not when none is named", meaning: "too many e-mails to one address within the hour, where no wait is named",
		action: "try again later", sameAs: CodeRateLimitExceeded,
	},

	// 5xx
	CodeInternalServerError: {
		status: 500, retry: retryReads, meaning: "an unexpected failure in the server", action: "read back before repeating a change; report the request id",
	},
	CodeDatabaseError: {
		status: 500, retry: retryReads, meaning: "the server's database failed", action: "read back before repeating a change; report it if it lasts",
	},
	CodeOAuthError: {
		status: 500, retry: retryReads, meaning: "the identity provider behind AuthOS failed", action: "check the provider's status and configuration",
	},
	CodeStripeError: {
		status: 500, retry: retryReads, meaning: "the billing provider failed", action: "check the provider's status",
	},
	CodeBillingError: {
		status: 500, retry: retryReads, meaning: "billing failed", action: "check the billing configuration and the provider's status",
	},
	CodeAuditError: {
		status: 500, retry: retryAudit, meaning: "the audit log failed; whether the change was made depends on the server's version",
		action: "read back before repeating a change; report it",
	},
	CodeIOError: {
		status: 500, retry: retryReads, meaning: "the server's files or sockets failed", action: "read back before repeating a change; report it if it lasts",
	},
	CodeGenericError: {
		status: 500, retry: retryReads, meaning: "a failure in the server without a name", action: "read back before repeating a change; report it if it lasts",
	},
	CodeOAuthServerError: {
		status: 500, retry: retryReads, meaning: "the OAuth token endpoint failed", action: "try again later", parents: []Code{CodeInternalServerError},
	},
	CodeBadGateway: {
		status: 502, retry: retryReads, meaning: "a proxy got no good response from the server", action: "read back before repeating a change",
	},
	CodeServiceUnavailable: {
		status: 503, retry: retryHinted, meaning: "overload or maintenance (on the e-mail routes: e-mail is not configured)", action: "wait; on an e-mail route, configure e-mail",
	},
	CodeGatewayTimeout: {
		status: 504, retry: retryReads, meaning: "a proxy waited too long for the server", action: "read back before repeating a change",
	},

	// found on this side
	CodeNetworkError: {
		retry: retryUnsent, meaning: "no response arrived", action: "check the network; read back before repeating a change",
	},
	CodeTimeout: {
		retry: retryReads, meaning: "no response arrived in time", action: "allow more time; read back before repeating a change",
	},
	CodeCanceled: {
		retry: retryNo, meaning: "the caller canceled the call", action: "nothing",
	},
	CodeCircuitOpen: {
		retry: retryNo, meaning: "refused here, because the server has been failing", action: "wait until RetryAt",
	},
	CodeSessionExpired: {
		retry: retryNo, meaning: "the server refused to refresh the session", action: "sign in again",
	},
	CodeSessionUncertain: {
		retry: retryNo, meaning: "the session could not be refreshed, it may still be alive", action: "try again after RetryAt",
	},
	CodeMFARequired: {
		retry: retryNo, meaning: "the password was right, a second factor is needed", action: "ask for the code, call the second step",
	},
	CodeInvalidResponse: {
		retry: retryNo, meaning: "a good status with a body that is not what the route promises", action: "check the base URL and what is in front of the server",
	},
	CodeOutcomeUnknown: {
		retry: retryNo, meaning: "the change may or may not have been made", action: "read back before repeating",
	},
	CodeUnknownError: {
		retry: retryNo, meaning: "anything else", action: "read the error",
	},
}

// maxCode is the most bytes of a code: a longer "code" is none.
const maxCode = 128
