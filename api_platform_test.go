package authos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/routes"
)

// platformSome is a result that may consist of zeros, or of no rows, and is one all the same.
type platformSome struct{ Result any }

func platformSaid[T any](v T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return platformSome{v}, nil
}

// platformOrg gives the id of the one organization with this status.
func platformOrg(w *typedWorld, status authos.OrganizationStatus) string {
	w.T.Helper()
	page, err := w.Client(asPlatform).Platform.Organizations.List(w.T.Context(), authos.PlatformOrganizationListParams{Status: status})
	if err != nil || len(page.Items) != 1 {
		w.T.Fatalf("organizations that are %s: %+v, %v; want one", status, page, err)
	}
	return page.Items[0].ID
}

// platformPending adds a pending organization, whose id is then w.ID.
func platformPending(w *typedWorld) {
	w.Server.AddOrganization("new", "pending", "new@example.com")
	w.ID = platformOrg(w, authos.OrganizationPending)
}

func platformMember(w *typedWorld) { w.ID = w.Server.AddMember("acme", "m@example.com", "member").ID }

func platformToday(w *typedWorld) { w.ID = time.Now().UTC().Format(time.DateOnly) }

// platformMay is a range of days, given by times of day that do not matter.
var platformMay = authos.DateRange{
	Start: time.Date(2026, time.May, 1, 23, 59, 0, 0, time.UTC), End: time.Date(2026, time.May, 31, 0, 1, 0, 0, time.UTC),
}

