package authos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

func userDevice(w *typedWorld) { w.ID = w.Server.AddDevice(asOwner, "Laptop") }

func userInvited(w *typedWorld) {
	w.Server.AddOrganization("globex", "active", "boss@example.com")
	w.ID, w.Secret = w.Server.AddInvitation("globex", asOwner, "member")
}

var userCases = []typedCase{
	{
		name: "User.Get",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) { return c.User.Get(ctx) },
	},
	{
		name: "User.Update",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.Update(ctx, authos.UserUpdateParams{Email: new("new@example.com")})
		},
		body: `{"email":"new@example.com"}`,
	},
	{
		name: "User.ChangePassword",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.User.ChangePassword(ctx, authos.ChangePasswordParams{CurrentPassword: "password1", NewPassword: "password2"})
		},
		body:     `{"current_password":"password1","new_password":"password2"}`,
		optional: true,
	},
	{
		name: "User.SetPassword",
		as:   asMember,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.User.SetPassword(ctx, "password2")
		},
		body:     `{"new_password":"password2"}`,
		optional: true,
	},
	{
		name: "User.Subscription",
		as:   asUser,
		setup: func(w *typedWorld) {
			w.Server.AddSubscription(asUser, w.Server.AddPlan("acme", "app", "pro", 900))
		},
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.Subscription(ctx)
		},
	},
	{
		name:  "User.Devices.List",
		setup: userDevice,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.Devices.List(ctx, authos.UserDeviceListParams{
				Page: 1, Limit: 7, SortBy: authos.SortName, SortOrder: authos.SortDescending,
			})
		},
		query: "limit=7&page=1&sort_by=name&sort_order=desc",
	},
	{
		name:  "User.Devices.Get",
		setup: userDevice,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.User.Devices.Get(ctx, w.ID)
		},
	},
	{
		name:  "User.Devices.Update",
		setup: userDevice,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.User.Devices.Update(ctx, w.ID, authos.UserDeviceUpdateParams{DeviceName: "Old laptop"})
		},
		body: `{"device_name":"Old laptop"}`,
	},
	{
		name:  "User.Devices.Revoke",
		setup: userDevice,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.User.Devices.Revoke(ctx, w.ID, authos.UserDeviceRevokeParams{})
		},
		body:     `{}`, // the server wants a body, although nothing in it is required
		optional: true,
	},
	{
		name:  "User.Devices.Trust",
		setup: userDevice,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.User.Devices.Trust(ctx, w.ID)
		},
	},
	{
		name:  "User.Devices.RevokeAll",
		setup: userDevice,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.User.Devices.RevokeAll(ctx)
		},
		optional: true,
	},
	{
		name: "User.MFA.Status",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) { return c.User.MFA.Status(ctx) },
		setup: func(w *typedWorld) {
			w.Server.RequireMFA(asOwner)
		},
	},
	{
		name:  "User.MFA.Setup",
		route: "POST /api/user/mfa/setup",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.MFA.Setup(ctx, authos.MFASetupParams{Replace: true})
		},
	},
	{
		name: "User.MFA.Enable",
		setup: func(w *typedWorld) {
			if _, err := w.Client(asOwner).User.MFA.Setup(w.T.Context(), authos.MFASetupParams{}); err != nil {
				w.T.Fatal(err)
			}
		},
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.MFA.Enable(ctx, "123456")
		},
		body: `{"code":"123456"}`,
	},
	{
		name: "User.MFA.Disable",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.User.MFA.Disable(ctx)
		},
		optional: true,
	},
	{
		name:  "User.MFA.RegenerateBackupCodes",
		setup: func(w *typedWorld) { w.Server.RequireMFA(asOwner) },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.MFA.RegenerateBackupCodes(ctx)
		},
	},
	{
		name:  "Invitations.List",
		setup: userInvited,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Invitations.List(ctx)
		},
	},
	{
		name:  "Invitations.Accept",
		setup: userInvited,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Invitations.Accept(ctx, w.ID)
		},
	},
	{
		name:  "Invitations.AcceptToken",
		setup: userInvited,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Invitations.AcceptToken(ctx, w.Secret)
		},
		body: `{"token":"$secret"}`,
	},
	{
		name:  "Invitations.Decline",
		setup: userInvited,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Invitations.Decline(ctx, w.ID)
		},
	},
	{
		name:  "Invitations.DeclineToken",
		setup: userInvited,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Invitations.DeclineToken(ctx, w.Secret)
		},
		body: `{"token":"$secret"}`,
	},
}

