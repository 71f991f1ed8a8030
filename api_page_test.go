package authos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// userPage responds with a list of n users as the server does, but with a total of its own.
func userPage(n, total int) handler {
	return func(req *http.Request) (*http.Response, error) {
		var limit, offset int
		q := req.URL.Query()
		_, _ = fmt.Sscan(q.Get("limit"), &limit)
		_, _ = fmt.Sscan(q.Get("offset"), &offset)
		var items []string
		for i := offset; i < min(offset+limit, n); i++ {
			items = append(items, fmt.Sprintf(`{"id":"u%d"}`, i))
		}
		return say(200, fmt.Sprintf(`{"users":[%s],"total":%d}`, strings.Join(items, ","), total))(req)
	}
}

func TestAllSizes(t *testing.T) {
	tests := []struct{ users, limit, offset, pages int }{
		{0, 0, 0, 1},
		{1, 0, 0, 1},
		{100, 0, 0, 1},
		{101, 0, 0, 2},
		{250, 0, 0, 3},
		{250, 100, 0, 3},
		{250, 50, 0, 5},
		{250, 7, 0, 36},
		{250, 0, 120, 2},
		{250, 0, 249, 1},
		{250, 0, 250, 1},
		{250, 0, 9999, 1},
		{3, 1, 0, 3},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := authostest.New()
				defer srv.Close()
				var want []string
				for i := range tt.users {
					want = append(want, srv.AddServiceUser(fmt.Sprintf("u%d@example.com", i)).ID)
				}
				want = want[min(tt.offset, len(want)):]
				c := newClient(t, srv.URL, srv.Transport(), authos.WithAPIKey(srv.AddAPIKey()))
				p := authos.ServiceUserListParams{Limit: tt.limit, Offset: tt.offset}
				all := c.Service.Users.All(t.Context(), p)
				for round := 1; round <= 2; round++ { // ranging again starts again
					var got []string
					for u, err := range all {
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, u.ID)
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("round %d: %d users, want %d", round, len(got), len(want))
					}
					if n := srv.Count("GET", "/api/service/users"); n != round*tt.pages {
						t.Errorf("round %d: %d requests so far, want %d", round, n, round*tt.pages)
					}
				}
				if p.Limit != tt.limit || p.Offset != tt.offset {
					t.Errorf("params changed to %+v", p)
				}
			})
		})
	}
}

func TestAllEnds(t *testing.T) {
	collect := func(c *authos.Client, stop int) (users int, errs []error) {
		for u, err := range c.Service.Users.All(context.Background(), authos.ServiceUserListParams{Limit: 10}) {
			if err != nil {
				if u != (authos.ServiceUser{}) {
					errs = append(errs, errors.New("an error with a user"))
				}
				errs = append(errs, err)
				continue // a loop that does not stop must not get a second one
			}
			users++
			if users == stop {
				break
			}
		}
		return users, errs
	}
	t.Run("lazy", func(t *testing.T) {
		c, web := keyClient(t)
		_ = c.Service.Users.All(t.Context(), authos.ServiceUserListParams{})
		if web.count() != 0 {
			t.Error("All sends before it is ranged over")
		}
	})
	t.Run("break", func(t *testing.T) {
		for stop, want := range map[int]int{1: 1, 10: 1, 11: 2, 20: 2} {
			c, web := keyClient(t)
			web.play(userPage(250, 250))
			if users, errs := collect(c, stop); users != stop || errs != nil || web.count() != want {
				t.Errorf("break after %d: %d users, %v, %d requests; want %d", stop, users, errs, web.count(), want)
			}
		}
	})
	t.Run("the total lies", func(t *testing.T) {
		for _, tt := range []struct{ n, total, users, requests int }{
			{0, 0, 0, 1},
			{0, 1000, 0, 1},
			{25, 1 << 30, 25, 4}, // too large: the empty page ends it
			{20, 25, 20, 3},
			{0, -1, 0, 1},
		} {
			c, web := keyClient(t)
			web.play(userPage(tt.n, tt.total))
			if users, errs := collect(c, 0); users != tt.users || errs != nil || web.count() != tt.requests {
				t.Errorf("%d users of a total of %d: got %d, %v, %d requests; want %d", tt.n, tt.total, users, errs, web.count(), tt.requests)
			}
		}
	})
	t.Run("total 0 on the empty page", func(t *testing.T) {
		c, web := keyClient(t)
		web.play(func(req *http.Request) (*http.Response, error) {
			if req.URL.Query().Get("offset") != "" {
				return say(200, `{"users":[],"total":0}`)(req)
			}
			return userPage(10, 30)(req)
		})
		if users, errs := collect(c, 0); users != 10 || errs != nil || web.count() != 2 {
			t.Errorf("got %d, %v, %d requests", users, errs, web.count())
		}
	})
	t.Run("error in the middle", func(t *testing.T) {
		for name, bad := range map[string]handler{
			"404": say(404, ""), "403": sayError(403, "FORBIDDEN"), "cut": say(200, `{"users":[`), "no id": say(200, `{"users":[{"id":"a"},{}],"total":9}`),
		} {
			c, web := keyClient(t)
			web.play(func(req *http.Request) (*http.Response, error) {
				if req.URL.Query().Get("offset") == "20" {
					return bad(req)
				}
				return userPage(250, 250)(req)
			})
			if users, errs := collect(c, 0); users != 20 || len(errs) != 1 || web.count() != 3 {
				t.Errorf("%s: %d users, %v, %d requests; want 20, one error, 3", name, users, errs, web.count())
			}
		}
	})
	t.Run("context done in the middle", func(t *testing.T) {
		c, web := keyClient(t)
		web.play(userPage(250, 250))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		users, last := 0, error(nil)
		for _, err := range c.Service.Users.All(ctx, authos.ServiceUserListParams{Limit: 10}) {
			if err != nil {
				last = err
				continue
			}
			if users++; users == 15 {
				cancel()
			}
		}
		if users != 20 || !errors.Is(last, context.Canceled) || web.count() != 2 {
			t.Errorf("%d users, %v, %d requests", users, last, web.count())
		}
		if last == nil || !strings.HasPrefix(last.Error(), "authos: GET /api/service/users: ") {
			t.Errorf("error text %v", last)
		}
	})
	t.Run("bad params", func(t *testing.T) {
		c, web := keyClient(t)
		n := 0
		for _, err := range c.Service.Users.All(t.Context(), authos.ServiceUserListParams{Limit: 101, Offset: -1}) {
			n++
			if e, ok := errors.AsType[*authos.ValidationError](err); !ok || len(e.Fields) != 2 {
				t.Errorf("got %v", err)
			}
		}
		if n != 1 || web.count() != 0 {
			t.Errorf("%d errors, %d requests", n, web.count())
		}
	})
}

