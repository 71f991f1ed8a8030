package authos_test

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// The cases of the user's own accounts: identities, linked accounts, what services have asked for,
// passkeys; of privacy, and of a server that has just been set up.
var accountCases = []typedCase{
	{
		name:  "User.Identities.List",
		as:    asUser,
		setup: func(w *typedWorld) { w.Server.LinkProvider(asUser, "github") },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.Identities.List(ctx)
		},
	},
	{
		name: "User.Identities.Link",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.Identities.Link(ctx, "github", authos.AccountLinkParams{RedirectURI: "https://app.example/"})
		},
		query: "redirect_uri=https%3A%2F%2Fapp.example%2F",
	},
	{
		name:  "User.Identities.Unlink",
		as:    asUser,
		setup: func(w *typedWorld) { w.Server.LinkProvider(asUser, "github"); w.Server.LinkProvider(asUser, "google") },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.User.Identities.Unlink(ctx, "github")
		},
	},
	{
		name:  "User.LinkedAccounts.List",
		as:    asUser,
		setup: acLinked,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.LinkedAccounts.List(ctx)
		},
	},
	{
		name: "User.LinkedAccounts.Link",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.LinkedAccounts.Link(ctx, "github", authos.AccountLinkParams{})
		},
	},
	{
		name:  "User.LinkedAccounts.Grant",
		as:    asUser,
		setup: acLinked,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.User.LinkedAccounts.Grant(ctx, w.ID, authos.AccountGrantParams{ServiceID: w.ID2})
		},
		body: `{"service_id":"$2","scopes":[]}`,
	},
	{
		name:  "User.LinkedAccounts.Unlink",
		as:    asUser,
		setup: acLinked,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.User.LinkedAccounts.Unlink(ctx, w.ID)
		},
	},
	{
		name:  "User.LinkedAccounts.RevokeGrant",
		as:    asUser,
		setup: acLinked,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.User.LinkedAccounts.RevokeGrant(ctx, w.ID, w.ID2)
		},
	},
	{
		name:  "User.ProviderToken",
		as:    asUser,
		setup: func(w *typedWorld) { w.Server.LinkProvider(asUser, "github") },
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.ProviderToken(ctx, "github")
		},
	},
	{
		name:  "User.ProviderTokenRequests.Get",
		as:    asUser,
		setup: acAsked,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.User.ProviderTokenRequests.Get(ctx, w.Secret)
		},
	},
	{
		name:  "User.ProviderTokenRequests.Complete",
		as:    asUser,
		setup: acAsked,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.User.ProviderTokenRequests.Complete(ctx, w.Secret, authos.ProviderTokenCompleteParams{ConnectedAccountID: w.ID})
		},
		body: `{"connected_account_id":"$1"}`,
	},
	{
		name:  "User.ProviderTokenRequests.Link",
		as:    asUser,
		setup: acAsked,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.User.ProviderTokenRequests.Link(ctx, w.Secret)
		},
	},
	{
		name:  "User.Passkeys.List",
		setup: acPasskey,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.Passkeys.List(ctx)
		},
	},
	{
		name: "User.Passkeys.StartRegistration",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.User.Passkeys.StartRegistration(ctx, authos.PasskeyRegisterParams{Name: "laptop"})
		},
		body: `{"name":"laptop"}`,
	},
	{
		name:  "User.Passkeys.FinishRegistration",
		setup: func(w *typedWorld) { w.ID = acChallenge(w) },
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.User.Passkeys.FinishRegistration(ctx, acMade(w.ID))
		},
		body: `{"challenge_id":"$1","credential":{"id":"made by a browser"}}`,
	},
	{
		name:  "User.Passkeys.Update",
		setup: acPasskey,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.User.Passkeys.Update(ctx, w.ID, authos.PasskeyUpdateParams{Name: "phone"})
		},
		body: `{"name":"phone"}`,
	},
	{
		name:  "User.Passkeys.Delete",
		setup: acPasskey,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.User.Passkeys.Delete(ctx, w.ID)
		},
		optional: true,
	},
	{
		name:  "Auth.StartPasskey",
		setup: acPasskey,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Auth.StartPasskey(ctx, authos.StartPasskeyParams{Email: asOwner, State: "s"})
		},
		body: `{"email":"owner@example.com","state":"s"}`,
	},
	{
		name: "Auth.FinishPasskey",
		setup: func(w *typedWorld) {
			acPasskey(w)
			challenge, err := w.Client(asNobody).Auth.StartPasskey(w.T.Context(), authos.StartPasskeyParams{Email: asOwner})
			if err != nil {
				w.T.Fatal(err)
			}
			w.ID = challenge.ChallengeID
		},
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Auth.FinishPasskey(ctx, authos.FinishPasskeyParams{PasskeyFinishParams: acMade(w.ID)})
		},
		body: `{"challenge_id":"$1","credential":{"id":"made by a browser"}}`,
	},
	{
		name: "Auth.BootstrapLogin",
		setup: func(w *typedWorld) {
			w.Server.Manage(map[string]any{"a": 1})
			w.Secret = w.Server.AddBootstrapToken("first@example.com")
		},
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Auth.BootstrapLogin(ctx, authos.BootstrapLoginParams{Token: authos.NewSecret(w.Secret)})
		},
		body: `{"token":"$secret"}`,
	},
	{
		name: "Auth.VerifyEmail",
		setup: func(w *typedWorld) {
			err := w.Client(asNobody).Auth.Register(w.T.Context(), authos.RegisterParams{Email: "new@example.com", Password: "password1"})
			if err != nil {
				w.T.Fatal(err)
			}
			w.Secret = authMail(w.T, w.Server, "new@example.com", authostest.VerificationMail)
		},
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return nil, c.Auth.VerifyEmail(ctx, w.Secret)
		},
		query: "token=$secret", page: true,
	},
	{
		name:  "Privacy.Export",
		setup: acPasskey,
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			return c.Privacy.Export(ctx, w.Server.AddUser(asOwner, "").ID)
		},
	},
	{
		name: "Privacy.Forget",
		call: func(ctx context.Context, c *authos.Client, w *typedWorld) (any, error) {
			p := authos.PrivacyForgetParams{CurrentPassword: "password1"}
			return nil, c.Privacy.Forget(ctx, w.Server.AddUser(asOwner, "").ID, p)
		},
		body: `{"current_password":"password1"}`, optional: true,
	},
	{
		name:  "Platform.Bootstrap.Config",
		setup: acManaged,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.Bootstrap.Config(ctx)
		},
	},
	{
		name:  "Platform.Bootstrap.Update",
		setup: acManaged,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Platform.Bootstrap.Update(ctx, authos.BootstrapUpdateParams{Config: json.RawMessage(`{"a":2}`)})
		},
		body: `{"a":2}`,
	},
	{
		name:  "Platform.Bootstrap.Apply",
		setup: acManaged,
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return nil, c.Platform.Bootstrap.Apply(ctx)
		},
	},
	{
		name: "Server.WebConfig",
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Server.WebConfig(ctx)
		},
		setup: acManaged,
	},
	{
		name:    "Server.Metrics",
		options: []authostest.Option{authostest.WithMetrics("operator")},
		call: func(ctx context.Context, c *authos.Client, _ *typedWorld) (any, error) {
			return c.Server.Metrics(ctx, authos.NewSecret("operator"))
		},
		page: true,
	},
}

