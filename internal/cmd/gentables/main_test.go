package main

import (
	"bytes"
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

func TestTable(t *testing.T) {
	t.Parallel()
	text := table(authos.Codes())
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.Count(line, "|") != 7 {
			t.Errorf("line %d has not six cells: %s", i+1, line)
		}
	}
	if !strings.Contains(text, "\n| `TOKEN_EXPIRED` | 401 | ") {
		t.Error("TOKEN_EXPIRED is missing")
	}
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
	dir := t.TempDir()
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