// numbered responds with a list of n devices by page number; no page has more than size items,
// whatever is asked for.
func numbered(n, size int, total string) handler {
	return func(req *http.Request) (*http.Response, error) {
		limit, number := 20, 1
		q := req.URL.Query()
		_, _ = fmt.Sscan(q.Get("limit"), &limit)
		_, _ = fmt.Sscan(q.Get("page"), &number)
		limit = min(limit, size)
		var items []string
		for i := (number - 1) * limit; i < min(number*limit, n); i++ {
			items = append(items, fmt.Sprintf(`{"id":"d%d"}`, i))
		}
		return say(200, fmt.Sprintf(`{"devices":[%s]%s}`, strings.Join(items, ","), total))(req)
	}
}

func TestAllByNumber(t *testing.T) {
	tests := []struct {
		name            string
		n, size         int
		total           string
		page, limit     int
		items, requests int
	}{
		{"total", 25, 100, `,"total":25`, 0, 10, 25, 3},
		{"total, full last page", 20, 100, `,"total":20`, 0, 10, 20, 2},
		{"no total", 25, 100, ``, 0, 10, 25, 4},                   // the empty page ends it
		{"null total", 25, 100, `,"total":null`, 0, 10, 25, 4},    // likewise
		{"total too large", 25, 100, `,"total":99`, 0, 10, 25, 4}, // as members' total with a role
		{"smaller pages than asked for", 25, 7, `,"total":25`, 0, 10, 25, 4},
		{"smaller pages, no total", 25, 7, ``, 0, 10, 25, 5},
		{"from the second page", 25, 100, `,"total":25`, 2, 10, 15, 3},
		{"from the second of smaller pages", 25, 7, `,"total":25`, 2, 10, 18, 4},
		{"past the end", 25, 100, `,"total":25`, 9, 10, 0, 1},
		{"past the end, total 0", 25, 100, `,"total":0`, 9, 10, 0, 1},
		{"nothing", 0, 100, `,"total":0`, 0, 0, 0, 1},
		{"the largest pages by default", 250, 1000, `,"total":250`, 0, 0, 250, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, web := keyClient(t)
			web.play(numbered(tt.n, tt.size, tt.total))
			seen := map[string]bool{}
			for d, err := range c.User.Devices.All(t.Context(), authos.UserDeviceListParams{Page: tt.page, Limit: tt.limit}) {
				if err != nil {
					t.Fatal(err)
				}
				seen[d.ID] = true
			}
			if len(seen) != tt.items || web.count() != tt.requests {
				t.Errorf("%d items in %d requests, want %d in %d", len(seen), web.count(), tt.items, tt.requests)
			}
		})
	}
}

