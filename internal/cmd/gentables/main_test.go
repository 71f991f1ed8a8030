package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authos-go/authos"
)

func TestUpToDate(t *testing.T) {
	t.Parallel()
	dir := filepath.FromSlash("../../../docs")
	files, err := generate(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s is out of date: go generate ./... (%v)", name, err)
		}
	}
}

func TestSentences(t *testing.T) {
	t.Parallel()
	text := sentences(authos.Codes())
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.Count(line, "|") != len(languages)+2 {
			t.Errorf("line %d has not %d cells: %s", i+1, len(languages)+1, line)
		}
	}
	if !strings.Contains(text, "`NOT_FOUND`, `RESOURCE_NOT_FOUND`") {
		t.Error("codes with the same sentence do not share a row")
	}
}

func TestSections(t *testing.T) {
	t.Parallel()
	all, err := readRecorded(filepath.FromSlash("../../../testdata/errors"))
	if err != nil {
		t.Fatal(err)
	}
	codes := authos.Codes()
	text := sections(codes, all)
	for _, c := range codes {
		if causes[c.Code] == "" {
			t.Errorf("causes lacks %s", c.Code)
		}
		if strings.Count(text, "\n#### `"+string(c.Code)+"`\n") != 1 {
			t.Errorf("%s does not have one section", c.Code)
		}
		if list := examples(c, all); (len(list) == 0) != (c.Status == 0) {
			t.Errorf("%s has %d examples", c.Code, len(list))
		}
	}
	if len(causes) != len(codes) {
		t.Errorf("%d causes of %d codes", len(causes), len(codes))
	}
	// One of what real servers send and one of what is documented, where they differ.
	if !strings.Contains(text, "servers    429 X-Ratelimit-After: 0 Too Many Requests!") || !strings.Contains(text, "documented 429 Retry-After: 60 ") {
		t.Error("the section of RATE_LIMIT_EXCEEDED does not have both contracts")
	}
}

// Every example of the page is sent to a client, and is an error of its section's code there.
func TestExamplesMeanTheirCode(t *testing.T) {
	t.Parallel()
	all, err := readRecorded(filepath.FromSlash("../../../testdata/errors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range authos.Codes() {
		for _, e := range examples(c, all) {
			client, err := authos.New("https://sso.example.com", authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}),
				authos.WithHTTPClient(&http.Client{Transport: e}))
			if err != nil {
				t.Fatal(err)
			}
			// a route on which the texts of a conflict mean one
			err = client.Do(t.Context(), http.MethodPost, "/api/organizations", nil, nil, authos.WithoutRetry())
			if !errors.Is(err, c.Code) {
				t.Errorf("%s: the example is %v: %s", c.Code, err, e.line())
			}
		}
	}
}

// RoundTrip responds with the example.
func (e example) RoundTrip(req *http.Request) (*http.Response, error) {
	header := http.Header{}
	for name, value := range e.header {
		header.Set(name, value)
	}
	return &http.Response{
		StatusCode: e.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		Body: io.NopCloser(strings.NewReader(e.body)), ContentLength: int64(len(e.body)), Request: req,
	}, nil
}

func TestReplace(t *testing.T) {
	t.Parallel()
	got, err := replace([]byte("a\n"+begin+"\nold\n"+end+"\nb\n"), "new\n")
	if want := "a\n" + begin + "\nnew\n" + end + "\nb\n"; err != nil || string(got) != want {
		t.Errorf("replace = %q, %v, want %q", got, err, want)
	}
	for _, text := range []string{"", begin + "\n", end, end + "\n" + begin + "\n"} {
		if _, err := replace([]byte(text), "new\n"); err == nil {
			t.Errorf("replace(%q) wants an error", text)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir := filepath.Join(parent, "docs")
	if err := os.CopyFS(filepath.Join(parent, "testdata", "errors"), os.DirFS(filepath.FromSlash("../../../testdata/errors"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err == nil {
		t.Error("an empty folder has no error")
	}
	for _, name := range []string{"errors.md", "messages.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(begin+"\n"+end+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"errors.md": "`RATE_LIMIT_EXCEEDED`", "messages.md": "Demasiadas solicitudes", "errors.json": `"code": "TOKEN_EXPIRED"`,
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s: %v, without %q", name, err, want)
		}
	}
}
