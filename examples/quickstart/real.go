package main

import (
	"context"
	"fmt"
	"os"

	"github.com/authos-go/authos"
)

// readOnly changes nothing at a real server.
func readOnly(ctx context.Context) error {
	client, err := authos.New(os.Getenv("AUTHOS_BASE_URL"), authos.WithAPIKey(os.Getenv("AUTHOS_API_KEY")))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	var r authos.Response
	title("which service the key belongs to", "was asked for /api/service/info")
	info, err := client.Service.Info(ctx, authos.WithResponse(&r))
	if err != nil {
		return err
	}
	report(r, info.Name)
	title("its users", "was asked for the first page")
	page, err := client.Service.Users.List(ctx, authos.ServiceUserListParams{Limit: 5}, authos.WithResponse(&r))
	if err != nil {
		return err
	}
	report(r, fmt.Sprintf("%d of %d users", len(page.Items), page.Total))
	return nil
}
