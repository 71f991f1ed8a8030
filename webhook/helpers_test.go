package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/webhook"
)

const (
	// as AuthOS makes them: 44 characters
	testSecret = "a2V5LWZvci10ZXN0cy0wMTIzNDU2Nzg5YWJjZGVmMDE="
	oldSecret  = "b2xkLWtleS1mb3ItdGVzdHMtMDEyMzQ1Njc4OWFiY2Q="
	testBody   = `{"actor_email":"ada@example.com","data":{"plan":"pro"},"event":"subscription.created","organization_id":"org_1",` +
		`"timestamp":"2000-01-01T00:00:00.000000+00:00"}`
)

// signBody signs as the server does.
func signBody(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// deliveryHeader is the header of a delivery made now.
func deliveryHeader(secret, body string) http.Header {
	return http.Header{
		webhook.SignatureHeader: {signBody(secret, body)},
		webhook.TimestampHeader: {strconv.FormatInt(time.Now().Unix(), 10)},
	}
}

// deliver hands a handler a delivery made now.
func deliver(ctx context.Context, h http.Handler, body string) *httptest.ResponseRecorder {
	return serveRequest(ctx, h, http.MethodPost, deliveryHeader(testSecret, body), body)
}

func serveRequest(ctx context.Context, h http.Handler, method string, header http.Header, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, "/hooks", strings.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantResponse checks a response.
func wantResponse(t *testing.T, w *httptest.ResponseRecorder, status int, text string) {
	t.Helper()
	if w.Code != status || w.Body.String() != text+"\n" {
		t.Errorf("response = %d %q, want %d %q", w.Code, w.Body, status, text)
	}
}
