// Package verify checks the access tokens of an AuthOS server in a backend: who is calling, for
// which tenant, and whether the token is meant for this service at all.
//
//	v, err := verify.New("https://sso.example.com", verify.Config{Audience: verify.ServiceAudience("acme", "web")})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer v.Close()
//	http.Handle("/orders", v.Middleware(orders))                    // in it: claims, _ := verify.ClaimsFrom(r.Context())
//	http.Handle("/admin", v.RequirePlatformOwner(admin))
//	http.Handle("/reports", v.RequirePermission("reports.read")(reports))
//
// # What is checked
//
// In this order: the token's form; the signature, with RS256 and a key of the server's and nothing
// else; the use, which the header's typ and the claim token_use must agree on; the issuer; that no
// claim is missing and none contradicts another; the audience; the clock. With [Config.Online] the
// server is asked last. Nothing in a token is believed before its signature is checked, and no URL
// or key in it is ever followed.
//
//   - The audience must be named. All tokens of all tenants of a server have one issuer and one set
//     of keys, so a verifier without an audience would let in every other tenant's users.
//     [AnyAudience] says so where that is wanted.
//   - The token of a sign-in whose second factor is still missing is refused, whatever the
//     configuration, and so is an assertion for the token endpoint. Both are signed with the same
//     keys and carry the same issuer as a good token.
//   - A platform owner's session in somebody else's name is refused unless
//     [Config.AllowImpersonation] is set; then [Claims.Actor] is who it really is.
//   - Tokens of servers from October 2025 until token_use came do not declare their use;
//     [Config.AllowLegacy] accepts them, with the checks that are left.
//   - Permissions are in no token, and a sign-out is in none either. [Config.Online] and
//     [Verifier.RequirePermission] ask GET /api/user with the caller's own token, and use the
//     response for a few seconds, for that token alone.
//
// # Keys
//
// The keys come from /.well-known/jwks.json through an [authos.Client], with its retries and
// circuit breaker, on first use. Callers share one fetch, and each may leave when its context ends.
// From then on a token whose key is at hand waits for nothing: keys older than an hour are
// refreshed in the background.
//
// A kid that is not known, or a signature that does not match the key known under its kid, is worth
// a fetch at once: five may follow each other, then one every 30 seconds, whoever causes them. Of a
// token that names an unknown key when no fetch may begin nobody knows whether it is good, so it
// gets [ErrKeysUnavailable] (503) with the time to come back, and never [ErrInvalidToken], which
// sends users to the sign-in. Where the server has denied that very kid before, it is
// [ErrUnknownKey]. A failed fetch is tried again after 10 seconds.
//
// While the server is down the keys at hand stay in use, for a day ([Config.KeepKeys]), counted on
// the wall clock and the monotonic one: a machine that was suspended does not trust them longer.
// With a [Config.KeyStore] they outlive the process, so that one that begins during the outage
// verifies tokens as well. [Claims.StaleKeys] says when the server has not confirmed them. A set of
// keys without one that is usable (RSA of at least 2048 bits, for signatures with RS256) counts as
// a failure and replaces nothing.
//
// # Sign-outs
//
// A token is good until it expires, 24 hours by default, whatever has become of its session. Two
// things notice a sign-out earlier. [Config.Online] asks the server, once in five seconds for each
// token. [Verifier.HandleEvent] takes AuthOS's webhook events (user.logout, user.removed,
// security.password.changed) and refuses the tokens that the user had at that time, without a
// request; [Verifier.Revoke] does so for a program that knows by itself. With both, an event makes
// the next check of that user's tokens a fresh one. Replicas share what they were told through
// [Revocations], and see it after three seconds at most.
//
// During an outage of AuthOS nobody can sign out there, and nothing arrives; what was revoked
// before stays so. Events that this program's receiver missed for more than a quarter of an hour
// are lost: the server gives up after five attempts.
//
// # Errors
//
// Every error of [Verifier.Verify] is an [*Error] with one reason. [ErrInvalidToken] means that the
// token is bad and the caller needs another one (401); [ErrUnavailable] that nothing is known
// against it but keys or server are out of reach (503).
//
//	switch claims, err := v.Verify(ctx, token); {
//	case err == nil:
//		serve(claims)
//	case errors.Is(err, verify.ErrExpired): // the caller should refresh it
//	case errors.Is(err, verify.ErrInvalidToken):
//	case errors.Is(err, verify.ErrUnavailable): // come back after RetryAfter
//	}
//
// Errors hold no part of a token. Responses of the middleware say whether a token has expired, and
// nothing more; the reason is for the operator's log ([Config.OnError]).
//
// # Testing
//
// Package authostest is a fake AuthOS that issues tokens of every kind and rotates its keys;
// [WithClaims] tests a handler without any.
package verify
