// Package authostest runs a fake AuthOS server in process, for tests.
//
// The fake keeps state (users, sessions, services, API keys), speaks the wire
// format of the real server with its quirks, and breaks on demand: see [Fault].
// It imports only the standard library and does not import testing, so ordinary
// programs may use it too.
//
//	srv := authostest.New()
//	defer srv.Close()
//	srv.AddUser("ada@example.com", "correct horse")
//	// point a client at srv.URL
//
// Two contracts are available. [Real], the default, is what deployed servers
// send: plain-text 422 and 429, empty 404, JWT_ERROR for an expired token.
// [Documented] is what AuthOS's error guide promises: JSON everywhere, TOKEN_EXPIRED,
// Retry-After and X-RateLimit headers, request ids.
//
// # Time
//
// Inside a testing/synctest bubble a socket would stall the fake clock, so there
// [New] opens none and [Server.Transport] is the only way in. Delays and hangs
// then cost no real time. A server that serves a bubble should be made in it,
// because its clock starts when it is made.
//
// # The scene
//
// A new server has one active organization, "acme", with one service, "app". Its
// owner is owner@acme.example, who has no password. Everybody else added with
// [Server.AddUser] or [Server.SignIn] is an owner of acme too; [Server.SetRole]
// changes that.
package authostest
