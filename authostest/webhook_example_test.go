package authostest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/authos-go/authos/authostest"
)

// A receiver under test gets a signed event, as from the real server.
func ExampleServer_Publish() {
	results := make(chan string)
	var secret string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		good := r.Header.Get("X-Webhook-Signature") == "sha256="+hex.EncodeToString(mac.Sum(nil))
		results <- fmt.Sprint("signature good: ", good)
	}))
	defer receiver.Close()

	srv := authostest.New()
	defer srv.Close()
	_, secret = srv.AddWebhook("acme", receiver.URL, "subscription.created")
	srv.Publish("acme", "subscription.created", map[string]any{"plan": "pro"})
	fmt.Println(<-results)
	// Output: signature good: true
}
