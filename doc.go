// Package authos is a client of AuthOS, a multi-tenant single sign-on server.
//
//	client, err := authos.New("https://sso.example.com", authos.WithAPIKey(key))
//	user, err := client.Service.Users.Get(ctx, id)
//
// A call succeeds through an expired token, a rate limit, a broken connection or an outage, or it
// fails with one typed error that says what happened, whether the server may have acted, and what
// to do.
//
// # Start here
//
// Make one [Client] with [New] and keep it; [Client.With] gives a client for another user on the
// same connections, [Client.Close] ends it.
//
//   - Credentials: [WithAPIKey] for a backend; [WithTokens], or [WithTokenStore] with a
//     [TokenStore], for a user; [AuthService.Login], [AuthService.DeviceLogin] and
//     [AuthService.LoginURL] get tokens.
//   - Policies: [WithRetry] with a [RetryPolicy], [WithBreaker] with a [BreakerPolicy],
//     [WithCache] with a [CachePolicy]; their zero values are the defaults.
//   - One call: [WithResponse] for a [Response] that says what it took, [WithIdempotent],
//     [WithoutRetry], [WithHeader].
//   - Errors: kinds such as [ErrNotFound], [ErrUnavailable] and [ErrOutcomeUnknown] with
//     [errors.Is]; types such as [*APIError], [*RateLimitError] and [*SessionError] with
//     [errors.As]; [Retryable]; [UserMessage] for the end user.
//   - What happens inside: [WithLogger], [WithObserver] with an [Observer].
//   - Any other route: [Client.Do]. Any other code: [Client.HTTPClient].
//
// # Services
//
// Every service by the way a program reaches it:
//
//   - client.Auth: [AuthService]
//   - client.User: [UserService], with .Devices [DevicesService] and .MFA [UserMFAService]
//   - client.Invitations: [UserInvitationsService]
//   - client.Organizations: [OrganizationsService], with .Members [MembersService], .Roles
//     [RolesService], .Invitations [InvitationsService], .Services [ServicesService], .Plans
//     [PlansService], .APIKeys [APIKeysService], .OAuthCredentials [OAuthCredentialsService],
//     .EndUsers [EndUsersService], .Webhooks [WebhooksService], .AuditLog [AuditLogService],
//     .Analytics [AnalyticsService], .SMTP [SMTPService], .Branding [BrandingService], .Domain
//     [DomainService] and .Risk [RiskService]
//   - client.Service: [ServiceAPI], with .Users [ServiceUsersService] and .Subscriptions
//     [ServiceSubscriptionsService]
//   - client.Platform: [PlatformService], with .Organizations [PlatformOrganizationsService],
//     .Owners [PlatformOwnersService], .Users [PlatformUsersService], .AuditLog
//     [PlatformAuditLogService], .Analytics [PlatformAnalyticsService] and .MFA
//     [PlatformMFAService]
//   - client.Server: [ServerService]
//
// # Layers
//
// Every call goes through six layers, outermost first; each is an [net/http.RoundTripper] around
// the next. [Client.Do] and [Client.HTTPClient] use the same ones.
//
//	cacheLayer    keeps good GET responses; serves one, marked as stale, when all below gave up
//	retryLayer    repeats what is safe to repeat, within a budget
//	gateLayer     waits while the server has asked the calls of one rate limiter to
//	sessionLayer  puts the token on, refreshes it once when the server says it is dead
//	breakerLayer  refuses at once what goes to a failing part of the server
//	wireLayer     one bounded request: attempt timeout, whole body, error body parsed once
//
// The cache layer is off unless [WithCache] is given.
//
// # What is retried
//
// What matters is what may have happened at the server. A request that certainly did not arrive, or
// was refused unread (429, 503 with a wait from the API itself, 425), is repeated whatever its
// method. One that may have been applied (timeouts, resets, 408, 500, 502, 503, 504) is repeated
// only if a second time does no harm: reads, PUT, DELETE, the routes marked so, and calls with
// [WithIdempotent]. Else the error matches [ErrOutcomeUnknown]: read back before repeating. A route
// that consumes a single-use token is never sent twice. Waits are the longer of what the server
// asked for and exponential backoff with full jitter.
//
// # Errors
//
// Use [errors.Is] with a kind or a [Code], and [errors.As] with a type. Every type unwraps to the
// [*APIError] of this call where the server responded to it.
//
//	switch e, ok := errors.AsType[*authos.RateLimitError](err); {
//	case ok:
//		log.Print("come back in ", e.RetryAfter)
//	case errors.Is(err, authos.ErrOutcomeUnknown):
//		// the server may have acted: read back
//	case errors.Is(err, authos.CodeOrganizationNotActive):
//		// …
//	}
//
// # Secrets
//
// Credentials go to the base URL's own origin and nowhere else. Tokens, keys and [Secret] values
// print redacted in every format verb and in log/slog, and no error or log record holds a query
// string or a body.
package authos