var platformCases = []typedCase{
	{
		name: "Platform.Tiers",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) { return c.Platform.Tiers(ctx) },
	},
	{
		name:  "Platform.Impersonate",
		setup: platformMember,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.Impersonate(ctx, authos.ImpersonateParams{UserID: w.ID, Reason: "ticket 7"})
		},
		body: `{"user_id":"$1","reason":"ticket 7"}`,
	},
	{
		name: "Platform.OperationsStatus",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return platformSaid(c.Platform.OperationsStatus(ctx))
		},
	},
	{
		name: "Platform.Organizations.List",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			p := authos.PlatformOrganizationListParams{Status: authos.OrganizationActive, TierID: "tier_starter", Limit: 5}
			return c.Platform.Organizations.List(ctx, p)
		},
		query: "limit=5&status=active&tier_id=tier_starter",
	},
	{
		name:  "Platform.Organizations.Approve",
		setup: platformPending,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.Organizations.Approve(ctx, w.ID, authos.OrganizationApproveParams{TierID: "tier_enterprise"})
		},
		body: `{"tier_id":"tier_enterprise"}`,
	},
	{
		name:  "Platform.Organizations.Reject",
		setup: platformPending,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.Organizations.Reject(ctx, w.ID, "a copy")
		},
		body: `{"reason":"a copy"}`,
	},
	{
		name:  "Platform.Organizations.Suspend",
		setup: func(w *typedWorld) { w.ID = platformOrg(w, authos.OrganizationActive) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.Organizations.Suspend(ctx, w.ID)
		},
	},
	{
		name: "Platform.Organizations.Activate",
		setup: func(w *typedWorld) {
			w.Server.AddOrganization("shut", "suspended", "shut@example.com")
			w.ID = platformOrg(w, authos.OrganizationSuspended)
		},
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.Organizations.Activate(ctx, w.ID)
		},
	},
	{
		name:  "Platform.Organizations.UpdateTier",
		setup: platformPending,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			p := authos.OrganizationUpdateTierParams{TierID: "tier_enterprise", MaxServices: new(0)}
			return c.Platform.Organizations.UpdateTier(ctx, w.ID, p)
		},
		body: `{"tier_id":"tier_enterprise","max_services":0}`,
	},
	{
		name:  "Platform.Organizations.UpdateFeatures",
		setup: platformPending,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			f := authos.FeatureOverrides{AllowSCIM: new(false), AllowedSocialProviders: []string{}, MaxMAU: new(int64(100))}
			return c.Platform.Organizations.UpdateFeatures(ctx, w.ID, f)
		},
		body: `{"allow_scim":false,"allowed_social_providers":[],"max_mau":100}`,
	},
	{
		name:  "Platform.Organizations.Delete",
		setup: platformPending,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Platform.Organizations.Delete(ctx, w.ID)
		},
		optional: true,
	},
	{
		name:  "Platform.Owners.Add",
		setup: platformMember,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.Owners.Add(ctx, w.ID)
		},
		body: `{"user_id":"$1"}`,
	},
	{
		name:  "Platform.Owners.Remove",
		setup: func(w *typedWorld) { w.ID = w.Server.AddPlatformOwner("two@example.com", "").ID },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.Owners.Remove(ctx, w.ID)
		},
	},
	{
		name: "Platform.Users.List",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.Users.List(ctx, authos.PlatformUserListParams{Limit: 2, Offset: 1})
		},
		query: "limit=2&offset=1",
	},
	{
		name: "Platform.Users.Search",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.Users.Search(ctx, authos.UserSearchParams{Query: "member@ex", Limit: 50})
		},
		query: "limit=50&q=member%40ex",
	},
	{
		name:  "Platform.Users.Get",
		setup: platformMember,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.Users.Get(ctx, w.ID)
		},
	},
	{
		name: "Platform.Users.MFAStatus",
		setup: func(w *typedWorld) {
			platformMember(w)
			w.Server.RequireMFA("m@example.com")
		},
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.Users.MFAStatus(ctx, w.ID)
		},
	},
	{
		name:  "Platform.Users.DisableMFA",
		setup: platformMember,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Platform.Users.DisableMFA(ctx, w.ID)
		},
		optional: true,
	},
	{
		name: "Platform.AuditLog.List",
		setup: func(w *typedWorld) {
			w.ID = platformOrg(w, authos.OrganizationActive)
			if _, err := w.Client(asPlatform).Platform.Organizations.Suspend(w.T.Context(), w.ID); err != nil {
				w.T.Fatal(err)
			}
			w.Server.ActivateOrg("acme")
		},
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Platform.AuditLog.List(ctx, authos.PlatformAuditLogListParams{
				Action: authos.PlatformActionSuspendOrganization, TargetType: "organization", TargetID: w.ID, Limit: 9,
			})
		},
		query: "action=suspend_organization&limit=9&target_id=$1&target_type=organization",
	},
	{
		name: "Platform.Analytics.Overview",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.Analytics.Overview(ctx)
		},
	},
	{
		name: "Platform.Analytics.OrganizationStatus",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.Analytics.OrganizationStatus(ctx)
		},
	},
	{
		name:  "Platform.Analytics.GrowthTrends",
		setup: platformToday,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			r := authos.DateRange{Start: time.Date(2020, time.January, 31, 0, 0, 0, 0, time.UTC), End: time.Now()}
			return c.Platform.Analytics.GrowthTrends(ctx, r)
		},
		query: "end_date=$1&start_date=2020-01-31",
	},
	{
		name:  "Platform.Analytics.LoginActivity",
		setup: platformToday,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.Analytics.LoginActivity(ctx, authos.DateRange{End: time.Now()})
		},
		query: "end_date=$1",
	},
	{
		name: "Platform.Analytics.TopOrganizations",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.Analytics.TopOrganizations(ctx)
		},
	},
	{
		name: "Platform.Analytics.RecentOrganizations",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.Analytics.RecentOrganizations(ctx, authos.RecentOrganizationsParams{Limit: 50})
		},
		query: "limit=50",
	},
	{
		name: "Platform.MFA.Metrics",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			p := authos.MFAMetricsParams{OrgID: "o1", Start: platformMay.Start, End: platformMay.End}
			return platformSaid(c.Platform.MFA.Metrics(ctx, p))
		},
		query: "end_date=2026-05-31&org_id=o1&start_date=2026-05-01",
	},
	{
		name: "Platform.MFA.SuspiciousActivity",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return platformSaid(c.Platform.MFA.SuspiciousActivity(ctx, authos.SuspiciousActivityParams{OrgID: "o1"}))
		},
		query: "org_id=o1",
	},
	{
		name: "Platform.MFA.GenerateMetrics",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.MFA.GenerateMetrics(ctx, authos.MFAMetricsGenerateParams{OrgID: "o1", Date: platformMay.Start})
		},
		query:    "date=2026-05-01&org_id=o1",
		optional: true,
	},
}

