package main

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestSnippets(t *testing.T) {
	modules, err := loadModules("../../..")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, text, want string // part of the only problem; empty: none
	}{
		{"statements", "client, err := authos.New(\"https://x.example\", authos.WithAPIKey(key))\nif err != nil {\n\treturn err\n}", ""},
		{"declarations", "func f(ctx context.Context, c *authos.Client) error {\n\t_, err := c.User.Get(ctx)\n\treturn err\n}", ""},
		{"file", "package main\n\nimport \"github.com/authos-go/authos\"\n\nfunc main() { _, _ = authos.New(\"https://x.example\") }", ""},
		{"placeholders", "save(client, userID)", ""},
		{"unknown function", "client := authos.Connect()", "Connect"},
		{"unknown field", "p := authos.RetryPolicy{Attempts: 3}", "Attempts"},
		{"wrong argument", "client, err := authos.New(42)", "42"},
		{"wrong number of results", "client := authos.Retryable(err)\nclient.User.Get()", "client.User"},
		{"no Go", "client := ", "expected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := snippet{file: "README.md", line: 1, text: tt.text}.check(modules)
			if tt.want == "" && len(got) > 0 || tt.want != "" && !strings.Contains(strings.Join(got, "\n"), tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSnippetsAreFound(t *testing.T) {
	got, err := snippets(fstest.MapFS{"README.md": {Data: []byte("a\n```go\nx := 1\n```\n```sh\ngo test\n```\n```go\ny := 2\nz := 3\n```\n")}}, []string{"README.md"})
	if err != nil || len(got) != 2 || got[0].line != 3 || got[1].text != "y := 2\nz := 3\n" {
		t.Errorf("snippets = %+v, %v", got, err)
	}
}
