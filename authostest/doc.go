// Package authostest runs a fake AuthOS server in process, for tests.
//
// The fake keeps state (users, sessions, organizations, services, API keys, webhooks
// and all the rest of the API), speaks the wire format of the real server with its
// quirks, and breaks on demand. It does not import testing, so ordinary programs
// may use it too.
//
//	srv := authostest.New()
//	defer srv.Close()
//	srv.AddUser("ada@example.com", "correct horse")
//	// point a client at srv.URL
//
// # The scene
//
// A new server has one active organization, "acme", with one service, "app", whose
// client id is "acme_app". Its owner is owner@acme.example, who has no password.
// Everybody else added with [Server.AddUser] or [Server.SignIn] is an owner of acme
// too; [Server.SetRole] changes that. Further helpers add in a line what a test
// needs: [Server.AddOrganization], [Server.AddMember], [Server.AddService],
// [Server.AddAPIKey], [Server.AddPlan], [Server.AddSubscription],
// [Server.AddWebhook], [Server.AddPlatformOwner] and others.
//
// What happens outside the API has helpers as well: [Server.ApproveDevice] is the
// user at the activation page, [Server.MailFor] is the mailbox of a server that
// [WithMail] has given one, [Server.RequireMFA] is an enrolled phone whose code is
// always "123456", and a sign-in through GitHub ends by sending the state of the
// redirect to the callback with the e-mail address of who signs in as the code.
//
// # Contracts
//
// Three contracts are available. [Newest], the default, is what deployed servers send:
// plain-text 403, 422 and 429, empty 404, JWT_ERROR for an expired token, four formats
// of time. [October2025] is what a server of that month sends, whose routes are fewer
// and whose rules for logout, refresh, invitations and duplicates were others.
// [Documented] is what AuthOS's error guide promises: JSON everywhere, TOKEN_EXPIRED,
// Retry-After and X-RateLimit headers, request ids; [WithErrorFormat] dresses its errors
// differently. The OAuth token endpoint, SCIM and /metrics keep to their own standards
// under all of them.
//
// # Faults
//
// [Server.Fault] makes requests go wrong by route, count, chance or time: responses of a
// proxy ([ProxyPage]), delays and drawn latencies, hangs, resets before or after the
// request took effect, cut and slow bodies and heads, bodies left unread, and over HTTP/2
// ([WithTLS]) GOAWAY frames, codes of streams and silence. [Server.Outage] is all of it
// going down; [Server.CutConnections] and [Server.DoomConnections] are connections that
// die. Other trouble is part of the scene: [Server.ExpireAccessTokens],
// [Server.RevokeSessions], [Server.SuspendOrg], [Server.RotateKeys], [WithClockSkew],
// [WithLimiters].
//
// Afterwards, [Server.Requests] tells what was seen, [Server.Applied] which mutations
// took effect and how often, and [Server.Replays] whether a client presented a refresh
// token twice, which costs its user the session.
//
// # Runs that repeat
//
// Two servers share neither keys nor issuer nor ids. [WithSeed] makes everything that is
// drawn the same in each run. [Server.Dump] writes the state down and [Server.Load] puts
// it back; [Server.Mark] and [Server.Rewind] do that within a test.
//
// # Time
//
// Inside a testing/synctest bubble a socket would stall the fake clock, so there
// [New] opens none, and [Server.Client], [Server.HTTPClient] and [Server.Transport] are
// the only ways in: a client made without one of them fails with "connection refused",
// and [Server.Close] logs why. Delays and hangs then cost no real time, and tokens expire
// by sleeping:
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := authostest.New()
//		defer srv.Close()
//		client := srv.Client()
//		session := srv.SignIn("ada@example.com")
//		time.Sleep(25 * time.Hour) // the access token is dead, the refresh token is not
//		…
//	})
//
// A server that serves a bubble should be made in it, because its clock starts when
// it is made. Outside of bubbles [Server.Advance] and [Server.Freeze] move the server's
// clock alone.
//
// # Stores
//
// [TestTokenStore] and [TestCacheStore] check implementations of the client's
// interfaces that keep tokens and responses somewhere else.
//
// # As a process
//
// The command in cmd/fakeauthos serves a scene on a port, for clients in any language:
// with a file that sets the scene ([Scene]), pages for a browser ([WithPages]), and a
// control API ([WithControl]) that does over HTTP what the methods of [Server] do.
package authostest
