package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/webhook"
)

// The signature was made with another program (openssl dgst -sha256 -hmac).
func TestVerifyKnownDelivery(t *testing.T) {
	const body = `{"data":{"plan":"pro"},"event":"subscription.created","organization_id":"org_1","timestamp":"2026-05-20T12:00:00.123456+00:00"}`
	header := http.Header{}
	header.Set("x-webhook-signature", "sha256=5495e805443dc1b07bf7f0cff17e63224aec56908158293009520932f85af803")
	header.Set("x-webhook-timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	e, err := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Verify(header, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if e.ID != "7d628506f31df84b4329ab5c35872285b75a8dd56001dc7dd14db2691e23db33" {
		t.Errorf("ID = %s", e.ID)
	}
	if e.Type != webhook.EventSubscriptionCreated || e.OrgID != "org_1" || string(e.Data) != `{"plan":"pro"}` || string(e.Body) != body {
		t.Errorf("event = %#v", e)
	}
	if want := time.Date(2026, 5, 20, 12, 0, 0, 123456000, time.UTC); e.Timestamp != want {
		t.Errorf("Timestamp = %v, want %v", e.Timestamp, want)
	}
}

func TestVerifyRotation(t *testing.T) {
	for _, tt := range []struct {
		name    string
		secrets []string
		signer  string
		want    error
	}{
		{"the only one", []string{testSecret}, testSecret, nil},
		{"first of two", []string{testSecret, oldSecret}, testSecret, nil},
		{"last of two", []string{testSecret, oldSecret}, oldSecret, nil},
		{"middle of three", []string{"x", oldSecret, "y"}, oldSecret, nil},
		{"twice the same", []string{oldSecret, oldSecret}, oldSecret, nil},
		{"retired", []string{testSecret}, oldSecret, webhook.ErrSignature},
		{"none of two", []string{testSecret, "x"}, oldSecret, webhook.ErrSignature},
		{"secrets together", []string{testSecret, oldSecret}, testSecret + oldSecret, webhook.ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := webhook.Verifier{Secrets: tt.secrets}.Verify(deliveryHeader(tt.signer, testBody), []byte(testBody))
			if !errors.Is(err, tt.want) {
				t.Errorf("Verify = %v, want %v", err, tt.want)
			}
		})
	}
}

// Without a usable secret nothing is accepted, least of all what was signed with the empty one.
func TestVerifyWithoutSecrets(t *testing.T) {
	for _, tt := range []struct {
		name    string
		secrets []string
		text    string
	}{
		{"nil", nil, "no secrets"},
		{"none", []string{}, "no secrets"},
		{"empty", []string{""}, "secret 1 of 1 is empty"},
		{"empty beside a good one", []string{testSecret, ""}, "secret 2 of 2 is empty"},
		{"blank", []string{" "}, "secret 1 of 1 begins or ends with white space"},
		{"line end", []string{testSecret + "\n"}, "secret 1 of 1 begins or ends with white space"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, signer := range append([]string{"", testSecret}, tt.secrets...) {
				e, err := webhook.Verifier{Secrets: tt.secrets}.Verify(deliveryHeader(signer, testBody), []byte(testBody))
				if !errors.Is(err, webhook.ErrConfig) || !strings.HasSuffix(err.Error(), tt.text) || e.Type != "" {
					t.Errorf("signed with %q: %v, %v, want …%s", signer, e, err, tt.text)
				}
			}
		})
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	v := webhook.Verifier{Secrets: webhook.Secrets{testSecret, oldSecret}}
	header := deliveryHeader(testSecret, testBody)
	if _, err := v.Verify(header, []byte(testBody)); err != nil {
		t.Fatal(err)
	}
	for i := range len(testBody) * 8 {
		if _, err := v.Verify(header, flipBit(testBody, i)); !errors.Is(err, webhook.ErrSignature) {
			t.Errorf("bit %d of the body flipped: %v", i, err)
		}
	}
	signature := header.Get(webhook.SignatureHeader)
	for i := range len(signature) * 8 {
		header.Set(webhook.SignatureHeader, string(flipBit(signature, i)))
		if _, err := v.Verify(header, []byte(testBody)); !errors.Is(err, webhook.ErrSignature) && !errors.Is(err, webhook.ErrHeader) {
			t.Errorf("bit %d of the signature flipped: %v", i, err)
		}
	}
}

