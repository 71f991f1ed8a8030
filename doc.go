// Package authos is a client of AuthOS, a multi-tenant single sign-on server.
//
//	client, err := authos.New("https://sso.example.com", authos.WithAPIKey(key))
//	user, err := client.Service.Users.Get(ctx, id)
//
// A call succeeds through an expired token, a rate limit, a broken connection or an outage, or it
// fails with one typed error that says what happened, whether the server may have acted, and what
// to do.
//
// # Layers
//
// Every call goes through five layers, outermost first; each is an [net/http.RoundTripper] around
// the next. [Client.Do] and [Client.HTTPClient] use the same ones.
//
//	stale fallback  keeps good responses and serves one, marked as stale, when all below gave up; off unless WithCache is given
//	retry           waits at the rate-limit gate, then repeats what is safe to repeat, within a budget
//	session         puts the credential on, refreshes it once when the server says it is dead
//	breaker         refuses at once what goes to a failing part of the server
//	wire            one bounded request: attempt timeout, whole body, error body parsed once
//
// # What is retried
//
// What matters is what may have happened at the server. A request that certainly did not arrive, or
// was refused unread (429, 503 with Retry-After from the API itself, 425), is repeated whatever its
// method. One that may have been applied (timeouts, resets, 408, 500, 502, 503, 504) is repeated
// only if a second time does no harm: reads, PUT, DELETE, the routes marked so, and calls with
// [WithIdempotent]. Else the error matches [ErrOutcomeUnknown]: read back before repeating. A route
// that consumes a single-use token is never sent twice. Waits are the longer of what the server
// asked for and exponential backoff with full jitter.
//
// # Errors
//
// Use [errors.Is] with a kind ([ErrNotFound], [ErrUnavailable] …) or a [Code], and [errors.As] with
// a type. Every type unwraps to the [*APIError] of this call where the server responded to it.
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
