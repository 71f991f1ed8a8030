package authos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// TestPlatformUsers makes an owner of a user and back, and meets every refusal on the way.
func TestPlatformUsers(t *testing.T) {
	for contract, opts := range newerContracts {
		t.Run(contract, func(t *testing.T) {
			w := newTypedWorld(t, opts...)
			platformMember(w)
			ctx, p := t.Context(), w.Client(asPlatform).Platform
			root, err := p.Users.Search(ctx, authos.UserSearchParams{Query: asPlatform})
			if err != nil || len(root) != 1 || root[0].Email != asPlatform || !isOwner(root[0]) {
				t.Fatalf("search: %+v, %v", root, err)
			}
			invalid := func(what string, err error) {
				t.Helper()
				platformRefused(t, what, err, http.StatusBadRequest, authos.CodeBadRequest, authos.ErrInvalid)
			}
			invalid("remove no owner", platformErr(p.Owners.Remove(ctx, w.ID)))
			u, err := p.Owners.Add(ctx, w.ID)
			if err != nil || u.ID != w.ID || u.Email != "m@example.com" || !isOwner(*u) || u.CreatedAt.IsZero() || u.EmailVerifiedAt.IsZero() {
				t.Errorf("added: %+v, %v", u, err)
			}
			invalid("add again", platformErr(p.Owners.Add(ctx, w.ID)))
			invalid("remove oneself", platformErr(p.Owners.Remove(ctx, root[0].ID)))
			if u, err = p.Owners.Remove(ctx, w.ID); err != nil || u.ID != w.ID || isOwner(*u) {
				t.Errorf("removed: %+v, %v", u, err)
			}
			invalid("remove again", platformErr(p.Owners.Remove(ctx, w.ID)))

			got, err := p.Users.Get(ctx, w.ID)
			if err != nil || got.Email != "m@example.com" || !got.CreatedAt.Equal(u.CreatedAt.Time) || !got.EmailVerifiedAt.IsZero() {
				t.Errorf("got %+v, %v", got, err)
			}
			for _, want := range []bool{true, false} {
				if want {
					w.Server.RequireMFA("m@example.com")
				} else if err := p.Users.DisableMFA(ctx, w.ID); err != nil {
					t.Error(err)
				}
				s, err := p.Users.MFAStatus(ctx, w.ID)
				if err != nil || *s != (authos.MFAStatus{Enabled: want}) {
					t.Errorf("second factor %+v, %v; want enabled: %v", s, err, want)
				}
			}
			for what, err := range map[string]error{
				"add":     platformErr(p.Owners.Add(ctx, "none")),
				"remove":  platformErr(p.Owners.Remove(ctx, "none")),
				"get":     platformErr(p.Users.Get(ctx, "none")),
				"status":  platformErr(p.Users.MFAStatus(ctx, "none")),
				"disable": p.Users.DisableMFA(ctx, "none"),
				"a path":  platformErr(p.Users.Get(ctx, "a b ?#%25")),
			} {
				platformRefused(t, what, err, http.StatusNotFound, authos.CodeNotFound, authos.ErrNotFound)
			}
			if none, err := p.Users.Search(ctx, authos.UserSearchParams{Query: "nobody at all"}); err != nil || none == nil || len(none) != 0 {
				t.Errorf("a search that finds nobody: %v, %v", none, err)
			}
		})
	}
}

// TestPlatformOwnerRemoveLost: the repeat of a removal that took effect is refused, and says that
// it may have taken effect.
func TestPlatformOwnerRemoveLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypedWorld(t)
		id := w.Server.AddPlatformOwner("two@example.com", "").ID
		c := w.Client(asPlatform)
		path := "/api/platform/owners/" + id
		w.Server.Fault(authostest.Fault{Path: path, Times: 1, Kind: authostest.ResetAfter})
		u, err := c.Platform.Owners.Remove(t.Context(), id)
		api, ok := errors.AsType[*authos.APIError](err)
		if !ok || api.StatusCode != http.StatusBadRequest || !errors.Is(err, authos.ErrOutcomeUnknown) || u != nil {
			t.Errorf("%+v, %v; want 400 of unknown outcome", u, err)
		}
		if n := w.Server.Count("DELETE", path); n != 2 || w.Server.Applied()["DELETE "+path] != 1 {
			t.Errorf("sent %d times, applied %v", n, w.Server.Applied())
		}
	})
	synctest.Test(t, func(t *testing.T) { // and is then found to be of somebody who is gone
		c, script := platformScript(t, reply{err: connectionReset()}, reply{status: 404, body: `{"error":"User not found","error_code":"NOT_FOUND"}`})
		u, err := c.Platform.Owners.Remove(t.Context(), "u1")
		if err != nil || u == nil || u.ID != "u1" || isOwner(*u) || script.count() != 2 {
			t.Errorf("%+v, %v after %d requests; want the id", u, err, script.count())
		}
	})
}