func flipBit(s string, bit int) []byte {
	b := []byte(s)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

func TestVerifyRefuses(t *testing.T) {
	good := signBody(testSecret, testBody)
	decoded, err := base64.StdEncoding.DecodeString(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	signature := func(values ...string) func(http.Header) {
		return func(h http.Header) { h[webhook.SignatureHeader] = values }
	}
	timestamp := func(values ...string) func(http.Header) {
		return func(h http.Header) { h[webhook.TimestampHeader] = values }
	}
	for _, tt := range []struct {
		name   string
		change func(http.Header)
		want   error
	}{
		{"no signature", signature(), webhook.ErrHeader},
		{"empty signature", signature(""), webhook.ErrHeader},
		{"only the prefix", signature("sha256="), webhook.ErrHeader},
		{"no prefix", signature(strings.TrimPrefix(good, "sha256=")), webhook.ErrHeader},
		{"other prefix", signature(strings.Replace(good, "sha256", "sha512", 1)), webhook.ErrHeader},
		{"upper-case prefix", signature(strings.Replace(good, "sha256", "SHA256", 1)), webhook.ErrHeader},
		{"upper-case digits", signature("sha256=" + strings.ToUpper(strings.TrimPrefix(good, "sha256="))), webhook.ErrHeader},
		{"a digit short", signature(good[:len(good)-1]), webhook.ErrHeader},
		{"a digit too many", signature(good + "0"), webhook.ErrHeader},
		{"space before", signature(" " + good), webhook.ErrHeader},
		{"space after", signature(good + " "), webhook.ErrHeader},
		{"twice the same", signature(good, good), webhook.ErrHeader},
		{"bad, then good", signature(signBody(oldSecret, testBody), good), webhook.ErrHeader},
		{"good, then bad", signature(good, signBody(oldSecret, testBody)), webhook.ErrHeader},
		{"two in one", signature(good + "," + good), webhook.ErrHeader},
		{"zeros", signature("sha256=" + strings.Repeat("0", 64)), webhook.ErrSignature},
		{"of another body", signature(signBody(testSecret, testBody+" ")), webhook.ErrSignature},
		{"of body and time", signature(signBody(testSecret, stamp+"."+testBody)), webhook.ErrSignature},
		{"with the decoded secret", signature(signBody(string(decoded), testBody)), webhook.ErrSignature},
		{"the scheme of the Node.js helper", func(h http.Header) {
			h.Del(webhook.SignatureHeader)
			h.Set("X-Authos-Signature", "t="+stamp+",v1="+strings.TrimPrefix(signBody(testSecret, stamp+"."+testBody), "sha256="))
		}, webhook.ErrHeader},
		{"no timestamp", timestamp(), webhook.ErrHeader},
		{"two timestamps", timestamp(stamp, stamp), webhook.ErrHeader},
		{"empty timestamp", timestamp(""), webhook.ErrHeader},
		{"signed timestamp", timestamp("+" + stamp), webhook.ErrHeader},
		{"negative timestamp", timestamp("-" + stamp), webhook.ErrHeader},
		{"space before the timestamp", timestamp(" " + stamp), webhook.ErrHeader},
		{"fraction", timestamp(stamp + ".0"), webhook.ErrHeader},
		{"exponent", timestamp("1e9"), webhook.ErrHeader},
		{"hexadecimal", timestamp("0x7fffffff"), webhook.ErrHeader},
		{"underscore", timestamp("1_000_000_000"), webhook.ErrHeader},
		{"date", timestamp(time.Now().UTC().Format(http.TimeFormat)), webhook.ErrHeader},
		{"beyond 63 bits", timestamp("9223372036854775808"), webhook.ErrHeader},
		{"beyond 64 bits", timestamp("18446744073709551616" + stamp), webhook.ErrHeader},
		{"1970", timestamp("0"), webhook.ErrTimestamp},
		{"end of time", timestamp("9223372036854775807"), webhook.ErrTimestamp},
		{"milliseconds", timestamp(stamp + "000"), webhook.ErrTimestamp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := deliveryHeader(testSecret, testBody)
			tt.change(header)
			e, err := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Verify(header, []byte(testBody))
			if !errors.Is(err, tt.want) || e.ID != "" {
				t.Fatalf("Verify = %v, %v, want %v", e, err, tt.want)
			}
			for what, text := range map[string]string{
				"secret": testSecret, "signature": good[len(good)-20:], "body": "ada@example.com",
			} {
				if strings.Contains(err.Error(), text) {
					t.Errorf("the error holds the %s: %v", what, err)
				}
			}
		})
	}
}

func TestTolerance(t *testing.T) {
	for _, tt := range []struct {
		tolerance, late time.Duration
		header          bool // whether the header is there
		want            error
	}{
		{0, 0, true, nil},
		{0, 5 * time.Minute, true, nil},
		{0, 5*time.Minute + time.Second, true, webhook.ErrTimestamp},
		{0, -5 * time.Minute, true, nil},
		{0, -5*time.Minute - time.Second, true, webhook.ErrTimestamp},
		{time.Minute, time.Minute, true, nil},
		{time.Minute, time.Minute + time.Second, true, webhook.ErrTimestamp},
		{time.Minute, -time.Minute - time.Second, true, webhook.ErrTimestamp},
		{time.Hour, time.Hour, true, nil},
		{500 * time.Millisecond, 0, true, nil},
		{500 * time.Millisecond, time.Second, true, webhook.ErrTimestamp},
		{-1, 1000 * time.Hour, true, nil},
		{-1, -1000 * time.Hour, true, nil},
		{-1, 0, false, nil},
		{0, 0, false, webhook.ErrHeader},
	} {
		t.Run(fmt.Sprint(tt.tolerance, " ", tt.late, " ", tt.header), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(700 * time.Millisecond) // a fraction of a second does not count
				header := deliveryHeader(testSecret, testBody)
				header.Set(webhook.TimestampHeader, strconv.FormatInt(time.Now().Add(-tt.late).Unix(), 10))
				if !tt.header {
					header.Del(webhook.TimestampHeader)
				}
				_, err := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Tolerance: tt.tolerance}.Verify(header, []byte(testBody))
				if !errors.Is(err, tt.want) {
					t.Errorf("Verify = %v, want %v", err, tt.want)
				}
			})
		})
	}
}

