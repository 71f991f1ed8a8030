package main

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestCheck(t *testing.T) {
	tests := []struct {
		name   string
		readme string
		want   string // part of the only problem; empty: none
	}{
		{"links", "# A b, c!\n[x](docs/more.md#more-here) [y](https://example.com/nothing) [z](#a-b-c) ![i](LICENSE \"title\")\n", ""},
		{"equal headings", "# Twice\n# Twice\n[x](#twice) [y](#twice-1)\n", ""},
		{"no third", "# Twice\n# Twice\n[x](#twice-2)\n", "no such heading in README.md"},
		{"reference", "[x]\n\n[x]: LICENSE\n", ""},
		{"commands", "```sh\ngo get github.com/authos-go/authos@latest\ngo test ./...\n$ cd sub && go run ./cmd  # why\nbash run.sh\n```\n", ""},
		{"not in code", "```go\n// [x](nowhere)\n```\n`[x](nowhere)`\n", ""},
		{"file", "\n[x](nowhere.md)\n", "README.md:2: link to nowhere.md"},
		{"image", "![x](nowhere.png)\n", "nowhere.png"},
		{"reference to nothing", "[x]: nowhere\n", "nowhere"},
		{"heading", "[x](docs/more.md#less)\n", "no such heading in docs/more.md"},
		{"own heading", "[x](#less)\n", "no such heading in README.md"},
		{"outside", "[x](../x.md)\n", "../x.md"},
		{"run", "```sh\ngo run ./examples/nothing\n```\n", "examples/nothing"},
		{"test", "```bash\ngo test -race ./nothing/...\n```\n", "nothing"},
		{"get", "```sh\ngo get github.com/authos-go/authos/nothing\n```\n", "nothing"},
		{"cd", "```sh\ncd nothing && go test ./...\n```\n", "nothing"},
		{"not a folder", "```sh\ngo run ./LICENSE\n```\n", "not a folder"},
		{"script", "```sh\nbash nothing.sh\n```\n", "nothing.sh"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			problems, err := check(fstest.MapFS{
				"README.md":       {Data: []byte(tt.readme)},
				"docs/more.md":    {Data: []byte("## More *here*\n[up](../README.md)\n")},
				"LICENSE":         {},
				"run.sh":          {},
				"sub/cmd/main.go": {},
			})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if len(problems) > 0 {
					t.Errorf("check = %q, want none", problems)
				}
				return
			}
			if len(problems) != 1 || !strings.Contains(problems[0], tt.want) {
				t.Errorf("check = %q, want one with %q", problems, tt.want)
			}
		})
	}
	t.Run("unusable", func(t *testing.T) {
		for _, fsys := range []fstest.MapFS{{}, {"README.md": {Data: []byte("```go\n")}}} {
			if problems, err := check(fsys); err == nil {
				t.Errorf("check = %q, want an error", problems)
			}
		}
	})
}