// TestPlatformUserSecrets: a server that sends too much does not make it known here.
func TestPlatformUserSecrets(t *testing.T) {
	c, _ := platformScript(t, platformResponse(`{"id":"u1","email":"a@example.com","password_hash":"$argon2id$x"}`))
	u, err := c.Platform.Owners.Add(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(u)
	if text := fmt.Sprintf("%+v %s", u, data); err != nil || strings.Contains(text, "argon2id") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestMFAStatus(t *testing.T) {
	for body, want := range map[string]authos.MFAStatus{
		`{"enabled":false}`: {}, `{"enabled":true,"has_backup_codes":true}`: {Enabled: true, HasBackupCodes: true},
		`{"has_backup_codes":null,"enabled":true,"more":1}`: {Enabled: true},
	} {
		c, _ := platformScript(t, platformResponse(body))
		if got, err := c.Platform.Users.MFAStatus(t.Context(), "u1"); err != nil || *got != want {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
		data, err := json.Marshal(want)
		var back authos.MFAStatus
		if err != nil || json.Unmarshal(data, &back) != nil || back != want {
			t.Errorf("%s comes back as %+v", data, back)
		}
	}
	for _, body := range []string{`{"enabled":null}`, `{"has_backup_codes":true}`, `{"enabled":"true"}`} {
		c, _ := platformScript(t, platformResponse(body))
		got, err := c.Platform.Users.MFAStatus(t.Context(), "u1")
		if _, ok := errors.AsType[*authos.DecodeError](err); !ok || got != nil {
			t.Errorf("%s: %+v, %v; want a DecodeError", body, got, err)
		}
	}
}

// platformList is a list of the platform that has n items or more.
type platformList struct {
	path string
	fill func(w *typedWorld, n int)
	// page and all give ids.
	page func(ctx context.Context, c *authos.Client, limit, offset int) (ids []string, total int, err error)
	all  func(ctx context.Context, c *authos.Client, limit, offset int) func(func(string, error) bool)
}

// platformIDs makes a sequence of ids out of one of items.
func platformIDs[T any](all func(func(T, error) bool), id func(T) string) func(func(string, error) bool) {
	return func(yield func(string, error) bool) { all(func(v T, err error) bool { return yield(id(v), err) }) }
}

func platformPage[T any](p *authos.Page[T], err error, id func(T) string) ([]string, int, error) {
	if err != nil {
		return nil, 0, err
	}
	ids := []string{}
	for _, item := range p.Items {
		ids = append(ids, id(item))
	}
	return ids, int(p.Total), nil
}

var platformLists = map[string]platformList{
	"organizations": {
		path: "/api/platform/organizations",
		fill: func(w *typedWorld, n int) {
			for i := range n {
				w.Server.AddOrganization(fmt.Sprintf("org-%d", i), "pending", "new@example.com")
			}
		},
		page: func(ctx context.Context, c *authos.Client, limit, offset int) ([]string, int, error) {
			p, err := c.Platform.Organizations.List(ctx, authos.PlatformOrganizationListParams{Limit: limit, Offset: offset, Status: "pending"})
			return platformPage(p, err, func(o authos.PlatformOrganization) string { return o.ID })
		},
		all: func(ctx context.Context, c *authos.Client, limit, offset int) func(func(string, error) bool) {
			p := authos.PlatformOrganizationListParams{Limit: limit, Offset: offset, Status: "pending"}
			return platformIDs(c.Platform.Organizations.All(ctx, p), func(o authos.PlatformOrganization) string { return o.ID })
		},
	},
	"users": {
		path: "/api/platform/users",
		fill: func(w *typedWorld, n int) { // there are five already
			for i := range n - 5 {
				w.Server.AddServiceUser(fmt.Sprintf("u%d@example.com", i))
			}
		},
		page: func(ctx context.Context, c *authos.Client, limit, offset int) ([]string, int, error) {
			p, err := c.Platform.Users.List(ctx, authos.PlatformUserListParams{Limit: limit, Offset: offset})
			return platformPage(p, err, func(u authos.User) string { return u.ID })
		},
		all: func(ctx context.Context, c *authos.Client, limit, offset int) func(func(string, error) bool) {
			p := authos.PlatformUserListParams{Limit: limit, Offset: offset}
			return platformIDs(c.Platform.Users.All(ctx, p), func(u authos.User) string { return u.ID })
		},
	},
	"audit log": {
		path: "/api/platform/audit-log",
		fill: func(w *typedWorld, n int) {
			platformMember(w)
			c := w.Client(asPlatform)
			for range n {
				if err := c.Platform.Users.DisableMFA(w.T.Context(), w.ID); err != nil {
					w.T.Fatal(err)
				}
			}
		},
		page: func(ctx context.Context, c *authos.Client, limit, offset int) ([]string, int, error) {
			p, err := c.Platform.AuditLog.List(ctx, authos.PlatformAuditLogListParams{Limit: limit, Offset: offset, Action: authos.PlatformActionDisableMFA})
			return platformPage(p, err, func(e authos.PlatformAuditEntry) string { return e.ID })
		},
		all: func(ctx context.Context, c *authos.Client, limit, offset int) func(func(string, error) bool) {
			p := authos.PlatformAuditLogListParams{Limit: limit, Offset: offset, Action: authos.PlatformActionDisableMFA}
			return platformIDs(c.Platform.AuditLog.All(ctx, p), func(e authos.PlatformAuditEntry) string { return e.ID })
		},
	},
}

// TestPlatformPaging reads each list page by page and as a whole, to the end and beyond.
func TestPlatformPaging(t *testing.T) {
	const n = 7
	for name, list := range platformLists {
		t.Run(name, func(t *testing.T) {
			w := newTypedWorld(t)
			list.fill(w, n)
			ctx, c := t.Context(), w.Client(asPlatform)
			want, total, err := list.page(ctx, c, 0, 0)
			if err != nil || total != n || len(want) != n {
				t.Fatalf("%d items of %d, %v; want %d", len(want), total, err, n)
			}
			for offset, items := range map[int]int{0: 3, 6: 1, 7: 0, 8: 0} {
				got, total, err := list.page(ctx, c, 3, offset)
				if err != nil || total != n || fmt.Sprint(got) != fmt.Sprint(want[min(offset, n):min(offset, n)+items]) {
					t.Errorf("page from %d: %v of %d, %v", offset, got, total, err)
				}
			}
			for _, tt := range []struct{ limit, offset, stop, requests int }{
				{3, 0, 0, 3}, {0, 0, 0, 1}, {7, 0, 0, 1}, {3, 5, 0, 1}, {3, 7, 0, 1}, {3, 99, 0, 1}, {3, 0, 3, 1}, {3, 0, 4, 2}, {1, 0, 1, 1},
			} {
				w.Server.Reset()
				all := list.all(ctx, c, tt.limit, tt.offset)
				if w.Server.Count("", "") != 0 {
					t.Error("All asks before it is ranged over")
				}
				var got []string
				for id, err := range all {
					if err != nil {
						t.Fatal(err)
					}
					if got = append(got, id); len(got) == tt.stop {
						break
					}
				}
				end := n
				if tt.stop > 0 {
					end = tt.stop
				}
				if left := want[min(tt.offset, n):end]; fmt.Sprint(got) != fmt.Sprint(left) {
					t.Errorf("%+v: %v, want %v", tt, got, left)
				}
				if asked := w.Server.Count("GET", list.path); asked != tt.requests {
					t.Errorf("%+v: %d requests, want %d", tt, asked, tt.requests)
				}
				limit := fmt.Sprintf("limit=%d", tt.limit)
				if tt.limit == 0 {
					limit = "limit=100" // as many as there may be
				}
				for _, r := range w.Server.Requests() {
					if !strings.Contains("&"+r.RawQuery+"&", "&"+limit+"&") {
						t.Errorf("%+v: asked for %s", tt, r.RawQuery)
					}
				}
			}
			w.Server.Fault(authostest.Fault{Path: list.path, Skip: 1, Status: http.StatusForbidden, Body: "Platform owner access required"})
			items, failures := 0, 0
			for _, err := range list.all(ctx, c, 3, 0) {
				if err != nil {
					platformRefused(t, "the second page", err, http.StatusForbidden, authos.CodeForbidden, authos.ErrForbidden)
					failures++
					continue
				}
				items++
			}
			if items != 3 || failures != 1 {
				t.Errorf("%d items and %d errors, want 3 and 1", items, failures)
			}
		})
	}
}

// TestPlatformUsersZone: list rows carry an offset, everything else a Z; both are UTC here.
func TestPlatformUsersZone(t *testing.T) {
	w := newTypedWorld(t)
	page, err := w.Client(asPlatform).Platform.Users.List(t.Context(), authos.PlatformUserListParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range page.Items {
		if u.CreatedAt.Location() != time.UTC || time.Since(u.CreatedAt.Time) > time.Hour || !u.EmailVerifiedAt.IsZero() || u.OrgID != "" {
			t.Errorf("%+v", u)
		}
	}
}

// isOwner reports whether a response said that the user is an owner of the platform.
func isOwner(u authos.User) bool { return u.IsPlatformOwner != nil && *u.IsPlatformOwner }
