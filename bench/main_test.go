package main

import (
	"strings"
	"testing"
)

// TestPage makes the page of what would be measured, without numbers.
func TestPage(t *testing.T) {
	r := newReport()
	r.Releases = []results{{
		Go: "go1.0", Behavior: map[string]behavior{ours.name: {Session: &refresh{Refreshes: 1, Succeeded: 1000}}},
		Write: map[string]cost{"100000": {Ratio: 1.5}},
	}}
	r.Newest = r.Releases[0]
	text, err := r.render()
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{"1 refresh, 1000 succeed", "while 100,000 responses are cached, against an empty cache: time | **1.50 ×** | ≤ 1.10 × |", "**go1.0**"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, p := range peers {
		if n := strings.Count(page, "\n| "+p.name+" |"); n < 2 {
			t.Errorf("%s has %d rows", p.name, n)
		}
	}
	if strings.Contains(page, "<no value>") {
		t.Error("the page has a hole")
	}
}
