package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestRoutesGenIsUpToDate(t *testing.T) {
	data, err := os.ReadFile("../../../testdata/routes.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../routes/routes_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	want, err := generate(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("routes_gen.go is out of date: run go generate in the root of the module")
	}
}

// TestUndecided checks that a new route cannot slip through with a default.
func TestUndecided(t *testing.T) {
	data, err := os.ReadFile("../../../testdata/routes.json")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		route string
		want  string
	}{
		{"group", `{"method":"GET","path":"/api/new","auth":"bearer","group":"new","response":{}}`, "no rule says"},
		{"auth", `{"method":"POST","path":"/api/new","auth":"new","group":"user","response":{}}`, `unknown auth "new"`},
		{"twice", `{"method":"GET","path":"/api/user","auth":"bearer","group":"user","response":{}}`, "listed twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := append(bytes.TrimSuffix(bytes.TrimSpace(data), []byte("]")), ","+tt.route+"]"...)
			_, err := generate(list)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("generate = %v, want an error with %q", err, tt.want)
			}
		})
	}
	t.Run("stale rule", func(t *testing.T) {
		_, err := generate([]byte("[]"))
		if err == nil || !strings.Contains(err.Error(), "not in the list") {
			t.Errorf("generate = %v, want an error about a rule without a route", err)
		}
	})
}