// platformRefused compares an error with the status, code and kind it should have.
func platformRefused(t *testing.T, what string, err error, status int, code authos.Code, kind error) {
	t.Helper()
	api, ok := errors.AsType[*authos.APIError](err)
	if !ok || api.StatusCode != status || !errors.Is(err, code) || !errors.Is(err, kind) || errors.Is(err, authos.ErrOutcomeUnknown) {
		t.Errorf("%s: %v, want %d %s and %v", what, err, status, code, kind)
	}
}

// platformScript makes a client of a server that gives these responses, the last one again and
// again.
func platformScript(t *testing.T, steps ...reply) (*authos.Client, *script) {
	t.Helper()
	script := scripted(steps...)
	return newClient(t, testBase, script, authos.WithTokens(authos.Tokens{AccessToken: "a"})), script
}

func platformResponse(body string) reply { return reply{status: http.StatusOK, body: body} }

// TestPlatformStrangers: whoever does not own the platform is refused on every route, in plain text
// by real servers.
func TestPlatformStrangers(t *testing.T) {
	table, methods := typedRoutes(t), typedMethods(t)
	for contract, opts := range contracts {
		for _, tc := range platformCases {
			t.Run(contract+"/"+tc.name, func(t *testing.T) {
				route := table[methods[tc.name].Routes[0]]
				if route.Auth != "platform_owner" {
					t.Fatalf("%s is %s", route.Path, route.Auth)
				}
				if contract == "october2025" && !routes.ByTemplate(route.Method, route.Path).Has(routes.October2025) {
					t.Skip("the server lacks the route")
				}
				tc.as, tc.options = asOwner, opts
				w, c := tc.prepare(t, route.Auth)
				w.Server.Reset()
				_, err := tc.call(t.Context(), c, w)
				platformRefused(t, "an organization's owner", err, http.StatusForbidden, authos.CodeForbidden, authos.ErrForbidden)
				const text = "Platform owner access required"
				api, ok := errors.AsType[*authos.APIError](err)
				if !ok || api.Message != text || api.Method != route.Method || api.Path != route.Path {
					t.Errorf("got %+v, want %q on %s %s", api, text, route.Method, route.Path)
				}
				if !strings.HasPrefix(contract, "documented") && string(api.Body) != text {
					t.Errorf("body %q, want plain text", api.Body)
				}
				if n := len(w.Server.Requests()); n != 1 || len(w.Server.Applied()) != 0 {
					t.Errorf("%d requests, applied %v; want one that did nothing", n, w.Server.Applied())
				}
			})
		}
	}
}