// acLinked gives the user an account at github; w.ID is it, w.ID2 the service that it is granted
// to.
func acLinked(w *typedWorld) {
	w.Server.AllowProvider("acme", "app", "github")
	w.Server.LinkProvider(asUser, "github")
	list, err := w.Client(asUser).User.LinkedAccounts.List(w.T.Context())
	if err != nil || len(list.Accounts) == 0 || len(list.Accounts[0].Grants) == 0 {
		w.T.Fatalf("linked accounts %+v, %v", list, err)
	}
	w.ID, w.ID2 = list.Accounts[0].ID, list.Accounts[0].Grants[0].ServiceID
}

// acAsked makes the service ask for more than the user has granted; w.Secret is the request's
// state.
func acAsked(w *typedWorld) {
	acLinked(w)
	w.Server.RevokeProviderGrant(asUser, "github")
	asked, err := w.Client(asKey).Service.ProviderToken(w.T.Context(), authos.ProviderTokenParams{
		UserID: w.Server.AddUser(asUser, "").ID, Provider: "github",
	})
	if err != nil || asked.Action == nil {
		w.T.Fatalf("asked %+v, %v", asked, err)
	}
	u, err := url.Parse(asked.Action.ReauthURL)
	if err != nil {
		w.T.Fatal(err)
	}
	w.Secret = u.Path[strings.LastIndexByte(u.Path, '/')+1:]
}

func acChallenge(w *typedWorld) string {
	return tenantDo(w, func(ctx context.Context, c *authos.Client) (*authos.PasskeyChallenge, error) {
		return c.User.Passkeys.StartRegistration(ctx, authos.PasskeyRegisterParams{Name: "laptop"})
	}).ChallengeID
}

func acMade(challengeID string) authos.PasskeyFinishParams {
	return authos.PasskeyFinishParams{ChallengeID: challengeID, Credential: json.RawMessage(`{"id":"made by a browser"}`)}
}

func acPasskey(w *typedWorld) {
	made := acMade(acChallenge(w))
	w.ID = tenantDo(w, func(ctx context.Context, c *authos.Client) (string, error) {
		return c.User.Passkeys.FinishRegistration(ctx, made)
	})
}

func acManaged(w *typedWorld) { w.Server.Manage(map[string]any{"a": 1}) }
