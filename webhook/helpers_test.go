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
	whSecret = "a2V5LWZvci10ZXN0cy0wMTIzNDU2Nzg5YWJjZGVmMDE=" // as AuthOS makes them: 44 characters
	whOld    = "b2xkLWtleS1mb3ItdGVzdHMtMDEyMzQ1Njc4OWFiY2Q="
	whBody   = `{"actor_email":"ada@example.com","data":{"plan":"pro"},"event":"subscription.created","organization_id":"org_1",` +
		`"timestamp":"2000-01-01T00:00:00.000000+00:00"}`
)

// whSign signs as the server does.
func whSign(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// whHeader is the header of a delivery made now.
func whHeader(secret, body string) http.Header {
	return http.Header{
		webhook.SignatureHeader: {whSign(secret, body)},
		webhook.TimestampHeader: {strconv.FormatInt(time.Now().Unix(), 10)},
	}
}

// whSend hands a handler a delivery made now.
func whSend(ctx context.Context, h http.Handler, body string) *httptest.ResponseRecorder {
	return whServe(ctx, h, http.MethodPost, whHeader(whSecret, body), body)
}

func whServe(ctx context.Context, h http.Handler, method string, header http.Header, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, "/hooks", strings.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// whWant checks an answer.
func whWant(t *testing.T, w *httptest.ResponseRecorder, status int, text string) {
	t.Helper()
	if w.Code != status || w.Body.String() != text+"\n" {
		t.Errorf("answer = %d %q, want %d %q", w.Code, w.Body, status, text)
	}
}
