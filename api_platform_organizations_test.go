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
	"github.com/authos-go/authos/authostest"
)

// TestPlatformOrganizations takes an organization through its states, and meets every refusal on
// the way.
func TestPlatformOrganizations(t *testing.T) {
	for contract, opts := range newerContracts {
		t.Run(contract, func(t *testing.T) {
			w := newTypedWorld(t, opts...)
			platformPending(w)
			ctx, orgs := t.Context(), w.Client(asPlatform).Platform.Organizations
			invalid := func(what string, err error) {
				t.Helper()
				platformRefused(t, what, err, http.StatusBadRequest, authos.CodeBadRequest, authos.ErrInvalid)
			}
			absent := func(what string, err error) {
				t.Helper()
				platformRefused(t, what, err, http.StatusNotFound, authos.CodeNotFound, authos.ErrNotFound)
			}
			is := func(status authos.OrganizationStatus) func(*authos.Organization, error) *authos.Organization {
				return func(o *authos.Organization, err error) *authos.Organization {
					t.Helper()
					if err != nil {
						t.Fatal(err)
					}
					if o.ID != w.ID || o.Slug != "new" || o.Status != status {
						t.Errorf("organization %+v, want %s that is %s", o, w.ID, status)
					}
					return o
				}
			}
			approve := authos.OrganizationApproveParams{}

			invalid("activate what is pending", platformErr(orgs.Activate(ctx, w.ID)))
			absent("approve for no tier", platformErr(orgs.Approve(ctx, w.ID, authos.OrganizationApproveParams{TierID: "tier_none"})))
			o := is(authos.OrganizationActive)(orgs.Approve(ctx, w.ID, approve))
			if o.TierID != "tier_free" || o.ApprovedBy == "" || o.ApprovedAt.IsZero() || !o.RejectedAt.IsZero() || o.MaxUsers != nil {
				t.Errorf("approved: %+v", o)
			}
			invalid("approve again", platformErr(orgs.Approve(ctx, w.ID, approve)))
			invalid("reject what is active", platformErr(orgs.Reject(ctx, w.ID, "late")))
			is(authos.OrganizationSuspended)(orgs.Suspend(ctx, w.ID))
			invalid("suspend again", platformErr(orgs.Suspend(ctx, w.ID)))
			is(authos.OrganizationActive)(orgs.Activate(ctx, w.ID))
			invalid("activate again", platformErr(orgs.Activate(ctx, w.ID)))

			w.Server.AddOrganization("copy", "pending", "new@example.com")
			o, err := orgs.Reject(ctx, platformOrg(w, authos.OrganizationPending), "a copy")
			if err != nil || o.Status != authos.OrganizationRejected || o.RejectionReason != "a copy" || o.RejectedBy == "" || o.RejectedAt.IsZero() {
				t.Errorf("rejected: %+v, %v", o, err)
			}
			invalid("reject again", platformErr(orgs.Reject(ctx, o.ID, "a copy")))

			for what, err := range map[string]error{
				"approve":  platformErr(orgs.Approve(ctx, "none", approve)),
				"reject":   platformErr(orgs.Reject(ctx, "none", "x")),
				"suspend":  platformErr(orgs.Suspend(ctx, "none")),
				"activate": platformErr(orgs.Activate(ctx, "none")),
				"tier":     platformErr(orgs.UpdateTier(ctx, "none", authos.OrganizationUpdateTierParams{TierID: "tier_free"})),
				"no tier":  platformErr(orgs.UpdateTier(ctx, w.ID, authos.OrganizationUpdateTierParams{TierID: "tier_none"})),
				"features": platformErr(orgs.UpdateFeatures(ctx, "none", authos.FeatureOverrides{AllowSCIM: new(true)})),
				"delete":   orgs.Delete(ctx, "none"),
				"a path":   platformErr(orgs.Suspend(ctx, "a b ?#%25")),
			} {
				absent(what, err)
			}
			if err := orgs.Delete(ctx, w.ID); err != nil {
				t.Error(err)
			}
			absent("delete again", orgs.Delete(ctx, w.ID))
		})
	}
}

// TestPlatformApproveBody: the server refuses a request without a body, although it wants nothing
// of it.
func TestPlatformApproveBody(t *testing.T) {
	w := newTypedWorld(t)
	platformPending(w)
	c := w.Client(asPlatform)
	w.Server.Reset()
	if _, err := c.Platform.Organizations.Approve(t.Context(), w.ID, authos.OrganizationApproveParams{}); err != nil {
		t.Fatal(err)
	}
	typedBody(t, "{}", w.Server.Requests()[0])
}

