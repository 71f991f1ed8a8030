package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstrument(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.go")
	if err := os.WriteFile(name, []byte("package x\n\nfunc A() { B() }\n\nfunc B() {\n}\n\nfunc C()\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := instrument(name)
	if err != nil {
		t.Fatal(err)
	}
	want := "package x\n\nfunc A() {HopsTrace(\"a.go:A\"); B() }\n\nfunc B() {HopsTrace(\"a.go:B\");\n}\n\nfunc C()\n"
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCount(t *testing.T) {
	var out strings.Builder
	if err := count(&out, "# one\na.go:A\n*b.go:B\nb.go:D\n*a.go:C\n# two\na.go:A\n", false); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"| one | 4 | 4 | 2 | 2 | 2 |", "| two | 1 | 1 | 1 | 0 | 0 |"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no row %q in\n%s", row, out.String())
		}
	}
}