func TestUserPasswords(t *testing.T) {
	for _, options := range newerContracts {
		w := newTypedWorld(t, options...)
		c, other := w.Client(asOwner), w.Client(asOwner)
		wrong := authos.ChangePasswordParams{CurrentPassword: "not it", NewPassword: "password2"}
		for range 2 {
			if err := c.User.ChangePassword(t.Context(), wrong); !errors.Is(err, authos.ErrUnauthenticated) || errors.Is(err, authos.ErrSessionExpired) {
				t.Errorf("wrong password: %v", err)
			}
		}
		if n := w.Server.Count(http.MethodPost, "/api/auth/refresh"); n != 0 {
			t.Errorf("a wrong password cost %d refreshes", n)
		}
		if err := c.User.ChangePassword(t.Context(), authos.ChangePasswordParams{
			CurrentPassword: "password1", NewPassword: "password2",
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.User.Get(t.Context()); err != nil {
			t.Errorf("the session that changed the password: %v", err)
		}
		if _, err := other.User.Get(t.Context()); !errors.Is(err, authos.ErrSessionExpired) {
			t.Errorf("another session: %v, want it to be over", err)
		}
		if err := c.User.SetPassword(t.Context(), "password3"); !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("setting a password that is set: %v", err)
		}
		if err := w.Client(asMember).User.ChangePassword(t.Context(), wrong); !errors.Is(err, authos.ErrInvalid) {
			t.Errorf("changing a password that is not set: %v", err)
		}
	}
}

func TestUserSubscription(t *testing.T) {
	w := newTypedWorld(t)
	c := w.Client(asUser)
	free, err := c.User.Subscription(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if free.PlanName != "free" || !free.CurrentPeriodEnd.IsZero() { // the server sends "N/A"
		t.Errorf("without a subscription: %+v", free)
	}
	w.Server.AddSubscription(asUser, w.Server.AddPlan("acme", "app", "pro", 900))
	pro, err := c.User.Subscription(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if pro.PlanName != "pro" || pro.Status != authos.SubscriptionActive || time.Until(pro.CurrentPeriodEnd.Time) < 24*time.Hour {
		t.Errorf("with one: %+v", pro)
	}
	unbound, err := w.Client(asNobody).With(authos.WithTokens(authos.Tokens{AccessToken: w.Server.SignInTo("acme", "", asOwner).AccessToken}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unbound.User.Subscription(t.Context()); !errors.Is(err, authos.CodeBadRequest) {
		t.Errorf("a session of no service: %v", err)
	}
}

func TestUserDevices(t *testing.T) {
	w := newTypedWorld(t)
	c := w.Client(asOwner)
	for i := range 5 {
		w.Server.AddDevice(asOwner, fmt.Sprintf("device %d", i))
	}
	w.Server.Reset()
	var names []string
	for d, err := range c.User.Devices.All(t.Context(), authos.UserDeviceListParams{Limit: 2, SortBy: authos.SortName, SortOrder: authos.SortAscending}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, d.DeviceName)
	}
	if !slices.IsSorted(names) || len(names) != 5 {
		t.Errorf("devices %q", names)
	}
	if n := w.Server.Count(http.MethodGet, "/api/user/devices"); n != 3 {
		t.Errorf("%d requests for 5 devices by 2", n)
	}
	w.Server.Reset()
	for _, err := range c.User.Devices.All(t.Context(), authos.UserDeviceListParams{Limit: 2}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if n := w.Server.Count(http.MethodGet, "/api/user/devices"); n != 1 {
		t.Errorf("%d requests for the first device", n)
	}
	past, err := c.User.Devices.List(t.Context(), authos.UserDeviceListParams{Limit: 2, Page: 9})
	if err != nil || len(past.Items) != 0 || past.Total != 5 {
		t.Errorf("past the end: %+v, %v", past, err)
	}
	id := w.Server.AddDevice(asOwner, "one more")
	if err := c.User.Devices.Revoke(t.Context(), id, authos.UserDeviceRevokeParams{Reason: "lost"}); err != nil {
		t.Fatal(err)
	}
	if err := c.User.Devices.Revoke(t.Context(), id, authos.UserDeviceRevokeParams{}); !errors.Is(err, authos.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	if _, err := c.User.Devices.Get(t.Context(), id); !errors.Is(err, authos.ErrNotFound) {
		t.Errorf("a revoked device: %v", err)
	}
}

func TestUserMFASetupKeepsWhatIsOn(t *testing.T) {
	w := newTypedWorld(t)
	w.Server.RequireMFA(asOwner)
	c := w.Client(asOwner)
	_, err := c.User.MFA.Setup(t.Context(), authos.MFASetupParams{})
	if _, ok := errors.AsType[*authos.ValidationError](err); !ok || !errors.Is(err, authos.CodeResourceAlreadyExists) {
		t.Errorf("setting up what is on: %v", err)
	}
	if status, err := c.User.MFA.Status(t.Context()); err != nil || !status.Enabled {
		t.Errorf("afterwards: %+v, %v", status, err)
	}
	setup, err := c.User.MFA.Setup(t.Context(), authos.MFASetupParams{Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v", setup, *setup, setup); strings.Contains(text, setup.Secret.Reveal()) || strings.Contains(text, "otpauth") {
		t.Errorf("the secret prints: %s", text)
	}
	if _, err := c.User.MFA.Enable(t.Context(), "000000"); !errors.Is(err, authos.ErrInvalid) {
		t.Errorf("a wrong code: %v", err)
	}
	codes, err := c.User.MFA.Enable(t.Context(), "123456")
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", codes, codes, codes, codes); strings.Contains(text, codes[0].Reveal()) {
		t.Errorf("backup codes print: %s", text)
	}
	if _, err := w.Client(asMember).User.MFA.RegenerateBackupCodes(t.Context()); !errors.Is(err, authos.ErrInvalid) {
		t.Errorf("backup codes of nothing: %v", err)
	}
}

func TestUserInvitations(t *testing.T) {
	w := newTypedWorld(t)
	userInvited(w)
	c := w.Client(asOwner)
	var got []authos.ReceivedInvitation
	for inv, err := range c.Invitations.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, inv)
	}
	if len(got) != 1 || got[0].OrgSlug != "globex" || time.Until(got[0].ExpiresAt.Time) < 24*time.Hour {
		t.Fatalf("invitations %+v", got)
	}
	if err := w.Client(asMember).Invitations.AcceptToken(t.Context(), w.Secret); !errors.Is(err, authos.ErrForbidden) {
		t.Errorf("somebody else's: %v", err)
	}
	if err := c.Invitations.Accept(t.Context(), w.ID); err != nil {
		t.Fatal(err)
	}
	if err := c.Invitations.Accept(t.Context(), w.ID); !errors.Is(err, authos.ErrNotFound) {
		t.Errorf("accepted twice: %v", err)
	}
	w.Server.SetLimits("globex", 1, 2)
	full, token := w.Server.AddInvitation("globex", asMember, "member")
	if err := w.Client(asMember).Invitations.Accept(t.Context(), full); !errors.Is(err, authos.CodeTeamLimitExceeded) {
		t.Errorf("a full team: %v", err)
	}
	w.Server.SuspendOrg("globex")
	if err := w.Client(asMember).Invitations.Accept(t.Context(), full); !errors.Is(err, authos.CodeOrganizationNotActive) {
		t.Errorf("a suspended organization: %v", err)
	}
	if err := w.Client(asNobody).Invitations.DeclineToken(t.Context(), token); err != nil {
		t.Errorf("declining without being signed in: %v", err)
	}
}

func TestUserInput(t *testing.T) {
	w := newTypedWorld(t)
	c := w.Client(asOwner)
	w.Server.Reset()
	tests := []struct {
		name string
		err  error
		want []string
	}{
		{"passwords", c.User.ChangePassword(t.Context(), authos.ChangePasswordParams{NewPassword: "short"}), []string{"current_password", "new_password"}},
		{"new password", c.User.SetPassword(t.Context(), ""), []string{"new_password"}},
		{"device list", typedErr(c.User.Devices.List(t.Context(), authos.UserDeviceListParams{Page: -1, Limit: 101, SortBy: "size", SortOrder: "up"})),
			[]string{"limit", "page", "sort_by", "sort_order"}},
		{"device", typedErr(c.User.Devices.Update(t.Context(), "..", authos.UserDeviceUpdateParams{DeviceName: " "})), []string{"device_id", "device_name"}},
		{"device id", typedErr(c.User.Devices.Get(t.Context(), "")), []string{"device_id"}},
		{"trust", typedErr(c.User.Devices.Trust(t.Context(), "")), []string{"device_id"}},
		{"revoke", c.User.Devices.Revoke(t.Context(), "", authos.UserDeviceRevokeParams{}), []string{"device_id"}},
		{"code", typedErr(c.User.MFA.Enable(t.Context(), "")), []string{"code"}},
		{"invitation", c.Invitations.Accept(t.Context(), ""), []string{"invitation_id"}},
		{"invitation to decline", c.Invitations.Decline(t.Context(), ""), []string{"invitation_id"}},
		{"token", c.Invitations.AcceptToken(t.Context(), ""), []string{"token"}},
		{"token to decline", c.Invitations.DeclineToken(t.Context(), ""), []string{"token"}},
	}
	for _, tt := range tests {
		typedInvalid(t, tt.name, tt.err, tt.want...)
	}
	if got := w.Server.Requests(); len(got) != 0 {
		t.Errorf("the server saw %+v", got)
	}
}

// A server of October 2025 wants to know who declines: it is told where the client is signed in,
// and only when it asks.
func TestDeclineTokenWithTheBearer(t *testing.T) {
	asks := reply{status: 401, body: `{"error":"Missing or invalid Authorization header","error_code":"UNAUTHORIZED"}`}
	for name, tt := range map[string]struct {
		steps []reply
		opts  []authos.Option
		want  []string // the Authorization that the server saw
		fails bool
	}{
		"newer server": {[]reply{{status: 200, body: "null"}}, []authos.Option{authos.WithTokens(authos.Tokens{AccessToken: "a"})}, []string{""}, false},
		"older server": {[]reply{asks, {status: 200, body: "null"}}, []authos.Option{authos.WithTokens(authos.Tokens{AccessToken: "a"})}, []string{"", "Bearer a"}, false},
		"nobody":       {[]reply{asks}, nil, []string{""}, true},
	} {
		script := scripted(tt.steps...)
		err := clientWithoutBreaker(t, script, tt.opts...).Invitations.DeclineToken(t.Context(), "token")
		var saw []string
		for _, r := range script.requests() {
			saw = append(saw, r.header.Get("Authorization"))
		}
		if (err != nil) != tt.fails || !slices.Equal(saw, tt.want) {
			t.Errorf("%s: %v, the server saw %q; want %q", name, err, saw, tt.want)
		}
	}
}
