package authos_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// webContracts runs a test against a fake AuthOS of each contract.
func webContracts(t *testing.T, servers map[string][]authostest.Option, test func(t *testing.T, srv *authostest.Server, isReal bool)) {
	for name, opts := range servers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := authostest.New(opts...)
				defer srv.Close()
				test(t, srv, !strings.HasPrefix(name, "documented"))
			})
		})
	}
}

// webWant compares an error with the status, code, kind and route it should have.
func webWant(t *testing.T, err error, status int, code authos.Code, kind error, route string) {
	t.Helper()
	api, ok := errors.AsType[*authos.APIError](err)
	if !ok {
		t.Errorf("got %v, want an *APIError with %d %s", err, status, code)
		return
	}
	method, path, _ := strings.Cut(route, " ")
	if api.StatusCode != status || !errors.Is(err, code) || !errors.Is(err, kind) || api.Method != method || api.Path != path {
		t.Errorf("got %v (%d %s, %s %s), want %d %s, %v, %s", err, api.StatusCode, api.Code, api.Method, api.Path, status, code, kind, route)
	}
	if errors.Is(err, authos.ErrOutcomeUnknown) {
		t.Errorf("%v is of unknown outcome", err)
	}
}

func TestServiceUsers(t *testing.T) {
	const one, list = "/api/service/users/:user_id", "/api/service/users"
	webContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server, isReal bool) {
		ctx := t.Context()
		c := newClient(t, srv.URL, srv.Transport(), authos.WithAPIKey(srv.AddAPIKey()))
		users := c.Service.Users

		var resp authos.Response
		made, err := users.Create(ctx, authos.ServiceUserCreateParams{Email: "ada@example.com"}, authos.WithResponse(&resp))
		if err != nil || made.ID == "" || made.Email != "ada@example.com" || resp.StatusCode != 201 {
			t.Fatalf("Create = %+v, %v, status %d", made, err, resp.StatusCode)
		}
		if !made.CreatedAt.Equal(time.Now()) || made.CreatedAt.Location() != time.UTC {
			t.Errorf("CreatedAt = %v, want %v", made.CreatedAt, time.Now())
		}
		again, err := users.Create(ctx, authos.ServiceUserCreateParams{Email: "ada@example.com"}, authos.WithResponse(&resp))
		if err != nil || *again != *made || resp.StatusCode != 200 {
			t.Errorf("Create again = %+v, %v, status %d; want the same user", again, err, resp.StatusCode)
		}
		got, err := users.Get(ctx, made.ID)
		if err != nil || *got != *made {
			t.Errorf("Get = %+v, %v, want %+v", got, err, made)
		}
		for i := range 4 {
			srv.AddServiceUser(fmt.Sprintf("u%d@example.com", i))
		}
		page, err := users.List(ctx, authos.ServiceUserListParams{Limit: 2, Offset: 1})
		if err != nil || len(page.Items) != 2 || page.Total != 5 || page.Items[0].Email != "u0@example.com" {
			t.Errorf("List = %+v, %v", page, err)
		}
		if page, err := users.List(ctx, authos.ServiceUserListParams{}); err != nil || len(page.Items) != 5 {
			t.Errorf("List of all = %+v, %v", page, err)
		}
		if page, err := users.List(ctx, authos.ServiceUserListParams{Offset: 5}); err != nil || page.Items == nil || len(page.Items) != 0 {
			t.Errorf("List beyond the end = %+v, %v; want an empty page", page, err)
		}
		if same, err := users.Update(ctx, made.ID, authos.ServiceUserUpdateParams{}); err != nil || *same != *made {
			t.Errorf("Update of nothing = %+v, %v", same, err)
		}
		changed, err := users.Update(ctx, made.ID, authos.ServiceUserUpdateParams{Email: new("lovelace@example.com")})
		if isReal {
			webWant(t, err, 403, authos.CodeForbidden, authos.ErrForbidden, "PATCH "+one)
		} else if err != nil || changed.Email != "lovelace@example.com" || changed.ID != made.ID {
			t.Errorf("Update = %+v, %v", changed, err)
		}
		if err := users.Delete(ctx, made.ID, authos.WithResponse(&resp)); err != nil || resp.StatusCode != 204 {
			t.Errorf("Delete = %v, status %d", err, resp.StatusCode)
		}

		webWant(t, users.Delete(ctx, made.ID), 404, authos.CodeNotFound, authos.ErrNotFound, "DELETE "+one)
		_, err = users.Get(ctx, made.ID)
		webWant(t, err, 404, authos.CodeNotFound, authos.ErrNotFound, "GET "+one)
		_, err = users.Get(ctx, "a b ?#%25") // one segment, whatever it holds
		webWant(t, err, 404, authos.CodeNotFound, authos.ErrNotFound, "GET "+one)
		_, err = users.Update(ctx, made.ID, authos.ServiceUserUpdateParams{})
		webWant(t, err, 404, authos.CodeNotFound, authos.ErrNotFound, "PATCH "+one)

		weak, _ := c.With(authos.WithAPIKey(srv.AddAPIKey("read:analytics")))
		strange, _ := c.With(authos.WithAPIKey("sk_" + strings.Repeat("0", 12) + "_" + strings.Repeat("0", 64)))
		for who, client := range map[string]*authos.Client{"weak": weak, "strange": strange} {
			status, code, kind := 403, authos.CodeForbidden, authos.ErrForbidden
			if who == "strange" {
				status, code, kind = 401, authos.CodeUnauthorized, authos.ErrUnauthenticated
			}
			_, err := client.Service.Users.List(ctx, authos.ServiceUserListParams{})
			webWant(t, err, status, code, kind, "GET "+list)
			_, err = client.Service.Users.Get(ctx, "x")
			webWant(t, err, status, code, kind, "GET "+one)
			_, err = client.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: "a@b.example"})
			webWant(t, err, status, code, kind, "POST "+list)
			_, err = client.Service.Users.Update(ctx, "x", authos.ServiceUserUpdateParams{})
			webWant(t, err, status, code, kind, "PATCH "+one)
			webWant(t, client.Service.Users.Delete(ctx, "x"), status, code, kind, "DELETE "+one)
			_, err = client.Service.Info(ctx)
			webWant(t, err, status, code, kind, "GET "+infoPath)
		}
		if applied := srv.Applied()["POST /api/service/users"]; applied != 1 {
			t.Errorf("%d users made, want 1", applied)
		}
		srv.SuspendOrg("acme")
		_, err = c.Service.Info(ctx)
		if isReal { // it calls the key itself bad
			webWant(t, err, 401, authos.CodeUnauthorized, authos.ErrUnauthenticated, "GET "+infoPath)
		} else if !errors.Is(err, authos.ErrForbidden) && !errors.Is(err, authos.ErrUnauthenticated) {
			t.Errorf("suspended organization: %v", err)
		}
	})
}

