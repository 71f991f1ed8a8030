package authos_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
)

// TestPlatformCounts: numbers arrive where they belong.
func TestPlatformCounts(t *testing.T) {
	ctx := t.Context()
	c, _ := platformScript(t, platformResponse(`{"jobs_pending":1,"jobs_running":2,"jobs_failed":3,"webhook_deliveries_failed":4,`+
		`"siem_configs_enabled":5,"siem_configs_with_failures":6}`))
	status, err := c.Platform.OperationsStatus(ctx)
	if want := (authos.OperationsStatus{1, 2, 3, 4, 5, 6}); err != nil || *status != want {
		t.Errorf("%+v, %v; want %+v", status, err, want)
	}
	c, _ = platformScript(t, platformResponse(`{"total_organizations":1,"total_users":2,"total_end_users":3,"total_services":4,`+
		`"total_logins_24h":5,"total_logins_30d":6}`))
	overview, err := c.Platform.Analytics.Overview(ctx)
	if want := (authos.PlatformOverview{1, 2, 3, 4, 5, 6}); err != nil || *overview != want {
		t.Errorf("%+v, %v; want %+v", overview, err, want)
	}
	c, _ = platformScript(t, platformResponse(`{"pending":1,"active":2,"suspended":3,"rejected":4}`))
	counts, err := c.Platform.Analytics.OrganizationStatus(ctx)
	if want := (authos.OrganizationStatusCounts{1, 2, 3, 4}); err != nil || *counts != want {
		t.Errorf("%+v, %v; want %+v", counts, err, want)
	}
	c, _ = platformScript(t, platformResponse(`[{"id":"o1","name":"New","slug":"new","user_count":1,"service_count":2,"login_count_30d":3}]`))
	top, err := c.Platform.Analytics.TopOrganizations(ctx)
	if want := []authos.TopOrganization{{"o1", "New", "new", 1, 2, 3}}; err != nil || !reflect.DeepEqual(top, want) {
		t.Errorf("%+v, %v; want %+v", top, err, want)
	}
}

// TestPlatformCountsAbsent: 0 is a count, and what is absent or null is not.
func TestPlatformCountsAbsent(t *testing.T) {
	calls := map[string]func(*authos.Client) (any, error){
		"jobs_pending":        func(c *authos.Client) (any, error) { return c.Platform.OperationsStatus(t.Context()) },
		"total_organizations": func(c *authos.Client) (any, error) { return c.Platform.Analytics.Overview(t.Context()) },
		"pending":             func(c *authos.Client) (any, error) { return c.Platform.Analytics.OrganizationStatus(t.Context()) },
	}
	for name, call := range calls {
		c, _ := platformScript(t, platformResponse(`{"`+name+`":0}`))
		if got, err := call(c); err != nil || !reflect.ValueOf(got).Elem().IsZero() {
			t.Errorf("%s is 0: %v, %v", name, got, err)
		}
		for _, body := range []string{`{"` + name + `":null}`, `{"` + name + `":"0"}`, `{"other":1}`} {
			c, _ := platformScript(t, platformResponse(body))
			got, err := call(c)
			if _, ok := errors.AsType[*authos.DecodeError](err); !ok || !reflect.ValueOf(got).IsNil() {
				t.Errorf("%s: %v, %v; want a DecodeError", body, got, err)
			}
		}
	}
}

// TestPlatformAnalytics counts what happens in a world.
func TestPlatformAnalytics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(36 * time.Hour) // to noon, so that the days are not the bubble's first
		w := newTypedWorld(t)
		today := time.Now().UTC().Truncate(24 * time.Hour)
		ctx, a := t.Context(), w.Client(asPlatform).Platform.Analytics // one sign-in
		w.Server.AddLogin("acme", "app", asUser, "password", time.Now().Add(-48*time.Hour))
		w.Server.AddOrganization("new", "pending", "new@example.com")

		logins, err := a.LoginActivity(ctx, authos.DateRange{})
		want := []authos.LoginTrend{{Date: authos.Time{Time: today.Add(-48 * time.Hour)}, Count: 1}, {Date: authos.Time{Time: today}, Count: 1}}
		if err != nil || !reflect.DeepEqual(logins, want) {
			t.Errorf("logins %v, %v; want %v", logins, err, want)
		}
		if before, err := a.LoginActivity(ctx, authos.DateRange{End: today.Add(-time.Second)}); err != nil || !reflect.DeepEqual(before, want[:1]) {
			t.Errorf("logins until yesterday %v, %v", before, err)
		}
		if none, err := a.GrowthTrends(ctx, authos.DateRange{Start: today.Add(24 * time.Hour)}); err != nil || none == nil || len(none) != 0 {
			t.Errorf("tomorrow's growth %v, %v", none, err)
		}
		growth, err := a.GrowthTrends(ctx, authos.DateRange{Start: today, End: today})
		if err != nil || len(growth) != 1 || !growth[0].Date.Equal(today) || growth[0].NewOrganizations != 2 || growth[0].NewUsers != 6 {
			t.Errorf("growth %+v, %v", growth, err)
		}
		top, err := a.TopOrganizations(ctx)
		if err != nil || len(top) != 2 || top[0].Slug != "acme" || top[0].LoginCount30d != 2 || top[0].ServiceCount != 2 {
			t.Errorf("top %+v, %v", top, err)
		}
		recent, err := a.RecentOrganizations(ctx, authos.RecentOrganizationsParams{Limit: 1})
		if err != nil || len(recent) != 1 || recent[0].Slug != "new" || recent[0].Status != authos.OrganizationPending || !recent[0].CreatedAt.Equal(time.Now()) {
			t.Errorf("recent %+v, %v", recent, err)
		}
		if overview, err := a.Overview(ctx); err != nil || overview.TotalOrganizations != 2 || overview.TotalLogins24h != 1 || overview.TotalLogins30d != 2 {
			t.Errorf("overview %+v, %v", overview, err)
		}
		if s, err := a.OrganizationStatus(ctx); err != nil || *s != (authos.OrganizationStatusCounts{Pending: 1, Active: 1}) {
			t.Errorf("status %+v, %v", s, err)
		}
	})
}