// platformInput are calls with input that the server would refuse, or would take for something
// else.
func platformInput(ctx context.Context, c *authos.Client) map[string]struct {
	err  error
	want string // the bad fields
} {
	type bad = struct {
		err  error
		want string
	}
	of := func(want string) func(_ any, err error) bad {
		return func(_ any, err error) bad { return bad{err, want} }
	}
	p := c.Platform
	day := platformMay.Start
	tooMany := math.MaxInt32
	tooMany++ // beyond the server's bound, on 32-bit machines by way of a negative number
	endless := authos.OrganizationUpdateTierParams{TierID: " ", MaxServices: new(-1), MaxUsers: new(tooMany)}
	backwards := authos.DateRange{Start: platformMay.End, End: day}
	return map[string]bad{
		"nobody to be, no reason":       of("user_id reason")(p.Impersonate(ctx, authos.ImpersonateParams{Reason: " \t\n"})),
		"a reason of 501":               of("reason")(p.Impersonate(ctx, authos.ImpersonateParams{UserID: "u", Reason: strings.Repeat("é", 501)})),
		"organizations: limit, offset":  of("limit offset")(p.Organizations.List(ctx, authos.PlatformOrganizationListParams{Limit: 101, Offset: -1})),
		"approve without id":            of("id")(p.Organizations.Approve(ctx, "", authos.OrganizationApproveParams{})),
		"reject without id and reason":  of("id reason")(p.Organizations.Reject(ctx, "..", " ")),
		"suspend without id":            of("id")(p.Organizations.Suspend(ctx, " ")),
		"activate without id":           of("id")(p.Organizations.Activate(ctx, ".")),
		"tier":                          of("id tier_id max_services max_users")(p.Organizations.UpdateTier(ctx, "a\nb", endless)),
		"no features":                   of("id features")(p.Organizations.UpdateFeatures(ctx, "", authos.FeatureOverrides{})),
		"delete without id":             {p.Organizations.Delete(ctx, ""), "id"},
		"add nobody":                    of("user_id")(p.Owners.Add(ctx, "")),
		"remove nobody":                 of("user_id")(p.Owners.Remove(ctx, "")),
		"users: limit, offset":          of("limit offset")(p.Users.List(ctx, authos.PlatformUserListParams{Limit: -1, Offset: -1})),
		"search for nothing":            of("q limit")(p.Users.Search(ctx, authos.UserSearchParams{Limit: 51})),
		"search with a negative limit":  of("limit")(p.Users.Search(ctx, authos.UserSearchParams{Query: "a", Limit: -1})),
		"get nobody":                    of("user_id")(p.Users.Get(ctx, "")),
		"nobody's second factor":        of("user_id")(p.Users.MFAStatus(ctx, "")),
		"disable nobody's":              {p.Users.DisableMFA(ctx, ""), "user_id"},
		"audit log: limit, offset":      of("limit offset")(p.AuditLog.List(ctx, authos.PlatformAuditLogListParams{Limit: 101, Offset: -1})),
		"growth: backwards":             of("end_date")(p.Analytics.GrowthTrends(ctx, backwards)),
		"logins: backwards":             of("end_date")(p.Analytics.LoginActivity(ctx, backwards)),
		"recent: too many":              of("limit")(p.Analytics.RecentOrganizations(ctx, authos.RecentOrganizationsParams{Limit: 51})),
		"recent: negative":              of("limit")(p.Analytics.RecentOrganizations(ctx, authos.RecentOrganizationsParams{Limit: -1})),
		"metrics: start alone":          of("end_date")(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Start: day})),
		"metrics: end alone, and days":  of("start_date days")(p.MFA.Metrics(ctx, authos.MFAMetricsParams{End: day, Days: 7})),
		"metrics: dates and days":       of("days")(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Start: day, End: day, Days: 7})),
		"metrics: backwards, 367 days":  of("end_date days")(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Start: platformMay.End, End: day, Days: 367})),
		"metrics: no such year":         of("start_date end_date")(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Start: day.AddDate(-2027, 0, 0), End: day.AddDate(7974, 0, 0)})),
		"generate: no such year":        of("date")(p.MFA.GenerateMetrics(ctx, authos.MFAMetricsGenerateParams{Date: day.AddDate(7974, 0, 0)})),
		"metrics: 367 days":             of("days")(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Days: 367})),
		"metrics: a negative number":    of("days")(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Days: -1})),
		"All of organizations: a limit": {platformLast(p.Organizations.All(ctx, authos.PlatformOrganizationListParams{Limit: 101})), "limit"},
		"All of users: an offset":       {platformLast(p.Users.All(ctx, authos.PlatformUserListParams{Offset: -1})), "offset"},
		"All of the audit log: a limit": {platformLast(p.AuditLog.All(ctx, authos.PlatformAuditLogListParams{Limit: -5})), "limit"},
	}
}

// platformLast ranges over a list and gives its error.
func platformLast[T any](all func(func(T, error) bool)) (last error) {
	for _, err := range all {
		last = err
	}
	return last
}