// A DELETE whose response was lost finds 404 when it is repeated: that is success.
func TestServiceUserDeleteRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New()
		defer srv.Close()
		c := newClient(t, srv.URL, srv.Transport(), authos.WithAPIKey(srv.AddAPIKey()))
		id := srv.AddServiceUser("ada@example.com").ID
		srv.Fault(authostest.Fault{Method: "DELETE", Times: 1, Kind: authostest.ResetAfter})
		var resp authos.Response
		if err := c.Service.Users.Delete(t.Context(), id, authos.WithResponse(&resp)); err != nil || resp.Attempts != 2 {
			t.Errorf("Delete = %v after %d attempts", err, resp.Attempts)
		}
		if n := srv.Applied()["DELETE /api/service/users/"+id]; n != 1 {
			t.Errorf("applied %d times", n)
		}
		srv.Fault(authostest.Fault{Method: "POST", Times: 1, Kind: authostest.ResetAfter})
		if _, err := c.Service.Users.Create(t.Context(), authos.ServiceUserCreateParams{Email: "new@example.com"}, authos.WithResponse(&resp)); err != nil || resp.StatusCode != 200 {
			t.Errorf("Create whose first response was lost = %v, status %d; it goes by e-mail, so it is repeated", err, resp.StatusCode)
		}
	})
}