// TestPlatformAuditLog: what was decided is on record, newest first, and the filters are the
// server's.
func TestPlatformAuditLog(t *testing.T) {
	w := newTypedWorld(t)
	platformPending(w)
	ctx, p := t.Context(), w.Client(asPlatform).Platform
	platformErrs(t, platformErr(p.Organizations.Approve(ctx, w.ID, authos.OrganizationApproveParams{})),
		platformErr(p.Organizations.Suspend(ctx, w.ID)), platformErr(p.Organizations.Activate(ctx, w.ID)),
		platformErr(p.Organizations.UpdateTier(ctx, w.ID, authos.OrganizationUpdateTierParams{TierID: "tier_free"})),
		platformErr(p.Organizations.UpdateFeatures(ctx, w.ID, authos.FeatureOverrides{AllowSCIM: new(true)})),
		p.Organizations.Delete(ctx, w.ID))
	w.Server.AddOrganization("copy", "pending", "new@example.com")
	user := w.Server.AddMember("acme", "m@example.com", "member").ID
	platformErrs(t, platformErr(p.Organizations.Reject(ctx, platformOrg(w, authos.OrganizationPending), "a copy")),
		platformErr(p.Impersonate(ctx, authos.ImpersonateParams{UserID: user, Reason: "ticket 7"})), platformErr(p.Owners.Add(ctx, user)),
		platformErr(p.Owners.Remove(ctx, user)), p.Users.DisableMFA(ctx, user))

	actions := func(params authos.PlatformAuditLogListParams) (list []authos.PlatformAction) {
		t.Helper()
		for e, err := range p.AuditLog.All(ctx, params) {
			if err != nil || e.ID == "" || e.PlatformOwnerID == "" || e.TargetID == "" || e.CreatedAt.IsZero() {
				t.Fatalf("%+v, %v", e, err)
			}
			list = append(list, e.Action)
		}
		return list
	}
	ofUser := []authos.PlatformAction{
		authos.PlatformActionDisableMFA, authos.PlatformActionDemoteOwner, authos.PlatformActionPromoteOwner, authos.PlatformActionImpersonate,
	}
	ofOrg := []authos.PlatformAction{
		authos.PlatformActionDeleteOrganization, authos.PlatformActionUpdateOrganizationFeatures, authos.PlatformActionUpdateOrganizationTier,
		authos.PlatformActionActivateOrganization, authos.PlatformActionSuspendOrganization, authos.PlatformActionApproveOrganization,
	}
	for _, tt := range []struct {
		p    authos.PlatformAuditLogListParams
		want []authos.PlatformAction
	}{
		{authos.PlatformAuditLogListParams{TargetType: "user", Limit: 3}, ofUser},
		{authos.PlatformAuditLogListParams{TargetID: w.ID}, ofOrg},
		{authos.PlatformAuditLogListParams{TargetID: w.ID, TargetType: "user"}, nil},
		{authos.PlatformAuditLogListParams{Action: authos.PlatformActionRejectOrganization}, []authos.PlatformAction{"reject_organization"}},
		{authos.PlatformAuditLogListParams{Limit: 4}, append(append(ofUser, authos.PlatformActionRejectOrganization), ofOrg...)},
	} {
		if got := actions(tt.p); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%+v: %v, want %v", tt.p, got, tt.want)
		}
	}

	page, err := p.AuditLog.List(ctx, authos.PlatformAuditLogListParams{Action: authos.PlatformActionSuspendOrganization})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	var note struct {
		OldStatus authos.OrganizationStatus `json:"old_status"`
		NewStatus authos.OrganizationStatus `json:"new_status"`
	}
	if err := page.Items[0].Metadata.Decode(&note); err != nil || note.OldStatus != authos.OrganizationActive || note.NewStatus != authos.OrganizationSuspended {
		t.Errorf("metadata %s says %+v, %v", page.Items[0].Metadata, note, err)
	}
	page, err = p.AuditLog.List(ctx, authos.PlatformAuditLogListParams{Action: authos.PlatformActionDisableMFA})
	if err != nil || page.Items[0].Metadata != nil {
		t.Errorf("no metadata: %+v, %v", page, err)
	}
}