// TestPlatformTier: a limit that is left out is the tier's own again, and 0 is a limit.
func TestPlatformTier(t *testing.T) {
	w := newTypedWorld(t)
	id, orgs := platformOrg(w, authos.OrganizationActive), w.Client(asPlatform).Platform.Organizations
	for _, tt := range []struct {
		p    authos.OrganizationUpdateTierParams
		body string
	}{
		{authos.OrganizationUpdateTierParams{TierID: "tier_enterprise", MaxServices: new(7), MaxUsers: new(9)}, `{"tier_id":"tier_enterprise","max_services":7,"max_users":9}`},
		{authos.OrganizationUpdateTierParams{TierID: "tier_enterprise", MaxUsers: new(0)}, `{"tier_id":"tier_enterprise","max_users":0}`},
		{authos.OrganizationUpdateTierParams{TierID: "tier_free"}, `{"tier_id":"tier_free"}`},
	} {
		w.Server.Reset()
		o, err := orgs.UpdateTier(t.Context(), id, tt.p)
		if err != nil || o.TierID != tt.p.TierID || !reflect.DeepEqual(o.MaxServices, tt.p.MaxServices) || !reflect.DeepEqual(o.MaxUsers, tt.p.MaxUsers) {
			t.Errorf("%s: %+v, %v", tt.body, o, err)
		}
		typedBody(t, tt.body, w.Server.Requests()[0])
	}
}

// TestPlatformFeatures: what is nil stays as it is.
func TestPlatformFeatures(t *testing.T) {
	w := newTypedWorld(t)
	id, orgs := platformOrg(w, authos.OrganizationActive), w.Client(asPlatform).Platform.Organizations
	if _, err := orgs.UpdateFeatures(t.Context(), id, authos.FeatureOverrides{AllowSAMLIdP: new(true), MaxMAU: new(int64(0))}); err != nil {
		t.Fatal(err)
	}
	o, err := orgs.UpdateFeatures(t.Context(), id, authos.FeatureOverrides{AllowSAMLIdP: new(false), AllowedSocialProviders: []string{"github"}})
	want := authos.FeatureOverrides{AllowSAMLIdP: new(false), MaxMAU: new(int64(0)), AllowedSocialProviders: []string{"github"}}
	if err != nil || !reflect.DeepEqual(o.FeatureOverrides, want) {
		t.Errorf("features %+v, %v; want %+v", o, err, want)
	}
}

// TestPlatformOwnerDeleted: the user whom the server makes up for an owner who is gone is nobody.
func TestPlatformOwnerDeleted(t *testing.T) {
	w := newTypedWorld(t)
	w.Server.AddOrganization("orphan", "suspended", "gone@example.com")
	w.Server.DeleteUser("gone@example.com")
	orgs := w.Client(asPlatform).Platform.Organizations
	page, err := orgs.List(t.Context(), authos.PlatformOrganizationListParams{})
	if err != nil || len(page.Items) != 2 || page.Total != 2 {
		t.Fatalf("%+v, %v", page, err)
	}
	orphan, acme := page.Items[0], page.Items[1]
	if orphan.Slug != "orphan" || orphan.Owner != nil || orphan.OwnerUserID == "" || orphan.OwnerUserID == "unknown" {
		t.Errorf("%+v, want no owner, and the id of the one who was", orphan)
	}
	if acme.Owner == nil || acme.Owner.ID != acme.OwnerUserID || acme.Owner.Email == "" || acme.Owner.CreatedAt.IsZero() {
		t.Errorf("owner %+v of %+v", acme.Owner, acme)
	}
	if acme.Tier == nil || acme.Tier.ID != "tier_starter" || acme.Tier.DefaultMaxUsers != 10 || acme.Tier.Features.Raw == nil {
		t.Errorf("tier %+v", acme.Tier)
	}
	for o, err := range orgs.All(t.Context(), authos.PlatformOrganizationListParams{Status: authos.OrganizationSuspended}) {
		if err != nil || o.Slug != "orphan" || o.Owner != nil {
			t.Errorf("All: %+v, %v", o, err)
		}
	}
}

