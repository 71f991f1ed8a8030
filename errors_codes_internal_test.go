package authos

import "testing"

func TestCodeForStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]Code{
		400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 408: "REQUEST_TIMEOUT",
		409: "CONFLICT", 410: "GONE", 413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE", 422: "VALIDATION_ERROR",
		429: "RATE_LIMIT_EXCEEDED", 500: "INTERNAL_SERVER_ERROR", 502: "BAD_GATEWAY", 503: "SERVICE_UNAVAILABLE", 504: "GATEWAY_TIMEOUT",
		402: "HTTP_402", 418: "HTTP_418", 501: "HTTP_501", 599: "HTTP_599",
	} {
		if got := codeForStatus(status, false); got != want {
			t.Errorf("codeForStatus(%d) = %s, want %s", status, got, want)
		}
		if status == 404 {
			want = "ROUTE_NOT_FOUND"
		}
		if got := codeForStatus(status, true); got != want {
			t.Errorf("codeForStatus(%d), empty body = %s, want %s", status, got, want)
		}
	}
}

// The graph has no cycles: means would not end on one.
func TestCatalogHasNoCycles(t *testing.T) {
	t.Parallel()
	var visit func(c Code, path map[Code]bool)
	visit = func(c Code, path map[Code]bool) {
		c = c.canonical()
		if path[c] {
			t.Fatalf("%s is its own parent", c)
		}
		path[c] = true
		for _, parent := range c.parents() {
			visit(parent, path)
		}
		delete(path, c)
	}
	for c := range catalog {
		visit(c, map[Code]bool{})
	}
}

// Every code has a sentence of its own or inherits one that is not the default, in both languages.
func TestCatalogSentences(t *testing.T) {
	t.Parallel()
	for code, info := range catalog {
		if (info.en == "") != (info.es == "") {
			t.Errorf("%s: a sentence in one language only", code)
		}
		if info.en != "" && info.en == info.es {
			t.Errorf("%s: not translated", code)
		}
		e := &APIError{Code: code, StatusCode: info.status, Message: "raw " + string(code)}
		for _, tag := range []string{"en", "es"} {
			text := UserMessage(e, tag)
			if text == "" || text == e.Message || code != CodeUnknownError && text == catalog[CodeUnknownError].sentence(tag) {
				t.Errorf("UserMessage(%s, %s) = %q", code, tag, text)
			}
		}
	}
}