func platformErrs(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestPlatformMFARows: the rows are the server's own, and rows they must be.
func TestPlatformMFARows(t *testing.T) {
	ctx := t.Context()
	const row = `{"date":"2026-05-01T00:00:00", "n":1.50,"z":[null]}`
	c, _ := platformScript(t, platformResponse("["+row+",{}]"))
	metrics, err := c.Platform.MFA.Metrics(ctx, authos.MFAMetricsParams{})
	if err != nil || len(metrics) != 2 || string(metrics[0]) != row || string(metrics[1]) != "{}" {
		t.Errorf("metrics %s, %v", metrics, err)
	}
	alerts, err := c.Platform.MFA.SuspiciousActivity(ctx, authos.SuspiciousActivityParams{})
	if err != nil || len(alerts) != 2 || string(alerts[0]) != row {
		t.Errorf("alerts %s, %v", alerts, err)
	}
	c, _ = platformScript(t, platformResponse("[]"))
	if none, err := c.Platform.MFA.Metrics(ctx, authos.MFAMetricsParams{}); err != nil || none == nil || len(none) != 0 {
		t.Errorf("no metrics: %v, %v", none, err)
	}
	c, _ = platformScript(t, platformResponse(row))
	if got, err := c.Platform.MFA.GenerateMetrics(ctx, authos.MFAMetricsGenerateParams{}); err != nil || string(got) != row {
		t.Errorf("row %s, %v", got, err)
	}
	for _, body := range []string{"[{},1]", `["x"]`, "[[]]", "[null,{}]"} {
		c, _ := platformScript(t, platformResponse(body))
		for _, err := range []error{
			platformErr(c.Platform.MFA.Metrics(ctx, authos.MFAMetricsParams{})), platformErr(c.Platform.MFA.SuspiciousActivity(ctx, authos.SuspiciousActivityParams{})),
			platformErr(c.Platform.MFA.GenerateMetrics(ctx, authos.MFAMetricsGenerateParams{})),
		} {
			if _, ok := errors.AsType[*authos.DecodeError](err); !ok {
				t.Errorf("%s: %v, want a DecodeError", body, err)
			}
		}
	}
	for _, step := range []reply{{status: http.StatusNoContent}, {status: http.StatusOK}, {status: http.StatusOK, body: "null"}} {
		c, _ := platformScript(t, step)
		got, err := c.Platform.MFA.GenerateMetrics(ctx, authos.MFAMetricsGenerateParams{})
		if e, ok := errors.AsType[*authos.DecodeError](err); !ok || got != nil || e.StatusCode != step.status {
			t.Errorf("nothing with %d: %s, %v; want a DecodeError", step.status, got, err)
		}
	}
}

// TestPlatformQueries: what is zero is left to the server, and days are counted in UTC.
func TestPlatformQueries(t *testing.T) {
	ctx := t.Context()
	// already June in UTC
	late := time.Date(2026, time.May, 31, 23, 30, 0, 0, time.FixedZone("", -5*3600))
	c, script := platformScript(t, reply{status: http.StatusForbidden, body: "Platform owner access required"})
	p := c.Platform
	for i, tt := range []struct {
		err  error
		want string
	}{
		{platformErr(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Days: 7})), "?days=7"},
		{platformErr(p.MFA.Metrics(ctx, authos.MFAMetricsParams{Start: late, End: late})), "?end_date=2026-06-01&start_date=2026-06-01"},
		{platformErr(p.MFA.SuspiciousActivity(ctx, authos.SuspiciousActivityParams{})), ""},
		{platformErr(p.MFA.GenerateMetrics(ctx, authos.MFAMetricsGenerateParams{})), ""},
		{platformErr(p.MFA.GenerateMetrics(ctx, authos.MFAMetricsGenerateParams{Date: late})), "?date=2026-06-01"},
		{platformErr(p.Analytics.GrowthTrends(ctx, authos.DateRange{End: late})), "?end_date=2026-06-01"},
		{platformErr(p.Analytics.RecentOrganizations(ctx, authos.RecentOrganizationsParams{Limit: 0})), ""},
		{platformErr(p.Users.Search(ctx, authos.UserSearchParams{Query: "a&b=c"})), "?q=a%26b%3Dc"},
		{platformErr(p.AuditLog.List(ctx, authos.PlatformAuditLogListParams{})), ""},
		{platformErr(p.Organizations.List(ctx, authos.PlatformOrganizationListParams{Offset: 3})), "?offset=3"},
	} {
		url := script.requests()[i].url
		if at := strings.Index(url+"?", "?"); url[at:] != tt.want {
			t.Errorf("%s asked for %q, want %q", url, url[at:], tt.want)
		}
		platformRefused(t, url, tt.err, http.StatusForbidden, authos.CodeForbidden, authos.ErrForbidden)
	}
}