func TestServiceInfoAndUser(t *testing.T) {
	webContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server, isReal bool) {
		ctx := t.Context()
		ada := srv.AddUser("ada@example.com", "pw")
		srv.AddUser("bob@example.com", "pw")
		in := srv.SignIn("ada@example.com")
		c := newClient(t, srv.URL, srv.Transport(), authos.WithAPIKey(srv.AddAPIKey()), authos.WithTokens(authos.Tokens{AccessToken: in.AccessToken}))

		info, err := c.Service.Info(ctx)
		if err != nil || info.ID == "" || info.Slug != "app" || info.Name != "App" || info.ServiceType != "web" || info.CreatedAt.IsZero() {
			t.Errorf("Info = %+v, %v", info, err)
		}
		u, err := c.User.Get(ctx)
		if err != nil || u.ID != ada.ID || u.Email != "ada@example.com" || u.OrgSlug != "acme" || u.ServiceSlug != "app" || isOwner(*u) ||
			u.EmailVerifiedAt.IsZero() || u.CreatedAt.IsZero() || !slices.Contains(u.Permissions, "org.members.view") || u.PlanName != "" || u.Features != nil {
			t.Errorf("User.Get = %+v, %v", u, err)
		}
		u, err = c.User.Update(ctx, authos.UserUpdateParams{Email: new("lovelace@example.com")})
		if err != nil || u.ID != ada.ID || u.Email != "lovelace@example.com" {
			t.Errorf("User.Update = %+v, %v", u, err)
		}
		if u, err := c.User.Update(ctx, authos.UserUpdateParams{}); err != nil || u.Email != "lovelace@example.com" {
			t.Errorf("User.Update of nothing = %+v, %v", u, err)
		}
		_, err = c.User.Update(ctx, authos.UserUpdateParams{Email: new("bob@example.com")})
		if isReal {
			webWant(t, err, 400, authos.CodeBadRequest, authos.ErrInvalid, "PATCH /api/user")
		} else {
			webWant(t, err, 409, "CONFLICT", authos.ErrConflict, "PATCH /api/user")
		}
		srv.ExpireAccessTokens()
		_, err = c.User.Get(ctx) // without a refresh token the 401 is the caller's
		code := authos.CodeTokenExpired
		if isReal {
			code = authos.CodeJWTError
		}
		webWant(t, err, 401, code, authos.ErrUnauthenticated, "GET /api/user")
		_, err = c.User.Update(ctx, authos.UserUpdateParams{})
		webWant(t, err, 401, code, authos.ErrUnauthenticated, "PATCH /api/user")
		nobody := newClient(t, srv.URL, srv.Transport())
		_, err = nobody.User.Get(ctx)
		webWant(t, err, 401, authos.CodeUnauthorized, authos.ErrUnauthenticated, "GET /api/user")
		_, err = nobody.Service.Info(ctx)
		webWant(t, err, 401, authos.CodeUnauthorized, authos.ErrUnauthenticated, "GET "+infoPath)
	})
}

// Bad input is found before anything is sent, all of it at once.
func TestServiceValidation(t *testing.T) {
	c, web := keyClient(t)
	ctx := t.Context()
	two := func(_ any, err error) error { return err }
	list := func(limit, offset int) error {
		return two(c.Service.Users.List(ctx, authos.ServiceUserListParams{Limit: limit, Offset: offset}))
	}
	create := func(email string) error {
		return two(c.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: email}))
	}
	update := func(id, email string) error {
		return two(c.Service.Users.Update(ctx, id, authos.ServiceUserUpdateParams{Email: &email}))
	}
	required, format, bounds := authos.CodeRequired, authos.CodeInvalidFormat, authos.CodeOutOfRange
	type want = map[string]authos.Code
	for i, tt := range []struct {
		err  error
		want want
	}{
		{list(-1, 0), want{"limit": bounds}},
		{list(101, -1), want{"limit": bounds, "offset": bounds}},
		{create(""), want{"email": required}},
		{create(" "), want{"email": required}},
		{create("ada"), want{"email": format}},
		{create("Ada <ada@example.com>"), want{"email": format}},
		{create("a@b\r\nX: y"), want{"email": format}},
		{update("", "ada"), want{"user_id": required, "email": format}},
		{update("..", "ada@example.com"), want{"user_id": format}},
		{update("u1", ""), want{"email": required}},
		{two(c.Service.Users.Get(ctx, "")), want{"user_id": required}},
		{two(c.Service.Users.Get(ctx, ".")), want{"user_id": format}},
		{two(c.Service.Users.Get(ctx, "a\nb")), want{"user_id": format}},
		{c.Service.Users.Delete(ctx, "\t"), want{"user_id": required}},
		{two(c.User.Update(ctx, authos.UserUpdateParams{Email: new("ada")})), want{"email": format}},
	} {
		e, ok := errors.AsType[*authos.ValidationError](tt.err)
		if !ok {
			t.Errorf("%d: got %v, want a *ValidationError", i, tt.err)
			continue
		}
		got := want{}
		for _, f := range e.Fields {
			got[f.Field] = f.Code
			if f.Message == "" || !errors.Is(tt.err, f.Code) {
				t.Errorf("%d: %+v", i, f)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) || len(e.Fields) != len(tt.want) || e.API != nil || !errors.Is(tt.err, authos.ErrInvalid) {
			t.Errorf("%d: fields %v, API %v; want %v", i, got, e.API, tt.want)
		}
	}
	if web.count() != 0 {
		t.Errorf("%d requests were sent", web.count())
	}
}

