package authos_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/authos-go/authos"
)

// The owners of the platform let new organizations in.
func ExamplePlatformOrganizationsService_Approve() {
	srv, client := newExample()
	defer srv.Close()
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	srv.AddOrganization("globex", "pending", "hank@globex.example")
	srv.AddPlatformOwner("root@example.com", "")
	session := srv.SignIn("root@example.com")
	root, err := client.With(authos.WithTokens(authos.Tokens{AccessToken: session.AccessToken, RefreshToken: session.RefreshToken}))
	if err != nil {
		fmt.Println(err)
		return
	}

	orgs := root.Platform.Organizations
	pending, err := orgs.List(ctx, authos.PlatformOrganizationListParams{Status: authos.OrganizationPending})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, org := range pending.Items {
		approved, err := orgs.Approve(ctx, org.ID, authos.OrganizationApproveParams{TierID: "tier_enterprise"})
		switch {
		case errors.Is(err, authos.ErrOutcomeUnknown):
			fmt.Println("look at the organization before approving it again:", err)
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println(approved.Name, "of", org.Owner.Email, "is", approved.Status, "on", approved.TierID)
		}
	}
	// Output: Globex of hank@globex.example is active on tier_enterprise
}
