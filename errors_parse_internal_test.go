package authos

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos/internal/httpfield"
	"github.com/authos-go/authos/internal/jsonscan"
)

var update = flag.Bool("update", false, "write what parseError found into testdata/errors; read the diff before you believe it")

// golden is one file of testdata/errors: a response, and what it becomes.
type golden struct {
	Name    string            `json:"name"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    *string           `json:"body,omitempty"`
	Base64  []byte            `json:"body_base64,omitempty"` // for bodies that are not UTF-8
	Want    goldenWant        `json:"want"`
}

type goldenWant struct {
	Code             Code            `json:"code"`
	Message          string          `json:"message,omitempty"`
	Error            string          `json:"error"`
	Timestamp        time.Time       `json:"timestamp,omitzero"`
	RequestID        string          `json:"request_id,omitempty"`
	DocumentationURL string          `json:"documentation_url,omitempty"`
	Language         string          `json:"language,omitempty"`
	Details          json.RawMessage `json:"details,omitempty"`
	Fields           []goldenField   `json:"fields,omitempty"`
	Hint             *goldenHint     `json:"hint,omitempty"`
	Problem          *Problem        `json:"problem,omitempty"`
	RetryAfter       string          `json:"retry_after,omitempty"` // "" : no wait was asked for
	RateLimit        *RateLimit      `json:"rate_limit,omitempty"`
	Challenges       []Challenge     `json:"challenges,omitempty"`
	Shaped           bool            `json:"shaped,omitempty"`
	FromText         bool            `json:"from_text,omitempty"`
	Is               []string        `json:"is"` // codes, and kinds by name
	IsNot            []string        `json:"is_not,omitempty"`
}

type goldenField struct {
	plainField
	Value any `json:",omitempty"` // FieldError hides it from JSON
}

type plainField FieldError // without its methods

type goldenHint struct {
	Retryable  *bool  `json:"retryable,omitempty"`
	RetryAfter string `json:"retry_after"`
	MaxRetries *int   `json:"max_retries,omitempty"`
	Backoff    string `json:"backoff,omitempty"`
}

var kinds = map[string]error{
	"ErrInvalid": ErrInvalid, "ErrUnauthenticated": ErrUnauthenticated, "ErrForbidden": ErrForbidden, "ErrNotFound": ErrNotFound,
	"ErrConflict": ErrConflict, "ErrRateLimited": ErrRateLimited, "ErrServer": ErrServer, "ErrUnavailable": ErrUnavailable,
}

// goldenNow is the local clock of the golden tests.
var goldenNow = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

func (g golden) header() http.Header {
	h := http.Header{}
	for name, value := range g.Headers {
		h.Set(name, value)
	}
	return h
}

func (g golden) body() []byte {
	if g.Body != nil {
		return []byte(*g.Body)
	}
	return g.Base64
}

// found is the want that an error fulfills.
func found(e *APIError) goldenWant {
	w := goldenWant{
		Code: e.Code, Message: e.Message, Error: e.Error(), Timestamp: e.Timestamp, RequestID: e.RequestID,
		DocumentationURL: e.DocumentationURL, Language: e.Language, Details: e.Details, Problem: e.Problem,
		RateLimit: e.RateLimit, Challenges: e.Challenges, Shaped: e.shaped, FromText: e.fromText,
	}
	if e.waitAsked {
		w.RetryAfter = e.RetryAfter.String()
	}
	for _, f := range e.Fields {
		w.Fields = append(w.Fields, goldenField{plainField(f), f.Value})
	}
	if h := e.Hint; h != nil {
		w.Hint = &goldenHint{h.Retryable, h.RetryAfter.String(), h.MaxRetries, h.Backoff}
	}
	return w
}

// normal is a value after a trip through JSON, so that formatting and number types do not matter.
func normal(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func goldens(tb testing.TB) map[string]golden {
	tb.Helper()
	files, err := filepath.Glob("testdata/errors/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("testdata/errors: %d files, %v", len(files), err)
	}
	all := make(map[string]golden, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		var g golden
		if err := json.Unmarshal(text, &g); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		all[file] = g
	}
	return all
}

func TestParseErrorGolden(t *testing.T) {
	t.Parallel()
	for file, g := range goldens(t) {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			e := parseError(g.Status, g.header(), g.body(), goldenNow)
			if e.StatusCode != g.Status || !bytes.Equal(e.Body, g.body()) {
				t.Errorf("parseError = status %d, body %q, want %d, %q", e.StatusCode, e.Body, g.Status, g.body())
			}
			got := found(e)
			got.Is, got.IsNot = g.Want.Is, g.Want.IsNot
			if *update {
				writeGolden(t, file, g, got)
			} else if !reflect.DeepEqual(normal(t, got), normal(t, g.Want)) {
				text, _ := json.MarshalIndent(got, "", " ")
				t.Errorf("parseError = %s", text)
			}
			checkIs(t, e, g.Want.Is, true)
			checkIs(t, e, g.Want.IsNot, false)
			checkErrorLine(t, e)
		})
	}
}

func writeGolden(t *testing.T, file string, g golden, want goldenWant) {
	t.Helper()
	g.Want = want
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(g); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func checkIs(t *testing.T, e *APIError, targets []string, want bool) {
	t.Helper()
	for _, name := range targets {
		target, ok := kinds[name]
		if !ok {
			target = Code(name)
		}
		if got := errors.Is(e, target); got != want {
			t.Errorf("errors.Is(%v, %s) = %t, want %t", e, name, got, want)
		}
	}
}

// checkErrorLine holds Error to one printable line without raw text of the body.
func checkErrorLine(t *testing.T, e *APIError) {
	t.Helper()
	for _, line := range []string{e.Error(), fmt.Sprintf("%#v %d %s", e, e, e), e.LogValue().String()} {
		if strings.ContainsAny(line, "\r\n\x00\x1b") {
			t.Errorf("not one line: %q", line)
		}
		if e.fromText && len(e.Message) > 30 && strings.Contains(line, e.Message) {
			t.Errorf("%q repeats the body's text", line)
		}
		for _, f := range e.Fields {
			if s, ok := f.Value.(string); ok && len(s) > 8 && !strings.Contains(e.Message, s) && strings.Contains(line, s) {
				t.Errorf("%q holds the value of %s", line, f.Field)
			}
		}
	}
}

func TestParseErrorHuge(t *testing.T) {
	t.Parallel()
	huge := bytes.Repeat([]byte("x"), 20<<20)
	for name, body := range map[string][]byte{
		"text":         huge,
		"message":      []byte(`{"error_code":"NOT_FOUND","error":"` + string(huge) + `"}`),
		"details":      []byte(`{"error":{"code":"NOT_FOUND","message":"gone","details":["` + string(huge) + `"]}}`),
		"continuation": bytes.Repeat([]byte{0x80}, 20<<20),
		"runes":        bytes.Repeat([]byte("é"), 10<<20),
		"deep":         bytes.Repeat([]byte(`{"error":`), 1<<20),
		"deep list":    append([]byte(`{"error":{"code":"NOT_FOUND","details":`), bytes.Repeat([]byte(`[`), 1<<20)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := parseError(http.StatusNotFound, http.Header{}, body, goldenNow)
			if e.StatusCode != 404 || e.Code != CodeNotFound || len(e.Body) > maxErrorBody || len(e.Message) > maxMessage {
				t.Errorf("parseError = %d %s, body %d, message %d", e.StatusCode, e.Code, len(e.Body), len(e.Message))
			}
			checkErrorLine(t, e)
		})
	}
}

func TestParseErrorEscapedNames(t *testing.T) {
	t.Parallel()
	e := parseError(400, nil, []byte(`{"\u0065rror":"gone","error\u005fcode":"NOT_FOUND","\x":"bad escape","request_id":"r1"}`), goldenNow)
	if e.Code != CodeNotFound || e.Message != "gone" || e.RequestID != "r1" {
		t.Errorf("parseError = %s %q %q, want NOT_FOUND, gone, r1", e.Code, e.Message, e.RequestID)
	}
}

// What is nested deeper than an error is not looked into: each level would be read once more.
func TestParseErrorDeeplyNested(t *testing.T) {
	t.Parallel()
	e := parseError(404, nil, []byte(`{"error":{"code":"NOT_FOUND","message":"gone","error":{"a":1,"a":2}}}`), goldenNow)
	if e.Code != CodeNotFound || e.Message != "gone" {
		t.Errorf("parseError = %s %q, want NOT_FOUND, gone", e.Code, e.Message)
	}
	if e := parseError(404, nil, []byte(`{"error":{"code":"NOT_FOUND","code":"OTHER"}}`), goldenNow); e.coded {
		t.Errorf("parseError = %s, want no code of an error that has two", e.Code)
	}
}

// A cut through a secret leaves a piece that no longer looks like one, and masking what is before
// moves it to the front.
func TestErrorLineHidesHalvedSecrets(t *testing.T) {
	t.Parallel()
	const token = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF"
	for pad := -50; pad < 50; pad++ {
		text := strings.Repeat("A", 4*maxSafeText-len(token)-pad) + " " + token + " " + strings.Repeat("b ", 100)
		line := (&APIError{StatusCode: 500, Message: text}).Error()
		if strings.Contains(line, token[:8]) {
			t.Fatalf("pad %d: %q", pad, line)
		}
	}
}

func TestParseErrorKeepsNoPartialRune(t *testing.T) {
	t.Parallel()
	for cut := range 4 {
		text := strings.Repeat("a", maxMessage-cut) + "€€€"
		e := parseError(500, nil, []byte(text), goldenNow)
		if want := strings.Repeat("a", maxMessage-cut) + strings.Repeat("€", cut/3); e.Message != want {
			t.Errorf("cut %d: message ends in %q", cut, e.Message[len(e.Message)-8:])
		}
	}
}

func TestErrorInSuccess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body string
		want bool
	}{
		{`{"error":"Organization not found","error_code":"NOT_FOUND"}`, true},
		{` {"timestamp":"x", "error_code" : "NOT_FOUND" ,"error":""} `, true},
		{`{"error":{"code":"NOT_FOUND","message":"no"}}`, true},
		{`{"data":null,"error":{"message":"no","details":{"code":1},"code":"X"}}`, true},
		{`{"error":{"message":"no"}}`, false},
		{`{"error":{"code":404,"message":"no"}}`, false},
		{`{"error":"x","error_code":""}`, false},
		{`{"error":"x"}`, false},
		{`{"error":null,"error_code":"X"}`, false},
		{`{"error":"x","error_code":null}`, false},
		{`{"deliveries":[{"error":"timeout","error_code":"X"}]}`, false},
		{`{"delivery":{"error":"timeout","error_code":"X"},"error":"x"}`, false},
		{`{"delivery":{"error":{"code":"X","message":"y"}}}`, false},
		{`[{"error":"timeout","error_code":"X"}]`, false},
		{`{"note":"\"error\":\"x\",\"error_code\":\"y\""}`, false},
		{`{"note":"a \\","x":"\"error\"","error":"x"}`, false},
		{`"\"error\""`, false},
		{``, false},
		{`null`, false},
		{`{"error"`, false},
	} {
		if got := errorInSuccess([]byte(tt.body)); got != tt.want {
			t.Errorf("errorInSuccess(%s) = %t, want %t", tt.body, got, tt.want)
		}
	}
}

func TestSuccessAllocatesNothing(t *testing.T) {
	h := http.Header{
		"Content-Type":              {"application/json"},
		"Date":                      {"Mon, 15 Jan 2024 10:30:00 GMT"},
		"Strict-Transport-Security": {"max-age=31536000; includeSubDomains"},
	}
	body := []byte(`{"id":"7f3a","email":"a@example.com","created_at":"2026-05-20T12:00:00Z","roles":["owner"]}`)
	deliveries := []byte(`{"deliveries":[{"id":"1","error":"timeout","error_code":"X"}],"pagination":{"page":1},"note":"\"error\""}`)
	if n := testing.AllocsPerRun(100, func() {
		if rateLimitOf(httpfield.ParseRateLimit(h)) != nil || errorInSuccess(body) || errorInSuccess(deliveries) {
			t.Fatal("found something in a normal success")
		}
	}); n != 0 {
		t.Errorf("a normal success costs %v allocations, want 0", n)
	}
}

func FuzzParseError(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.Status, g.Headers["Content-Type"], g.Headers["Retry-After"], g.body())
	}
	const secret = "s3cr3t-m4rk3r-0123456789"
	f.Add(500, "text/plain", "1", []byte("dump "+secret+" end"))
	f.Add(400, "", "", []byte(`{"error":{"code":"A","message":"m","details":[{"field":"f","value_provided":"`+secret+`"}]}}`))
	f.Fuzz(func(t *testing.T, status int, contentType, retryAfter string, body []byte) {
		h := http.Header{"Content-Type": {contentType}, "Retry-After": {retryAfter}}
		before := bytes.Clone(body)
		e := parseError(status, h, body, goldenNow)
		switch {
		case e.StatusCode != status:
			t.Fatalf("status %d became %d", status, e.StatusCode)
		case e.Code == "" || len(e.Code) > maxCode:
			t.Fatalf("code %q", e.Code)
		case e.RetryAfter < 0 || e.RetryAfter > 0 && !e.waitAsked:
			t.Fatalf("wait %s, asked %t", e.RetryAfter, e.waitAsked)
		case e.Hint != nil && (e.Hint.RetryAfter < 0 || e.Hint.MaxRetries != nil && *e.Hint.MaxRetries < 0):
			t.Fatalf("hint %+v", e.Hint)
		case len(e.Details) > 0 && !json.Valid(e.Details):
			t.Fatalf("details %q", e.Details)
		case e.fromText && e.Message == "":
			t.Fatal("a text without text")
		case !bytes.Equal(body, before):
			t.Fatal("the body was changed")
		}
		if bytes.Contains(body, []byte(secret)) && !bytes.ContainsAny(body, "{") && strings.Contains(e.Error(), secret) {
			t.Fatalf("%q repeats a plain text", e.Error())
		}
		checkErrorLine(t, e)
		for _, target := range []error{CodeNotFound, CodeConflictError, ErrConflict, ErrUnavailable} {
			_ = errors.Is(e, target)
		}
		if text := UserMessage(e, "es"); text == "" || e.Message != "" && text == e.Message && len(text) > 60 {
			t.Fatalf("UserMessage = %q", text)
		}
		checkScanner(t, body)
	})
}

// checkScanner compares the scanner with the decoder: they agree on every valid object.
func checkScanner(t *testing.T, body []byte) {
	t.Helper()
	var want map[string]json.RawMessage
	if json.Unmarshal(body, &want) != nil || want == nil {
		return
	}
	if got := map[string]json.RawMessage(parseObject(body)); !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		t.Fatalf("parseObject(%q) = %q, want %q", body, got, want)
	}
	for _, raw := range want {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) == nil && len(list) != len(jsonscan.Elements(raw)) {
			t.Fatalf("Elements(%q) = %d, want %d", raw, len(jsonscan.Elements(raw)), len(list))
		}
	}
}

func FuzzErrorInSuccess(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.body())
	}
	f.Add([]byte(`{"deliveries":[{"error":"timeout","error_code":"X"}]}`))
	f.Add([]byte(`{"error":{"message":"no","details":{"code":1},"code":"X"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := errorInSuccess(body)
		// an escaped name is not looked for
		if !json.Valid(body) || bytes.IndexByte(body, '\\') >= 0 {
			return
		}
		if want := errorInSuccessByDecoding(body); got != want {
			t.Fatalf("errorInSuccess(%q) = %t, want %t", body, got, want)
		}
	})
}

// errorInSuccessByDecoding is the rule again, by the standard decoder.
func errorInSuccessByDecoding(body []byte) bool {
	isText := func(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '"' }
	var o, inner map[string]json.RawMessage
	if json.Unmarshal(body, &o) != nil {
		return false
	}
	if isText(o["error"]) {
		return isText(o["error_code"]) && string(o["error_code"]) != `""`
	}
	return json.Unmarshal(o["error"], &inner) == nil && isText(inner["code"]) && isText(inner["message"])
}

func TestErrorLineHidesWhatWasSent(t *testing.T) {
	t.Parallel()
	const value = "existing@example.com"
	for name, body := range map[string]string{
		"conflict":    `{"error":{"code":"CONFLICT","message":"'existing@example.com' exists","details":{"field":"email","value":"existing@example.com"}}}`,
		"finding":     `{"error":{"code":"VALIDATION_ERROR","message":"no","details":[{"field":"email","message":"existing@example.com is taken","value_provided":"existing@example.com"}]}}`,
		"cross-field": `{"error":{"code":"VALIDATION_ERROR","message":"existing@example.com clashes","details":[{"fields":["a","b"],"code":"X","values_provided":{"a":"existing@example.com"}}]}}`,
		"name":        `{"error":{"code":"VALIDATION_ERROR","message":"no","details":[{"field":"a\nb sk_live_abc123","code":"X\r\nY"}]}}`,
	} {
		e := parseError(400, nil, []byte(body), goldenNow)
		for _, line := range []string{e.Error(), fmt.Sprint(e.Fields), e.LogValue().String(), (&ValidationError{Fields: e.Fields}).Error()} {
			if strings.Contains(line, value) || strings.Contains(line, "sk_live") || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%s: %q", name, line)
			}
		}
	}
}

func TestHintBounds(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		`60`: time.Minute, `1.5`: 1500 * time.Millisecond, `"2"`: 2 * time.Second, `6e1`: time.Minute, `-1`: 0, `1e300`: math.MaxInt64,
		`99999999999999999999`: math.MaxInt64, `"1e3"`: 0, `null`: 0, `true`: 0, `[1]`: 0, `"soon"`: 0,
	} {
		e := parseError(503, nil, []byte(`{"error":{"code":"X","retry":{"retry_after":`+in+`}}}`), goldenNow)
		if e.Hint == nil || e.Hint.RetryAfter != want || e.RetryAfter != want {
			t.Errorf("retry_after %s: hint %+v, wait %s, want %s", in, e.Hint, e.RetryAfter, want)
		}
	}
}