func TestMaxAge(t *testing.T) {
	for _, tt := range []struct {
		name      string
		maxAge    time.Duration
		tolerance time.Duration
		event     time.Duration // how long ago
		want      error
	}{
		{"none", 0, 0, 1000 * time.Hour, nil},
		{"negative", -1, 0, 1000 * time.Hour, nil},
		{"just in time", time.Hour, 0, time.Hour, nil},
		{"too old", time.Hour, 0, time.Hour + time.Nanosecond, webhook.ErrTimestamp},
		{"the server's clock is ahead", time.Hour, 0, -5 * time.Minute, nil},
		{"in the future", time.Hour, 0, -5*time.Minute - time.Nanosecond, webhook.ErrTimestamp},
		{"in the future of a small tolerance", time.Hour, time.Second, -2 * time.Second, webhook.ErrTimestamp},
		{"in the future without a tolerance", time.Hour, -1, -6 * time.Minute, webhook.ErrTimestamp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := `{"event":"x","timestamp":"` + time.Now().Add(-tt.event).Format(time.RFC3339Nano) + `"}`
				v := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Tolerance: tt.tolerance, MaxAge: tt.maxAge}
				if _, err := v.Verify(deliveryHeader(testSecret, body), []byte(body)); !errors.Is(err, tt.want) {
					t.Errorf("Verify = %v, want %v", err, tt.want)
				}
			})
		})
	}
	for _, body := range []string{`{"event":"x"}`, `{"event":"x","timestamp":"yesterday"}`} {
		v := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, MaxAge: time.Hour}
		if _, err := v.Verify(deliveryHeader(testSecret, body), []byte(body)); !errors.Is(err, webhook.ErrPayload) {
			t.Errorf("Verify(%s) = %v, want ErrPayload: its age cannot be told", body, err)
		}
	}
}