// A server that does not page gives the same items for ever.
func TestAllNeverLoops(t *testing.T) {
	for name, all := range map[string]func(c *authos.Client) (int, error){
		"number": func(c *authos.Client) (n int, last error) {
			for _, err := range c.User.Devices.All(t.Context(), authos.UserDeviceListParams{}) {
				n, last = n+1, err
			}
			return n, last
		},
		"offset": func(c *authos.Client) (n int, last error) {
			for _, err := range c.Service.Users.All(t.Context(), authos.ServiceUserListParams{}) {
				n, last = n+1, err
			}
			return n, last
		},
	} {
		c, web := keyClient(t)
		web.play(say(200, `{"devices":[{"id":"a"},{"id":"b"}],"users":[{"id":"a"},{"id":"b"}],"total":1000000}`))
		n, err := all(c)
		if _, ok := errors.AsType[*authos.DecodeError](err); !ok || n != 3 || web.count() != 5 {
			t.Errorf("%s: %d items, %v, %d requests", name, n, err, web.count())
		}
		if err != nil && !strings.Contains(err.Error(), "does not page") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListWithoutTotal(t *testing.T) {
	c, web := keyClient(t)
	for body, want := range map[string]int64{`{"devices":[]}`: -1, `{"devices":[],"total":null}`: -1, `{"devices":[],"total":0}`: 0, `{"devices":[],"total":7}`: 7} {
		web.play(say(200, body))
		page, err := c.User.Devices.List(t.Context(), authos.UserDeviceListParams{})
		if err != nil || page.Total != want {
			t.Errorf("%s: %+v, %v; want a total of %d", body, page, err, want)
		}
	}
}

// All refuses what List refuses.
func TestAllByNumberBadParams(t *testing.T) {
	c, web := keyClient(t)
	var errs []error
	for _, err := range c.User.Devices.All(t.Context(), authos.UserDeviceListParams{Page: -1, Limit: 101}) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || web.count() != 0 {
		t.Fatalf("%v, %d requests", errs, web.count())
	}
	typedInvalid(t, "All", errs[0], "limit", "page")
}

// Something new at the head of a list moves every item by one: with pages of one the same page
// comes again, which is no sign of a server that does not page. Nothing is lost.
func TestAllWhileTheListGrows(t *testing.T) {
	for _, limit := range []int{1, 2, 3} {
		c, web := keyClient(t)
		list := []string{"e5", "e4", "e3", "e2", "e1"}
		fetches := 0
		web.play(func(req *http.Request) (*http.Response, error) {
			if fetches++; fetches > 1 && fetches < 4 { // before the second and the third page
				list = append([]string{fmt.Sprint("new", fetches)}, list...)
			}
			page, _ := strconv.Atoi(req.URL.Query().Get("page"))
			size, _ := strconv.Atoi(req.URL.Query().Get("limit"))
			from := min((max(page, 1)-1)*size, len(list))
			items := []string{}
			for _, id := range list[from:min(from+size, len(list))] {
				items = append(items, `{"id":"`+id+`"}`)
			}
			return say(200, `{"devices":[`+strings.Join(items, ",")+`],"total":null}`)(req)
		})
		seen := map[string]int{}
		for d, err := range c.User.Devices.All(t.Context(), authos.UserDeviceListParams{Limit: limit}) {
			if err != nil {
				t.Fatalf("limit %d: %v after %v", limit, err, seen)
			}
			seen[d.ID]++
		}
		for _, id := range []string{"e1", "e2", "e3", "e4", "e5"} {
			if seen[id] == 0 {
				t.Errorf("limit %d: %s is lost: %v", limit, id, seen)
			}
		}
	}
}

// AllItems gives what came before an error, and the error.
func TestAllItems(t *testing.T) {
	c, web := keyClient(t)
	web.play(numbered(5, 2, ""))
	all, err := authos.AllItems(c.User.Devices.All(t.Context(), authos.UserDeviceListParams{Limit: 2}))
	if err != nil || len(all) != 5 {
		t.Errorf("%d items, %v; want 5", len(all), err)
	}
	all, err = authos.AllItems(c.User.Devices.All(t.Context(), authos.UserDeviceListParams{Limit: 101}))
	if !errors.Is(err, authos.ErrInvalid) || len(all) != 0 {
		t.Errorf("%d items, %v; want bad input", len(all), err)
	}
	calls := 0
	web.play(func(req *http.Request) (*http.Response, error) {
		if calls++; calls > 1 {
			return say(403, `{"error":"no","error_code":"FORBIDDEN"}`)(req)
		}
		return say(200, `{"devices":[{"id":"a"},{"id":"b"}],"total":4}`)(req)
	})
	all, err = authos.AllItems(c.User.Devices.All(t.Context(), authos.UserDeviceListParams{Limit: 2}))
	if !errors.Is(err, authos.ErrForbidden) || len(all) != 2 {
		t.Errorf("%d items, %v; want the two of the first page and the error", len(all), err)
	}
}
