package authos_test

import (
	"context"
	"fmt"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/webhook"
)

// A webhook's secret is shown once, and does not print: hand what Reveal gives to who verifies
// deliveries.
func ExampleWebhooksService_Create() {
	srv, client := newExample()
	defer srv.Close()
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	t := srv.SignIn("ada@example.com")
	ada, err := client.With(authos.WithTokens(authos.Tokens{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken}))
	if err != nil {
		fmt.Println(err)
		return
	}

	hook, err := ada.Organizations.Webhooks.Create(ctx, "acme", authos.WebhookCreateParams{
		Name:   "billing",
		URL:    "https://billing.example/hooks",
		Events: []authos.EventType{webhook.EventSubscriptionCreated, webhook.EventSubscriptionCanceled},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hook.Events, "signed with", hook.Secret)
	fmt.Println(len(hook.Secret.Reveal()), "characters")

	_, err = ada.Organizations.Webhooks.Update(ctx, "acme", hook.ID, authos.WebhookUpdateParams{
		Events: []authos.EventType{webhook.EventSubscriptionCreated, "subscription.paused"},
	})
	fmt.Println(err)
	// Output:
	// [subscription.created subscription.canceled] signed with [redacted]
	// 44 characters
	// authos: invalid input, nothing was sent: Events[1] (events[1]): must be an event that can be subscribed to
}