func TestVerifyBoundsTheBody(t *testing.T) {
	sized := func(n int) string {
		return strings.Replace(testBody, `"pro"`, `"`+strings.Repeat("x", n-len(testBody)+3)+`"`, 1)
	}
	for _, tt := range []struct {
		maxBody int64
		size    int
		want    error
	}{
		{0, 1 << 20, nil},
		{0, 1<<20 + 1, webhook.ErrTooLarge},
		{-1, 1 << 20, nil},
		{500, 500, nil},
		{500, 501, webhook.ErrTooLarge},
		{2 << 20, 2 << 20, nil},
	} {
		body := sized(tt.size)
		if len(body) != tt.size {
			t.Fatal(len(body))
		}
		_, err := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, MaxBody: tt.maxBody}.Verify(deliveryHeader(testSecret, body), []byte(body))
		if !errors.Is(err, tt.want) {
			t.Errorf("MaxBody %d, %d bytes: %v, want %v", tt.maxBody, tt.size, err, tt.want)
		}
	}
}

// An event outlives the buffer it was read from.
func TestEventOwnsItsBytes(t *testing.T) {
	buffer := []byte(testBody)
	e, err := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Verify(deliveryHeader(testSecret, testBody), buffer)
	if err != nil {
		t.Fatal(err)
	}
	clear(buffer)
	if string(e.Body) != testBody || string(e.Data) != `{"plan":"pro"}` {
		t.Errorf("Body = %q, Data = %q after the buffer was used again", e.Body, e.Data)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	v := webhook.Verifier{Secrets: webhook.Secrets{testSecret, oldSecret}}
	type config struct{ Hook webhook.Verifier }
	values := map[string]any{
		"secrets": v.Secrets, "verifier": v, "pointer": &v, "struct": config{v}, "map": map[string]webhook.Verifier{"a": v},
		"handler": v.Handler(func(context.Context, webhook.Event) error { return nil }),
		"error": func() error {
			_, err := webhook.Verifier{Secrets: webhook.Secrets{testSecret, oldSecret + "\n"}}.Verify(deliveryHeader(testSecret, testBody), []byte(testBody))
			return err
		}(),
	}
	for name, value := range values {
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10v"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "value", value)
		_, jsonErr := json.Marshal(value)
		_, xmlErr := xml.Marshal(value)
		gobErr := gob.NewEncoder(&out).Encode(value)
		fmt.Fprintln(&out, jsonErr, xmlErr, gobErr)
		if name != "handler" && name != "error" && (jsonErr == nil || xmlErr == nil || gobErr == nil) {
			t.Errorf("%s was marshaled: %v, %v, %v", name, jsonErr, xmlErr, gobErr)
		}
		for _, secret := range []string{testSecret, oldSecret} {
			for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]")} {
				if strings.Contains(out.String(), form) {
					t.Errorf("%s prints a secret: %s", name, out.String())
				}
			}
		}
	}
	if got := fmt.Sprint(v.Secrets, webhook.Secrets{}); got != "[redacted] []" {
		t.Errorf("Secrets print as %q", got)
	}
}

// The order in which things are wrong decides what a stranger learns: nothing but that the
// signature is wrong.
func TestStrangersLearnNothing(t *testing.T) {
	header := deliveryHeader(oldSecret, "not an event")
	header.Set(webhook.TimestampHeader, "0")
	_, err := webhook.Verifier{Secrets: webhook.Secrets{testSecret}}.Verify(header, []byte("not an event"))
	if !errors.Is(err, webhook.ErrSignature) {
		t.Errorf("Verify = %v, want ErrSignature", err)
	}
	for _, other := range []error{webhook.ErrConfig, webhook.ErrTooLarge, webhook.ErrHeader, webhook.ErrTimestamp, webhook.ErrPayload} {
		if errors.Is(err, other) {
			t.Errorf("%v is also %v", err, other)
		}
	}
}

func TestHandlerCopiesTheSecrets(t *testing.T) {
	secrets := []string{testSecret}
	h := webhook.Verifier{Secrets: secrets}.Handler(func(context.Context, webhook.Event) error { return nil })
	secrets[0] = oldSecret
	wantResponse(t, deliver(t.Context(), h, testBody), 200, "handled")
	if !slices.Equal(secrets, []string{oldSecret}) {
		t.Errorf("the caller's secrets are %q", secrets)
	}
}

func TestVerifierDoesNotPrintSecrets(t *testing.T) {
	v := &webhook.Verifier{Secrets: webhook.Secrets{"s3cretValue"}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%t", "%x"} {
		fmt.Fprintf(&out, verb+verb+verb, v, *v, []any{v})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("verifier", "v", v, "list", []any{v})
	if strings.Contains(out.String(), "s3cretValue") {
		t.Errorf("prints its secrets: %s", out.String())
	}
}
