package authos_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

var organizationCases = []typedCase{
	{
		name: "Organizations.List",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.List(ctx, authos.OrganizationListParams{Status: authos.OrganizationActive, Page: 1, Limit: 5})
		},
		query: "limit=5&page=1&status=active",
	},
	{
		name: "Organizations.Create",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Create(ctx, authos.OrganizationCreateParams{Slug: "new-org", Name: "New Org", Install: true})
		},
		body: `{"slug":"new-org","name":"New Org"}`,
	},
	{
		name: "Organizations.Get",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Get(ctx, "acme")
		},
	},
	{
		name: "Organizations.Update",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Update(ctx, "acme", authos.OrganizationUpdateParams{Name: new("Acme Inc")})
		},
		body: `{"name":"Acme Inc"}`,
	},
	{
		name: "Organizations.Delete",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Organizations.Delete(ctx, "acme")
		},
	},
	{
		name: "Organizations.Select",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Organizations.Select(ctx, "acme", authos.OrganizationSelectParams{})
		},
	},
}

func TestOrganizations(t *testing.T) {
	w := newTypedWorld(t)
	ctx, c := t.Context(), w.Client(asOwner)
	old, err := c.Tokens(ctx)
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.Organizations.Create(ctx, authos.OrganizationCreateParams{Slug: "new-org", Name: "New Org"})
	if err != nil {
		t.Fatal(err)
	}
	if made.Slug != "new-org" || made.Status != authos.OrganizationPending || made.TierID == "" || made.MaxServices != nil ||
		made.Owner == nil || made.Owner.Email != asOwner || made.OwnerUserID != made.Owner.ID ||
		made.Membership.Role != authos.RoleOwner || made.Membership.OrgID != made.ID {
		t.Errorf("Create = %+v", made)
	}
	tenantHides(t, made.Tokens.AccessToken, made, *made)
	tenantHides(t, made.Tokens.RefreshToken, made, *made)
	if now, err := c.Tokens(ctx); err != nil || now.AccessToken != old.AccessToken {
		t.Errorf("Create has installed tokens that nobody asked for: %v", err)
	}
	// The new session is good, and so is the one that asked.
	other, err := c.With(authos.WithTokens(made.Tokens))
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range map[string]*authos.Client{"new": other, "old": c} {
		user, err := client.User.Get(ctx)
		if err != nil || user.Email != asOwner || (user.OrgSlug == "new-org") != (client == other) {
			t.Errorf("the %s session's user is %+v, %v", name, user, err)
		}
	}

	w.Server.SetLimits("new-org", 7, 9)
	w.Server.SetFeature("new-org", "allow_branding", true)
	got, err := c.Organizations.Get(ctx, "new-org")
	if err != nil || got.MembershipCount != 1 || got.ServiceCount != 0 || got.Tier == nil || got.Tier.ID != got.TierID {
		t.Fatalf("Get = %+v, %v", got, err)
	}
	if *got.MaxServices != 7 || *got.MaxUsers != 9 || got.FeatureOverrides.AllowBranding == nil || !*got.FeatureOverrides.AllowBranding {
		t.Errorf("Get = %+v, want the overrides", got)
	}
	changed, err := c.Organizations.Update(ctx, "new-org", authos.OrganizationUpdateParams{Name: new("Newer Org")})
	if err != nil || changed.Name != "Newer Org" || changed.ID != got.ID || changed.UpdatedAt.Before(got.UpdatedAt.Time) {
		t.Errorf("Update = %+v, %v", changed, err)
	}
	if same, err := c.Organizations.Update(ctx, "new-org", authos.OrganizationUpdateParams{}); err != nil || same.Name != "Newer Org" || tenantBody(w) != "{}" {
		t.Errorf("Update of nothing = %+v, %v, having sent %s", same, err, tenantBody(w))
	}
	page, err := c.Organizations.List(ctx, authos.OrganizationListParams{Status: authos.OrganizationPending})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != made.ID || page.Total != -1 {
		t.Errorf("List of pending = %+v, %v", page, err)
	}
	if err := c.Organizations.Delete(ctx, "new-org"); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if err := c.Organizations.Delete(ctx, "new-org"); !errors.Is(err, authos.ErrNotFound) || errors.Is(err, authos.ErrOutcomeUnknown) {
		t.Errorf("Delete again = %v, want 404", err)
	}
}