func TestServiceTimestamps(t *testing.T) {
	want := time.Date(2025, 1, 15, 10, 30, 0, 123456000, time.UTC)
	for text, want := range map[string]time.Time{
		`"2025-01-15T10:30:00.123456Z"`:      want,
		`"2025-01-15T10:30:00.123456+00:00"`: want,
		`"2025-01-15T12:30:00.123456+02:00"`: want,
		`"2025-01-15T10:30:00.123456"`:       want,
		`"2025-01-15 10:30:00.123456"`:       want,
		`"2025-01-15T10:30:00Z"`:             want.Truncate(time.Second),
		`"2025-01-15 10:30:00"`:              want.Truncate(time.Second),
		`null`:                               {},
		`""`:                                 {},
		`"N/A"`:                              {},
	} {
		c, web := keyClient(t, authos.WithTokens(authos.Tokens{AccessToken: "a"}))
		web.play(say(200, `{"id":"x","email_verified_at":`+text+`,"created_at":`+text+`}`))
		info, err := c.Service.Info(t.Context())
		if err != nil || !info.CreatedAt.Equal(want) {
			t.Errorf("Info with %s: %v, %v, want %v", text, info, err, want)
		}
		su, err := c.Service.Users.Get(t.Context(), "x")
		if err != nil || !su.CreatedAt.Equal(want) {
			t.Errorf("Users.Get with %s: %v, %v", text, su, err)
		}
		u, err := c.User.Get(t.Context())
		if err != nil || !u.CreatedAt.Equal(want) || !u.EmailVerifiedAt.Equal(want) {
			t.Errorf("User.Get with %s: %v, %v", text, u, err)
		}
	}
}

func TestServiceDecodeErrors(t *testing.T) {
	bodies := map[string]string{
		"HTML": pageBody, "truncated": `{"id":"s1","na`, "wrong type": `{"id":{}}`, "text": "OK", "array": "[]", "number": "1",
		"no id": `{"email":"a@b.example"}`, "empty id": `{"id":""}`, "null": "null", "empty": "", "blank": " \n", "bad time": `{"id":"x","created_at":"yesterday"}`,
		"two values": `{"id":"x"}{"id":"y"}`,
	}
	lists := map[string]string{
		"HTML": pageBody, "truncated": `{"users":[{"id":"x"}`, "no users": `{"total":1}`, "null users": `{"users":null,"total":0}`, "null": "null",
		"empty": "", "array": "[]", "wrong type": `{"users":{}}`, "a user without id": `{"users":[{"id":"x"},{"email":"y"}],"total":2}`, "total as text": `{"users":[],"total":"0"}`,
	}
	check := func(name, route, body string, err error) {
		t.Helper()
		e, ok := errors.AsType[*authos.DecodeError](err)
		if !ok {
			t.Errorf("%s, %s: got %v, want a *DecodeError", route, name, err)
			return
		}
		method, path, _ := strings.Cut(route, " ")
		if e.Method != method || e.Path != path || e.StatusCode != 200 || string(e.Body) != body || e.RequestID == "" {
			t.Errorf("%s, %s: %+v", route, name, e)
		}
		if body != "" && len(body) > 3 && strings.Contains(e.Error(), body) {
			t.Errorf("%s, %s: the body is in %q", route, name, e.Error())
		}
		if _, ok := errors.AsType[*authos.APIError](err); ok || authos.Retryable(err) {
			t.Errorf("%s, %s: %v is a response with an error, or retryable", route, name, err)
		}
	}
	for name, body := range bodies {
		c, web := keyClient(t, authos.WithTokens(authos.Tokens{AccessToken: "a"}))
		web.play(say(200, body))
		ctx := t.Context()
		_, err := c.Service.Info(ctx)
		check(name, "GET "+infoPath, body, err)
		_, err = c.Service.Users.Get(ctx, "x")
		check(name, "GET /api/service/users/:user_id", body, err)
		_, err = c.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: "a@b.example"})
		check(name, "POST /api/service/users", body, err)
		_, err = c.Service.Users.Update(ctx, "x", authos.ServiceUserUpdateParams{})
		check(name, "PATCH /api/service/users/:user_id", body, err)
		_, err = c.User.Get(ctx)
		check(name, "GET /api/user", body, err)
		_, err = c.User.Update(ctx, authos.UserUpdateParams{})
		check(name, "PATCH /api/user", body, err)
		if web.count() != 6 {
			t.Errorf("%s: %d requests for six calls: a success must not be repeated", name, web.count())
		}
		err = c.Service.Users.Delete(ctx, "x")
		if _, refused := errors.AsType[*authos.DecodeError](err); refused != strings.HasPrefix(body, "<") {
			t.Errorf("Delete responded with %s: %v; it promises no body, but a page is not its response", name, err)
		}
	}
	for name, body := range lists {
		c, web := keyClient(t)
		web.play(say(200, body))
		_, err := c.Service.Users.List(t.Context(), authos.ServiceUserListParams{})
		check(name, "GET /api/service/users", body, err)
	}
}