// TestPlatformOrganizationRows: what may be null or absent in a row, and what may not.
func TestPlatformOrganizationRows(t *testing.T) {
	const owner = `{"id":"u1","email":"deleted-user@unknown","created_at":"2026-05-20T12:00:00Z"}`
	for name, tt := range map[string]struct {
		row  string
		good bool
	}{
		"an owner of an odd name": {`{"id":"o1","tier":null,"owner":` + owner + `}`, true},
		"no owner":                {`{"id":"o1","owner":null}`, true},
		"an owner without an id":  {`{"id":"o1","owner":{"email":"a@example.com"}}`, false},
		"a tier without an id":    {`{"id":"o1","tier":{},"owner":` + owner + `}`, false},
		"no id":                   {`{"slug":"new","owner":` + owner + `}`, false},
		"null":                    {`null`, false},
	} {
		c, _ := platformScript(t, platformResponse(`{"organizations":[`+tt.row+`],"total":1}`))
		page, err := c.Platform.Organizations.List(t.Context(), authos.PlatformOrganizationListParams{})
		if _, ok := errors.AsType[*authos.DecodeError](err); ok == tt.good || (page != nil) != tt.good {
			t.Errorf("%s: %+v, %v; want a response: %v", name, page, err, tt.good)
			continue
		}
		if tt.good && (page.Items[0].Tier != nil || (page.Items[0].Owner != nil) != strings.Contains(tt.row, "u1")) {
			t.Errorf("%s: %+v", name, page.Items[0])
		}
	}
	for name, body := range map[string]string{"null": `{"organizations":null,"total":0}`, "absent": `{"total":0}`} {
		c, _ := platformScript(t, platformResponse(body))
		if _, err := c.Platform.Organizations.List(t.Context(), authos.PlatformOrganizationListParams{}); err == nil {
			t.Errorf("a list that is %s passes for an empty one", name)
		}
	}
	c, _ := platformScript(t, platformResponse(`{"organizations":[]}`))
	page, err := c.Platform.Organizations.List(t.Context(), authos.PlatformOrganizationListParams{})
	if err != nil || page.Items == nil || len(page.Items) != 0 || page.Total != -1 {
		t.Errorf("no rows and no total: %+v, %v", page, err)
	}
}

// platformDecisions are the calls that a second time would be refused, each with its route.
func platformDecisions(t *testing.T, w *typedWorld, c *authos.Client) map[string]func() error {
	ctx, p, id := t.Context(), c.Platform, w.ID
	return map[string]func() error{
		"/api/platform/organizations/" + id + "/approve": func() error {
			return platformErr(p.Organizations.Approve(ctx, id, authos.OrganizationApproveParams{}))
		},
		"/api/platform/organizations/" + id + "/reject":   func() error { return platformErr(p.Organizations.Reject(ctx, id, "a copy")) },
		"/api/platform/organizations/" + id + "/suspend":  func() error { return platformErr(p.Organizations.Suspend(ctx, id)) },
		"/api/platform/organizations/" + id + "/activate": func() error { return platformErr(p.Organizations.Activate(ctx, id)) },
		"/api/platform/owners":                            func() error { return platformErr(p.Owners.Add(ctx, w.ID2)) },
	}
}

// TestPlatformOutcomeUnknown: a decision whose response was lost took effect, is not sent again,
// and says that it may have taken effect.
func TestPlatformOutcomeUnknown(t *testing.T) {
	for _, fault := range []authostest.Fault{
		{Kind: authostest.ResetAfter}, {Kind: authostest.TruncateBody}, {Kind: authostest.HangAfter},
		{Status: http.StatusBadGateway}, {Status: http.StatusInternalServerError, Body: `{"error":"x","error_code":"AUDIT_ERROR"}`},
	} {
		for _, action := range []string{"/approve", "/reject", "/suspend", "/activate", "/owners"} {
			t.Run(fmt.Sprint(action, fault.Kind, fault.Status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { platformLose(t, action, fault) })
			})
		}
	}
}

func platformLose(t *testing.T, action string, fault authostest.Fault) {
	w := newTypedWorld(t)
	status := "pending"
	if action == "/activate" {
		status = "suspended"
	}
	w.Server.AddOrganization("new", status, "new@example.com")
	w.ID, w.ID2 = platformOrg(w, authos.OrganizationStatus(status)), w.Server.AddMember("acme", "m@example.com", "member").ID
	c := w.Client(asPlatform)
	var path string
	var decide func() error
	for p, call := range platformDecisions(t, w, c) {
		if strings.HasSuffix(p, action) {
			path, decide = p, call
		}
	}
	w.Server.Reset()
	fault.Path, fault.Times = path, 1
	w.Server.Fault(fault)
	err := decide()
	if !errors.Is(err, authos.ErrOutcomeUnknown) {
		t.Errorf("%v, want ErrOutcomeUnknown", err)
	}
	if n := w.Server.Count("POST", path); n != 1 {
		t.Errorf("sent %d times, want once", n)
	}
	applied := w.Server.Applied()["POST "+path]
	if lost := fault.Status == 0; lost != (applied == 1) {
		t.Fatalf("applied %d times", applied)
	}
	// The caller reads back or, here, asks again, and learns what became of the first try.
	err = decide()
	if applied == 1 {
		platformRefused(t, "the second time", err, http.StatusBadRequest, authos.CodeBadRequest, authos.ErrInvalid)
	} else if err != nil {
		t.Errorf("the second time: %v", err)
	}
}