func TestOrganizationSelect(t *testing.T) {
	w := newTypedWorld(t)
	ctx, c := t.Context(), w.Client(asOwner)
	before := time.Now()
	selected, err := c.Organizations.Select(ctx, "acme", authos.OrganizationSelectParams{})
	if err != nil || selected.Slug != "acme" || selected.Owner != nil || selected.Membership.Role != authos.RoleOwner ||
		selected.Tokens.RefreshToken == "" || !selected.Tokens.ExpiresAt.After(before) {
		t.Fatalf("Select = %+v, %v", selected, err)
	}
	installed, err := c.Organizations.Select(ctx, "acme", authos.OrganizationSelectParams{Install: true})
	if err != nil {
		t.Fatal(err)
	}
	if now, err := c.Tokens(ctx); err != nil || now != installed.Tokens || now.AccessToken == selected.Tokens.AccessToken {
		t.Errorf("the tokens in use are not those of the second Select: %v", err)
	}
	w.Server.Reset()
	if _, err := c.User.Get(ctx); err != nil || w.Server.Requests()[0].Header.Get("Authorization") != "Bearer "+installed.Tokens.AccessToken {
		t.Errorf("the next call does not use them: %v", err)
	}
}

// fullStore cannot save.
type fullStore struct{}

func (fullStore) Load(context.Context) (authos.Tokens, error) { return authos.Tokens{}, nil }
func (fullStore) Save(context.Context, authos.Tokens) error   { return errors.New("disk full") }
func (fullStore) Delete(context.Context) error                { return nil }

// The tokens of a session that was made are not lost when they cannot be saved: they are returned,
// and in use.
func TestOrganizationInstallFails(t *testing.T) {
	w := newTypedWorld(t)
	ctx, tokens := t.Context(), w.Server.SignIn(asOwner)
	calls := map[string]func(c *authos.Client) (*authos.OrganizationSession, error){
		"Create": func(c *authos.Client) (*authos.OrganizationSession, error) {
			return c.Organizations.Create(ctx, authos.OrganizationCreateParams{Slug: "new-org", Name: "New Org", Install: true})
		},
		"Select": func(c *authos.Client) (*authos.OrganizationSession, error) {
			return c.Organizations.Select(ctx, "acme", authos.OrganizationSelectParams{Install: true})
		},
	}
	for name, call := range calls {
		c, err := w.Client(asNobody).With(authos.WithTokenStore(fullStore{}))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetTokens(ctx, authos.Tokens{AccessToken: tokens.AccessToken, RefreshToken: tokens.RefreshToken})
		session, err := call(c)
		if err == nil || session == nil || !strings.Contains(err.Error(), "disk full") || errors.Is(err, authos.ErrOutcomeUnknown) {
			t.Fatalf("%s = %v, %v, want a session and an error", name, session, err)
		}
		if now, err := c.Tokens(ctx); err != nil || now != session.Tokens {
			t.Errorf("after %s other tokens are in use: %v", name, err)
		}
	}
}

