// Admin sets up a tenant: it creates an organization, has the platform's owner approve it, adds a
// service with an API key, invites a member and reads the audit log. It starts a fake AuthOS in
// process, so it runs offline:
//
//	go run ./examples/admin
//
// With AUTHOS_BASE_URL, AUTHOS_EMAIL and AUTHOS_PASSWORD set to a platform owner's it does the same
// at that server.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

func main() {
	if err := run(context.Background()); err != nil {
		// for whoever sits in front of it, and for whoever looks into it
		log.Fatalf("%s (%v)", authos.UserMessage(err), err)
	}
}

func run(ctx context.Context) error {
	if base := os.Getenv("AUTHOS_BASE_URL"); base != "" {
		return setUp(ctx, base, os.Getenv("AUTHOS_EMAIL"), os.Getenv("AUTHOS_PASSWORD"))
	}
	srv := authostest.New()
	defer srv.Close()
	srv.AddPlatformOwner("root@example.com", "correct horse")
	return setUp(ctx, srv.URL, "root@example.com", "correct horse")
}

func setUp(ctx context.Context, base, email, password string) error {
	client, err := authos.New(base)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Auth.Login(ctx, authos.LoginParams{Email: email, Password: password, Install: true}); err != nil {
		return err
	}

	slug := "globex-" + strconv.FormatInt(time.Now().Unix()%100000, 10)
	made, err := client.Organizations.Create(ctx, authos.OrganizationCreateParams{Slug: slug, Name: "Globex"})
	if err != nil {
		return err
	}
	fmt.Printf("organization %s is %s\n", made.Slug, made.Status)
	approved, err := client.Platform.Organizations.Approve(ctx, made.ID, authos.OrganizationApproveParams{})
	if err != nil {
		return err
	}
	fmt.Printf("organization %s is %s, tier %s\n", approved.Slug, approved.Status, approved.TierID)

	// The session that Create gave is bound to the new organization. This client shares connections
	// and limits with the first.
	admin, err := client.With(authos.WithTokens(made.Tokens))
	if err != nil {
		return err
	}
	service, err := admin.Organizations.Services.Create(ctx, slug, authos.ServiceCreateParams{
		Slug: "web", Name: "Web shop", ServiceType: authos.ServiceTypeWeb, RedirectURIs: []string{"https://shop.example.com/callback"},
	})
	if err != nil {
		return err
	}
	fmt.Printf("service %s, client id %s, client secret %v, plan %s\n",
		service.Slug, service.ClientID, service.ClientSecret, service.DefaultPlan.Name)
	key, err := admin.Organizations.APIKeys.Create(ctx, slug, "web", authos.APIKeyCreateParams{
		Name: "backend", Permissions: []authos.APIKeyPermission{authos.PermissionReadUsers, authos.PermissionWriteUsers},
	})
	if err != nil {
		return err
	}
	fmt.Printf("API key %s: %v, %d characters, shown once\n", key.Prefix, key.Key, len(key.Key.Reveal()))
	invited, err := admin.Organizations.Invitations.Create(ctx, slug, authos.InvitationCreateParams{
		Email: "grace@example.com", Role: authos.RoleAdmin,
	})
	if err != nil {
		return err
	}
	until := invited.ExpiresAt.Format(time.DateOnly)
	fmt.Printf("invited %s as %s until %s\n", invited.Email, invited.Role, until)

	fmt.Println("audit log:") // the server writes it about a second later
	for entry, err := range admin.Organizations.AuditLog.All(ctx, slug, authos.AuditLogListParams{}) {
		if err != nil {
			return err
		}
		fmt.Printf("  %s %s\n", entry.Action, cmp.Or(entry.TargetType, "-"))
	}
	return nil
}
