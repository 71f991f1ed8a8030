package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authos-go/authos/internal/apitable"
)

func TestUpToDate(t *testing.T) {
	want, err := generate("../../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/api.md is out of date: run go generate")
	}
}

func TestRow(t *testing.T) {
	routes := map[string]route{
		"GET /a":  {Method: "GET", Path: "/a", Auth: "bearer", RetrySafe: true, Confirmed: "x"},
		"POST /b": {Method: "POST", Path: "/b", Auth: "none", SingleUse: true},
		"POST /c": {Method: "POST", Path: "/c", Auth: "bearer"},
		"GET /d":  {Method: "GET", Path: "/d", Auth: "somebody new"},
	}
	tests := []struct {
		routes []string
		want   string
	}{
		{[]string{"GET /a"}, "| `X.Y` | `GET /a` | session | yes | x |\n"},
		{[]string{"POST /b"}, "| `X.Y` | `POST /b` | anybody | never |  |\n"},
		{[]string{"GET /a", "POST /c"}, "| `X.Y` | `GET /a`, `POST /c` | session | yes, if refused | x;  |\n"},
		{nil, ""},
		{[]string{"GET /nowhere"}, ""},
		{[]string{"GET /d"}, ""},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		err := row(&b, apitable.Method{Name: "X.Y", Routes: tt.routes}, routes, map[string][]string{})
		if got := b.String(); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("row(%q) = %q, %v, want %q", tt.routes, got, err, tt.want)
		}
	}
}

func TestGenerateFails(t *testing.T) {
	dir := t.TempDir()
	if _, err := generate(dir); err == nil {
		t.Error("a folder without a client")
	}
	if err := os.WriteFile(filepath.Join(dir, "client.go"), []byte("package x\n\ntype Client struct{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := generate(dir); err == nil || !strings.Contains(err.Error(), "routes.json") {
		t.Errorf("a folder without a route list: %v", err)
	}
}

// Every route of the server has one row, with a method or a reason, and says what confirms it.
func TestEveryRouteHasARow(t *testing.T) {
	text, err := generate("../../..")
	if err != nil {
		t.Fatal(err)
	}
	_, index, _ := strings.Cut(string(text), "## Every route")
	rows := 0
	for line := range strings.SplitSeq(index, "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		rows++
		if cells := strings.Split(line, " | "); len(cells) != 3 || strings.TrimSpace(cells[1]) == "none:" || strings.TrimSpace(strings.Trim(cells[2], "|")) == "" {
			t.Errorf("%s", line)
		}
	}
	if rows != 246 {
		t.Errorf("%d routes, want 246", rows)
	}
}