// The tenant's form of an organization and the platform's differ in their times and in where JSON
// is text.
func TestOrganizationForms(t *testing.T) {
	for name, form := range map[string]string{
		"tenant": `{"organization":{"id":"o","status":"frozen","tier_id":null,"max_users":null,"approved_at":"2026-05-20T12:00:00.5",` +
			`"feature_overrides":"{\"allow_scim\":true}","created_at":"2026-05-20T12:00:00"},"tier":{"id":"t","features":"[\"scim\"]"}}`,
		"platform": `{"organization":{"id":"o","status":"frozen","max_users":null,"approved_at":"2026-05-20T12:00:00.500Z",` +
			`"feature_overrides":{"allow_scim":true},"created_at":"2026-05-20T12:00:00+00:00"},"tier":{"id":"t","features":["scim"]}}`,
	} {
		c := clientWithoutBreaker(t, scripted(reply{status: 200, body: form}))
		got, err := c.Organizations.Get(t.Context(), "acme")
		at := time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)
		want := &authos.OrganizationDetails{Organization: authos.Organization{
			ID: "o", Status: "frozen", FeatureOverrides: authos.FeatureOverrides{AllowSCIM: new(true)},
			CreatedAt: authos.Time{Time: at}, ApprovedAt: authos.Time{Time: at.Add(time.Second / 2)},
		}, Tier: &authos.Tier{ID: "t", Features: authos.TierFeatures{Raw: json.RawMessage(`["scim"]`)}}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestOrganizationPages(t *testing.T) {
	const five = 5
	tenantPages(t, []paging{{
		name: "organizations",
		setup: func(w *typedWorld) {
			for i := range five - 1 {
				w.Server.AddOrganization("org-"+strconv.Itoa(i), "active", asOwner)
			}
			w.Server.AddOrganization("other", "pending", asOwner)
		},
		page: func(ctx context.Context, c *authos.Client, n int) ([]string, int, error) {
			page, err := c.Organizations.List(ctx, authos.OrganizationListParams{Status: authos.OrganizationActive, Limit: 2, Page: n + 1})
			return tenantPage(page, err, func(o authos.OrganizationDetails) string { return o.ID })
		},
		all: func(ctx context.Context, c *authos.Client, limit int) iter.Seq2[string, error] {
			seq := c.Organizations.All(ctx, authos.OrganizationListParams{Status: authos.OrganizationActive, Limit: limit})
			return tenantIDs(seq, func(o authos.OrganizationDetails) string { return o.ID })
		},
		route: "/api/organizations",
		total: -1, beyond: -1, query: "limit=100&page=1&status=active",
	}})
}

func TestOrganizationErrors(t *testing.T) {
	admin := func(w *typedWorld) { w.Server.AddMember("acme", "ada@example.com", "admin") }
	foreign := func(w *typedWorld) { w.Server.AddOrganization("other", "active", "y@example.com") }
	create := func(slug string) func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
		return func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Create(ctx, authos.OrganizationCreateParams{Slug: slug, Name: "New Org"}))
		}
	}
	enter := func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
		return tenantErr(c.Organizations.Select(ctx, "acme", authos.OrganizationSelectParams{}))
	}
	tenantErrors(t, []tenantError{
		{name: "slug taken", call: create("acme"), status: 400, is: tenantBad, docStatus: 409, docIs: tenantConflict, october: 422},
		{name: "too many owned", setup: func(w *typedWorld) {
			for i := range 5 {
				w.Server.AddOrganization("org-"+strconv.Itoa(i), "pending", asOwner)
			}
		}, call: create("new-org"), status: 400, is: tenantBad, october: 422},
		{name: "a stranger's view", setup: foreign, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Get(ctx, "other"))
		}, status: 403, is: tenantForbidden},
		{name: "nothing to see", call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Get(ctx, "nope"))
		}, status: 404, is: tenantMissing},
		{name: "renamed by a member", as: asMember, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Update(ctx, "acme", authos.OrganizationUpdateParams{Name: new("Mine")}))
		}, status: 403, is: tenantForbidden},
		{name: "deleted by an admin", as: "ada@example.com", setup: admin, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return c.Organizations.Delete(ctx, "acme")
		}, status: 403, is: tenantForbidden},
		{name: "suspended", setup: func(w *typedWorld) { w.Server.SuspendOrg("acme") }, call: enter, status: 403, is: tenantInactive},
		{name: "pending", setup: func(w *typedWorld) { w.Server.AddOrganization("acme", "pending", asOwner) }, call: enter, status: 403, is: tenantInactive},
		{name: "selected by a stranger", setup: foreign, call: func(ctx context.Context, c *authos.Client, _ *typedWorld) error {
			return tenantErr(c.Organizations.Select(ctx, "other", authos.OrganizationSelectParams{}))
		}, status: 403, is: tenantForbidden},
		{name: "too many users this month", setup: func(w *typedWorld) {
			w.Server.SetFeature("acme", "max_mau", 1)
			w.Server.AddLogin("acme", "app", asUser, "github", time.Now())
		}, call: enter, status: 400, is: []error{authos.CodeServiceLimitExceeded, authos.ErrInvalid}},
	})
}

func TestOrganizationInputs(t *testing.T) {
	inputs(t, []tenantInput{
		{"List", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.List(ctx, authos.OrganizationListParams{Page: -1, Limit: 101}))
		}, "limit page"},
		{"Create", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Create(ctx, authos.OrganizationCreateParams{Slug: "No!", Name: "x"}))
		}, "slug name"},
		{"Create reserved", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Create(ctx, authos.OrganizationCreateParams{Slug: "admin", Name: strings.Repeat("x", 101)}))
		}, "slug name"},
		{"Get", func(ctx context.Context, c *authos.Client) error { return tenantErr(c.Organizations.Get(ctx, " ")) }, "org_slug"},
		{"Update", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Update(ctx, "", authos.OrganizationUpdateParams{Name: new("  ")}))
		}, "org_slug name"},
		{"Delete", func(ctx context.Context, c *authos.Client) error { return c.Organizations.Delete(ctx, "..") }, "org_slug"},
		{"Select", func(ctx context.Context, c *authos.Client) error {
			return tenantErr(c.Organizations.Select(ctx, "", authos.OrganizationSelectParams{Install: true}))
		}, "org_slug"},
	})
}

// The bounds of slugs and names are the server's own: what it takes is not refused here.
func TestOrganizationBounds(t *testing.T) {
	for _, options := range newerContracts {
		w := newTypedWorld(t, options...)
		for i, p := range []authos.OrganizationCreateParams{
			{Slug: "a_1", Name: "AB"}, {Slug: strings.Repeat("z", 50), Name: strings.Repeat("n", 100)}, {Slug: "---", Name: " x "},
		} {
			w.Server.AddUser("u"+strconv.Itoa(i)+"@example.com", "")
			if _, err := w.Client("u"+strconv.Itoa(i)+"@example.com").Organizations.Create(t.Context(), p); err != nil {
				t.Errorf("Create(%q) = %v", p.Slug, err)
			}
		}
	}
}