// What a typed method sends, to the byte.
func TestServiceRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := authostest.New()
		defer srv.Close()
		key := srv.AddAPIKey()
		id := srv.AddServiceUser("ada@example.com").ID
		c := newClient(t, srv.URL, srv.Transport(), authos.WithAPIKey(key), authos.WithTokens(authos.Tokens{AccessToken: "never-here"}))
		ctx := t.Context()
		_, _ = c.Service.Info(ctx)
		_, _ = c.Service.Users.List(ctx, authos.ServiceUserListParams{})
		_, _ = c.Service.Users.List(ctx, authos.ServiceUserListParams{Limit: 100, Offset: 7})
		_, _ = c.Service.Users.Get(ctx, id)
		_, _ = c.Service.Users.Create(ctx, authos.ServiceUserCreateParams{Email: "b@example.com"})
		_, _ = c.Service.Users.Update(ctx, id, authos.ServiceUserUpdateParams{})
		_, _ = c.Service.Users.Update(ctx, id, authos.ServiceUserUpdateParams{Email: new("c@example.com")})
		_ = c.Service.Users.Delete(ctx, id)
		want := []string{
			"GET /api/service/info", "GET /api/service/users", "GET /api/service/users?limit=100&offset=7", "GET /api/service/users/" + id,
			`POST /api/service/users {"email":"b@example.com"}`, "PATCH /api/service/users/" + id + " {}",
			"PATCH /api/service/users/" + id + ` {"email":"c@example.com"}`, "DELETE /api/service/users/" + id,
		}
		var got []string
		for _, r := range srv.Requests() {
			line := r.Method + " " + r.Path
			if r.RawQuery != "" {
				line += "?" + r.RawQuery
			}
			if len(r.Body) > 0 {
				line += " " + string(r.Body)
				if !json.Valid(r.Body) || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s: Content-Type %q", line, r.Header.Get("Content-Type"))
				}
			}
			got = append(got, line)
			if r.Header.Get("X-Api-Key") != key || r.Header.Get("Authorization") != "" || r.Header.Get("X-Request-Id") == "" || r.Header.Get("Accept") != "application/json" {
				t.Errorf("%s: headers %v", line, r.Header)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("sent\n%q, want\n%q", got, want)
		}
	})
}

// A Response that is used again does not keep what an earlier call has learned when nothing is
// sent.
func TestResponseOfRefusedInput(t *testing.T) {
	c, web := keyClient(t)
	web.play(say(200, `{"id":"1","email":"a@b.example","created_at":"2026-01-01T00:00:00Z"}`))
	var r authos.Response
	if _, err := c.Service.Users.Get(t.Context(), "1", authos.WithResponse(&r)); err != nil || r.Attempts != 1 {
		t.Fatalf("Get = %v after %d attempts, want success after 1", err, r.Attempts)
	}
	if _, err := c.Service.Users.Get(t.Context(), "", authos.WithResponse(&r)); err == nil || r.Attempts != 0 || r.StatusCode != 0 {
		t.Errorf("Get(no id) = %v with %d attempts and status %d, want an error, 0 and 0", err, r.Attempts, r.StatusCode)
	}
}

// The guide's own integration test: a key that may only read is refused when it writes.
func TestReadOnlyKeyIsForbiddenToWrite(t *testing.T) {
	webContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server, _ bool) {
		c := newClient(t, srv.URL, srv.Transport(), authos.WithAPIKey(srv.AddAPIKey("read:users")))
		_, err := c.Service.Users.Create(t.Context(), authos.ServiceUserCreateParams{Email: "test@example.com"})
		api, _ := errors.AsType[*authos.APIError](err)
		if api == nil || api.StatusCode != 403 || !errors.Is(err, authos.ErrForbidden) || !errors.Is(err, authos.CodeForbidden) {
			t.Errorf("Create with a read-only key = %v, want 403 FORBIDDEN", err)
		}
		if n := srv.Count("POST", ""); n != 1 || len(srv.Applied()) != 0 {
			t.Errorf("%d requests, applied %v, want 1 and nothing", n, srv.Applied())
		}
		if _, err := c.Service.Users.List(t.Context(), authos.ServiceUserListParams{}); err != nil {
			t.Errorf("List = %v, want success", err)
		}
	})
}