func TestPlatformInput(t *testing.T) {
	w := newTypedWorld(t)
	c := w.Client(asPlatform)
	for name, bad := range platformInput(t.Context(), c) {
		e, ok := errors.AsType[*authos.ValidationError](bad.err)
		if !ok {
			t.Errorf("%s: %v, want a *ValidationError", name, bad.err)
			continue
		}
		var fields []string
		for _, f := range e.Fields {
			fields = append(fields, f.Field)
		}
		if got := strings.Join(fields, " "); got != bad.want || !errors.Is(bad.err, authos.ErrInvalid) {
			t.Errorf("%s: %v, want %s", name, bad.err, bad.want)
		}
	}
	if n := len(w.Server.Requests()); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

// TestPlatformBounds: what is just within the bounds is sent, and taken.
func TestPlatformBounds(t *testing.T) {
	w := newTypedWorld(t)
	ctx, p := t.Context(), w.Client(asPlatform).Platform
	platformPending(w)
	member := w.Server.AddMember("acme", "m@example.com", "member").ID
	for name, err := range map[string]error{
		"a reason of 500":  platformErr(p.Impersonate(ctx, authos.ImpersonateParams{UserID: member, Reason: "  " + strings.Repeat("é", 500) + "\n"})),
		"limits":           platformErr(p.Organizations.UpdateTier(ctx, w.ID, authos.OrganizationUpdateTierParams{TierID: "tier_free", MaxServices: new(0), MaxUsers: new(1<<31 - 1)})),
		"no providers":     platformErr(p.Organizations.UpdateFeatures(ctx, w.ID, authos.FeatureOverrides{AllowedSocialProviders: []string{}})),
		"366 days":         platformErr(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Days: 366})),
		"one day":          platformErr(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Start: platformMay.Start, End: platformMay.Start})),
		"by default":       platformErr(p.MFA.Metrics(ctx, authos.MFAMetricsParams{})),
		"one page of 100":  platformErr(p.Users.List(ctx, authos.PlatformUserListParams{Limit: 100})),
		"everything found": platformErr(p.Users.Search(ctx, authos.UserSearchParams{Query: "@"})),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func platformErr(_ any, err error) error { return err }

func TestPlatformImpersonation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypedWorld(t)
		root := w.Client(asPlatform)
		target := w.Server.AddMember("acme", "m@example.com", "member")
		got, err := root.Platform.Impersonate(t.Context(), authos.ImpersonateParams{UserID: target.ID, Reason: "ticket 7"})
		if err != nil {
			t.Fatal(err)
		}
		if life := time.Until(got.Tokens.ExpiresAt); life != 15*time.Minute || got.Tokens.RefreshToken != "" {
			t.Errorf("the session lives %v, refresh token %v; want 15 minutes and none", life, got.Tokens.RefreshToken != "")
		}
		if u := got.TargetUser; u.ID != target.ID || u.Email != target.Email || u.OrgID != platformOrg(w, "active") || u.OrgName != "Acme" || u.IsPlatformOwner {
			t.Errorf("target %+v", u)
		}
		if u := got.ActorUser; u.Email != asPlatform || !u.IsPlatformOwner || u.OrgID != "" || u.OrgName != "" {
			t.Errorf("actor %+v", u)
		}
		as, err := root.With(authos.WithTokens(got.Tokens))
		if err != nil {
			t.Fatal(err)
		}
		if u, err := as.User.Get(t.Context()); err != nil || u.ID != target.ID {
			t.Errorf("profile %+v, %v; want the target's", u, err)
		}
		_, err = root.Platform.Impersonate(t.Context(), authos.ImpersonateParams{UserID: "nobody", Reason: "x"})
		platformRefused(t, "nobody", err, http.StatusNotFound, authos.CodeNotFound, authos.ErrNotFound)

		w.Server.AddPlatformOwner(target.Email, "")
		_, err = as.Platform.Impersonate(t.Context(), authos.ImpersonateParams{UserID: target.ID, Reason: "x"})
		platformRefused(t, "nested", err, http.StatusForbidden, authos.CodeForbidden, authos.ErrForbidden)

		time.Sleep(15*time.Minute + time.Second)
		w.Server.Reset()
		_, err = as.User.Get(t.Context())
		if !errors.Is(err, authos.ErrUnauthenticated) || w.Server.Count("POST", "/api/auth/refresh") != 0 {
			t.Errorf("after 15 minutes: %v, want 401 and no refresh", err)
		}
	})
}

