package authos

import (
	"slices"
	"strings"
	"testing"
)

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

// Every code has a sentence of its own or inherits one that is not the default, in every language.
func TestCatalogSentences(t *testing.T) {
	t.Parallel()
	for code, info := range catalog {
		e := &APIError{Code: code, StatusCode: info.status, Message: "raw " + string(code)}
		for i, tag := range sentenceLanguages {
			text := UserMessage(e, tag)
			if text == "" || text == e.Message || code != CodeUnknownError && text == sentences[CodeUnknownError][i] {
				t.Errorf("UserMessage(%s, %s) = %q", code, tag, text)
			}
		}
	}
}

// A row has a sentence in every language, each another one, that ends as sentences of the language
// do.
func TestSentencesAreTranslated(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]map[Code][sentenceCount]string{"sentences": sentences, "waitSentences": waitSentences} {
		for code, row := range table {
			if _, known := catalog[code]; !known {
				t.Errorf("%s: %s is no code of the catalog", name, code)
			}
			for i, text := range row {
				end := "."
				if sentenceLanguages[i] == "ja" {
					end = "。"
				}
				if !strings.HasSuffix(text, end) || slices.Index(row[:], text) != i || (strings.Count(text, "{wait}") == 1) != (name == "waitSentences") {
					t.Errorf("%s: %s in %s: %q", name, code, sentenceLanguages[i], text)
				}
			}
		}
	}
}
