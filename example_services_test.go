package authos_test

import (
	"context"
	"fmt"
	"time"

	"github.com/authos-go/authos"
)

// A new application gets its service, a plan, and an API key for its backend.
func ExampleServicesService_Create() {
	srv, client := newExample()
	defer srv.Close()
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	tokens, err := client.Auth.Login(ctx, authos.LoginParams{Email: "ada@example.com", Password: "correct horse"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ada, err := client.With(authos.WithTokens(tokens))
	if err != nil {
		fmt.Println(err)
		return
	}

	_, err = ada.Organizations.Services.Create(ctx, "acme", authos.ServiceCreateParams{Slug: "shop", ServiceType: "kiosk"})
	fmt.Println(err)
	shop, err := ada.Organizations.Services.Create(ctx, "acme", authos.ServiceCreateParams{
		Slug: "shop", Name: "Shop", ServiceType: authos.ServiceTypeWeb, RedirectURIs: []string{"https://shop.example/callback"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// ClientSecret.Reveal() gives it, this once
	fmt.Println(shop.Slug, shop.DefaultPlan.Name, shop.ClientSecret)
	key, err := ada.Organizations.APIKeys.Create(ctx, "acme", shop.Slug, authos.APIKeyCreateParams{
		Name: "backend", Permissions: []authos.APIKeyPermission{authos.PermissionReadService}, ExpiresIn: 90 * 24 * time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	backend, err := client.With(authos.WithAPIKey(key.Key.Reveal()))
	if err != nil {
		fmt.Println(err)
		return
	}
	info, err := backend.Service.Info(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(info.Name)
	// Output:
	// authos: invalid input, nothing was sent: Name (name): must not be empty; ServiceType (service_type): must be one of web, mobile, desktop, api
	// shop free [redacted]
	// Shop
}