// TestPlatformImpersonationSecret: the token prints nowhere.
func TestPlatformImpersonationSecret(t *testing.T) {
	const secret = "s3cr3t-token"
	c, _ := platformScript(t, platformResponse(`{"token":"`+secret+`","target_user":{"id":"u1"},"actor_user":{"id":"u2"}}`))
	got, err := c.Platform.Impersonate(t.Context(), authos.ImpersonateParams{UserID: "u1", Reason: "ticket 7"})
	if err != nil || got.Tokens.AccessToken != secret {
		t.Fatalf("%v, %v", got, err)
	}
	var logged bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(h).Info("done", "result", got, "value", *got, "tokens", got.Tokens)
	}
	text := logged.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		text += fmt.Sprintf(verb, got) + fmt.Sprintf(verb, *got)
	}
	data, err := json.Marshal(got)
	if err == nil {
		t.Errorf("a session can be marshalled: %s", data)
	}
	if text += string(data); strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
		t.Errorf("the token is in %s", text)
	}
	for name, body := range map[string]string{
		"no token":     `{"token":"","target_user":{"id":"u1"},"actor_user":{"id":"u2"}}`,
		"access_token": `{"access_token":"` + secret + `","target_user":{"id":"u1"},"actor_user":{"id":"u2"}}`,
		"no target":    `{"token":"` + secret + `","actor_user":{"id":"u2"}}`,
		"no actor":     `{"token":"` + secret + `","target_user":{"id":"u1"},"actor_user":null}`,
	} {
		c, _ := platformScript(t, platformResponse(body))
		got, err := c.Platform.Impersonate(t.Context(), authos.ImpersonateParams{UserID: "u1", Reason: "x"})
		if _, ok := errors.AsType[*authos.DecodeError](err); !ok || got != nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
			t.Errorf("%s: %v, %v; want a DecodeError without the token", name, got, err)
		}
	}
}

// TestPlatformStale: in an outage, tiers are served as they were, and what holds secrets or must
// not mislead is not.
func TestPlatformStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypedWorld(t)
		id := w.Server.AddMember("acme", "m@example.com", "member").ID
		c := newClient(t, w.Server.URL, w.Server.Transport(), authos.WithCache(authos.CachePolicy{}),
			authos.WithTokens(authos.Tokens{AccessToken: w.Server.SignIn(asPlatform).AccessToken}))
		calls := map[string]func(authos.RequestOption) error{
			"tiers":         func(o authos.RequestOption) error { return platformErr(c.Platform.Tiers(t.Context(), o)) },
			"overview":      func(o authos.RequestOption) error { return platformErr(c.Platform.Analytics.Overview(t.Context(), o)) },
			"user":          func(o authos.RequestOption) error { return platformErr(c.Platform.Users.Get(t.Context(), id, o)) },
			"second factor": func(o authos.RequestOption) error { return platformErr(c.Platform.Users.MFAStatus(t.Context(), id, o)) },
			"organizations": func(o authos.RequestOption) error {
				return platformErr(c.Platform.Organizations.List(t.Context(), authos.PlatformOrganizationListParams{}, o))
			},
			"metrics": func(o authos.RequestOption) error {
				return platformErr(c.Platform.MFA.Metrics(t.Context(), authos.MFAMetricsParams{}, o))
			},
			"alerts": func(o authos.RequestOption) error {
				return platformErr(c.Platform.MFA.SuspiciousActivity(t.Context(), authos.SuspiciousActivityParams{}, o))
			},
		}
		for name, call := range calls {
			if err := call(authos.WithoutRetry()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		defer w.Server.Outage(http.StatusServiceUnavailable)()
		for name, call := range calls {
			var r authos.Response
			err := call(authos.WithResponse(&r))
			kept := name == "tiers" || name == "overview" || name == "user"
			if r.Stale != kept || (err == nil) != kept {
				t.Errorf("%s: stale %v, %v; want a cached response: %v", name, r.Stale, err, kept)
			}
		}
	})
}