// TestPlatformRepeated: what may be repeated is, when its response is lost.
func TestPlatformRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTypedWorld(t)
		platformPending(w)
		member := w.Server.AddPlatformOwner("m@example.com", "").ID
		c := w.Client(asPlatform)
		ctx, p, org := t.Context(), c.Platform, "/api/platform/organizations/"+w.ID
		for _, tt := range []struct {
			method, path string
			call         func() error
			applied      int
		}{
			{"PATCH", org + "/tier", func() error {
				return platformErr(p.Organizations.UpdateTier(ctx, w.ID, authos.OrganizationUpdateTierParams{TierID: "tier_free"}))
			}, 2},
			{"PATCH", org + "/features", func() error {
				return platformErr(p.Organizations.UpdateFeatures(ctx, w.ID, authos.FeatureOverrides{AllowSCIM: new(true)}))
			}, 2},
			{"DELETE", org, func() error { return p.Organizations.Delete(ctx, w.ID) }, 1},
			{"DELETE", "/api/platform/users/" + member + "/mfa", func() error { return p.Users.DisableMFA(ctx, member) }, 2},
			{"POST", "/api/platform/mfa/metrics/generate", func() error {
				return platformErr(p.MFA.GenerateMetrics(ctx, authos.MFAMetricsGenerateParams{}))
			}, 2},
		} {
			w.Server.Reset()
			w.Server.Fault(authostest.Fault{Path: tt.path, Times: 1, Kind: authostest.ResetAfter})
			err := tt.call()
			if n, applied := w.Server.Count(tt.method, tt.path), w.Server.Applied()[tt.method+" "+tt.path]; err != nil || n != 2 || applied != tt.applied {
				t.Errorf("%s %s: %v, sent %d times, applied %d times; want 2 and %d", tt.method, tt.path, err, n, applied, tt.applied)
			}
		}
	})
}

// TestPlatformTimes: all four formats, in every place that has a time.
func TestPlatformTimes(t *testing.T) {
	want := time.Date(2026, time.May, 20, 12, 0, 0, 123456000, time.UTC)
	for _, at := range []string{
		"2026-05-20T12:00:00.123456+00:00", "2026-05-20T12:00:00.123456Z", "2026-05-20T12:00:00.123456", "2026-05-20 12:00:00.123456",
	} {
		user := `{"id":"u1","email_verified_at":"` + at + `","created_at":"` + at + `"}`
		tier := `{"id":"t1","created_at":"` + at + `"}`
		org := `"id":"o1","approved_at":"` + at + `","rejected_at":"` + at + `","created_at":"` + at + `","updated_at":"` + at + `"`
		response := func(body string) *authos.PlatformService {
			c, _ := platformScript(t, platformResponse(body))
			return c.Platform
		}
		ctx := t.Context()
		var got []authos.Time
		page, err := response(`{"organizations":[{`+org+`,"tier":`+tier+`,"owner":`+user+`}],"total":1}`).
			Organizations.List(ctx, authos.PlatformOrganizationListParams{})
		if err != nil {
			t.Fatal(err)
		}
		o := page.Items[0]
		got = append(got, o.ApprovedAt, o.RejectedAt, o.CreatedAt, o.UpdatedAt, o.Tier.CreatedAt, o.Owner.CreatedAt, o.Owner.EmailVerifiedAt)
		tiers, err := response("[" + tier + "]").Tiers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		u, err := response(user).Owners.Add(ctx, "u1")
		if err != nil {
			t.Fatal(err)
		}
		log, err := response(`{"logs":[{"id":"l1","created_at":"`+at+`"}],"total":1}`).AuditLog.List(ctx, authos.PlatformAuditLogListParams{})
		if err != nil {
			t.Fatal(err)
		}
		recent, err := response("["+tier+"]").Analytics.RecentOrganizations(ctx, authos.RecentOrganizationsParams{Limit: 0})
		if err != nil {
			t.Fatal(err)
		}
		growth, err := response(`[{"date":"`+at+`"}]`).Analytics.GrowthTrends(ctx, authos.DateRange{})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, tiers[0].CreatedAt, u.CreatedAt, u.EmailVerifiedAt, log.Items[0].CreatedAt, recent[0].CreatedAt, growth[0].Date)
		for i, g := range got {
			if !g.Equal(want) || g.Location() != time.UTC {
				t.Errorf("%s, place %d: %v, want %v", at, i, g, want)
			}
		}
	}
	c, _ := platformScript(t, platformResponse(`{"id":"o1","created_at":"May 20"}`))
	if _, err := c.Platform.Organizations.Suspend(t.Context(), "o1"); err == nil {
		t.Error("a time in no format passes")
	}
}
