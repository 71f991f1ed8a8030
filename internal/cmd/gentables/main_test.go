package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authos-go/authos"
)

func TestErrorsTableIsUpToDate(t *testing.T) {
	t.Parallel()
	old, err := os.ReadFile(filepath.FromSlash("../../../docs/errors.md"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := replace(old, table(authos.Codes()))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, old) {
		t.Error("docs/errors.md is out of date: go generate ./...")
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
	file := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(file, []byte(begin+"\n"+end+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(text, []byte("`RATE_LIMIT_EXCEEDED`")) {
		t.Errorf("%s, %v", text, err)
	}
}
