package webhook_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/authos-go/authos/webhook"
)

// Header and body come from strangers. Nothing may be accepted but an event that is signed with a
// secret and stamped within the tolerance, and everything else has one of the reasons. sign and
// stamp let the fuzzer past the first checks.
func FuzzVerify(f *testing.F) {
	f.Add([]byte(testBody), "", "", true, true)
	f.Add([]byte(testBody), signBody(testSecret, testBody), "946684800", false, true)
	f.Add([]byte(testBody), signBody(oldSecret, testBody), "", false, true)
	f.Add([]byte(`{"event":"x","timestamp":"2026-05-20T12:00:00.123456789+00:00","data":{"a":[1,null]}}`), "", "9223372036854775807", true, false)
	f.Add([]byte(`{"event":5,"Event":"x","timestamp":"2026-05-20 12:00:00","data":null}`), "", "-1", true, true)
	f.Add([]byte("\xff"), "sha256=", "1e9", true, true)
	f.Add([]byte{}, "sha256=0000000000000000000000000000000000000000000000000000000000000000", "", false, false)
	v := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}
	reasons := []error{webhook.ErrTooLarge, webhook.ErrHeader, webhook.ErrSignature, webhook.ErrTimestamp, webhook.ErrPayload}
	f.Fuzz(func(t *testing.T, body []byte, signature, stamp string, sign, now bool) {
		if sign {
			signature = signBody(testSecret, string(body))
		}
		if now {
			stamp = strconv.FormatInt(time.Now().Unix(), 10)
		}
		header := http.Header{webhook.SignatureHeader: {signature}, webhook.TimestampHeader: {stamp}}
		e, err := v.Verify(header, body)
		authentic := signature == signBody(testSecret, string(body))
		seconds, parseErr := strconv.ParseInt(stamp, 10, 64)
		recent := parseErr == nil && time.Since(time.Unix(seconds, 0)).Abs() < 302*time.Second
		if err != nil {
			if e.ID != "" || e.Type != "" || e.Body != nil {
				t.Errorf("an event came with %v", err)
			}
			if !slices.ContainsFunc(reasons, func(reason error) bool { return errors.Is(err, reason) }) {
				t.Errorf("%v is for no known reason", err)
			}
			if !authentic && !errors.Is(err, webhook.ErrSignature) && !errors.Is(err, webhook.ErrHeader) {
				t.Errorf("a stranger learns %v", err)
			}
			return
		}
		if !authentic || !recent || !json.Valid(body) {
			t.Fatalf("accepted: authentic %t, recent %t, body %q", authentic, recent, body)
		}
		if e.Type == "" || len(e.ID) != 64 || string(e.Body) != string(body) || len(e.Data) > 0 && !json.Valid(e.Data) {
			t.Errorf("event %#v", e)
		}
	})
}
