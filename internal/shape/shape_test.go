package shape_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/authos-go/authos/internal/shape"
)

const root = "../.."

// The client knows its layers, the layers the call, and the call neither: what depends on each
// other in a circle is within one family. The errors, the checks of input, the tokens and all that
// is in internal/ can be read without any of it.
func TestKnotOfTheMachinery(t *testing.T) {
	const most = 7 // a call and what it is told about; as many are the session's
	p, err := shape.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	knot := p.Knot(shape.Machinery)
	if len(knot) > most {
		t.Errorf("%d files depend on each other, want at most %d: %s", len(knot), most, strings.Join(knot, " "))
	}
	for _, name := range knot {
		if shape.Family(name) != shape.Family(knot[0]) {
			t.Errorf("%s has joined the circle of %s", name, knot[0])
		}
	}
}

// A layer can be read without the others: what one uses of another is listed here, with its reason.
func TestLayersKnowLittleOfEachOther(t *testing.T) {
	layers := []string{"cache", "backoff", "refresh", "breaker", "wire"}
	allowed := map[string]string{
		"cache -> refresh":   "whose responses a call may see is the session's knowledge",
		"backoff -> wire":    "one word for what a transport will never do",
		"breaker -> wire":    "likewise; a refresh that was not sent",
		"breaker -> refresh": "a session is a principal, whose failures are its own",
		"breaker -> backoff": "the longest time that a policy may name",
		"refresh -> wire":    "when a refresh token left; what the program's code raised",
		"refresh -> backoff": "a refresh obeys the gate, the table and the waits of the policy",
		"wire -> backoff":    "the attempt's timeout",
	}
	p, err := shape.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	met := map[string]bool{}
	for _, name := range p.Files() {
		from := shape.Family(name)
		for _, used := range p.Uses(name) {
			to := shape.Family(used)
			if !slices.Contains(layers, from) || from == to {
				continue
			}
			if met[from+" -> "+to] = true; slices.Contains(layers, to) && allowed[from+" -> "+to] == "" || used == "client.go" {
				t.Errorf("%s uses %s", name, used)
			}
		}
	}
	for use := range allowed {
		if !met[use] {
			t.Errorf("%s is allowed and does not occur", use)
		}
	}
}

// Typed routes use the machinery; of the machinery only the client, which holds the services, knows
// them.
func TestNothingBelowKnowsARoute(t *testing.T) {
	allowed := map[string][]string{
		// the path of sign-out, which takes a token that has expired
		"refresh.go":         {"api_auth.go"},
		"refresh_session.go": {"api_auth.go"},
		"refresh_tokens.go":  {"api.go"},      // what a response with tokens must have
		"client_decode.go":   {"api.go"},      // routes that only acknowledge
		"client_checks.go":   {"api_page.go"}, // the server's bound of a page
		"errors_parse.go":    {"api_time.go"}, // the server's forms of a time
	}
	p, err := shape.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range p.Files() {
		if !shape.Machinery(name) || name == "client.go" {
			continue
		}
		for _, used := range p.Uses(name) {
			if !shape.Machinery(used) && !slices.Contains(allowed[name], used) {
				t.Errorf("%s uses %s", name, used)
			}
		}
	}
}

// Leaves stand behind a wall: what is in internal/ for the client imports nothing of this module
// but other leaves.
func TestLeavesImportNothingUpwards(t *testing.T) {
	const module = "github.com/authos-go/authos"
	imports := regexp.MustCompile(`"(` + module + `[^"]*)"`)
	for _, leaf := range []string{"httpfield", "jsonscan", "jwt", "lru", "routes", "session"} {
		files, err := filepath.Glob(filepath.Join(root, "internal", leaf, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range imports.FindAllStringSubmatch(string(source), -1) {
				if !strings.HasPrefix(m[1], module+"/internal/") {
					t.Errorf("%s imports %s", name, m[1])
				}
			}
		}
	}
}

// The layers are listed once in the code, once in DESIGN.md and once in doc.go, in the same order.
func TestLayersInTheSameOrderEverywhere(t *testing.T) {
	want := []string{"cacheLayer", "retryLayer", "gateLayer", "sessionLayer", "breakerLayer", "wireLayer"}
	source, err := os.ReadFile(root + "/client.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(source), "func (c *Client) assemble()")
	list, _, _ = strings.Cut(list, "\n}\n")
	var got []string
	for _, m := range regexp.MustCompile(`\bnew(\w+Layer)\b`).FindAllStringSubmatch(list, -1) {
		got = append(got, strings.ToLower(m[1][:1])+m[1][1:])
	}
	if !slices.Equal(got, want) {
		t.Errorf("assemble lists %v, want %v", got, want)
	}
	for _, name := range []string{"DESIGN.md", "doc.go"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, layer := range want {
			i := strings.Index(string(text)[at:], layer)
			if i < 0 {
				t.Errorf("%s does not name %s after the layers before it", name, layer)
				break
			}
			at += i
		}
	}
}

// DESIGN.md walks a request step by step; every place it names must exist.
func TestDesignNamesRealPlaces(t *testing.T) {
	text, err := os.ReadFile(root + "/DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	p, err := shape.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range p.Functions() {
		have[f.File+":"+f.Name] = true
	}
	places := regexp.MustCompile("`([a-z_]+\\.go:[A-Za-z]+)`").FindAllStringSubmatch(string(text), -1)
	if len(places) < 10 {
		t.Fatalf("only %d places found", len(places))
	}
	for _, m := range places {
		if !have[m[1]] {
			t.Errorf("DESIGN.md names %s, which is not there", m[1])
		}
	}
}

// A comment is read in a terminal, a review and a browser: 100 columns.
func TestCommentWidth(t *testing.T) {
	wide, err := shape.WideComments(root, 100, "authostest")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range wide {
		t.Error(at)
	}
}

// The measure itself: a package of three files of which two use each other.
func TestMeasures(t *testing.T) {
	dir := t.TempDir()
	for name, source := range map[string]string{
		"a.go":      "package x\n\nimport \"fmt\"\n\nfunc A() { fmt.Println(B) }\n",
		"b_one.go":  "package x\n\ntype T struct{}\n\nfunc (T) M() { A() }\n\nvar B = 1\n",
		"b_two.go":  "package x\n\nfunc long() {\n\tvar t T\n\tt.M()\n}\n",
		"c_test.go": "not Go",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := shape.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Families(); got["a"] != 1 || got["b"] != 2 || len(got) != 2 {
		t.Errorf("Families = %v", got)
	}
	if got := p.Uses("b_two.go"); !slices.Equal(got, []string{"b_one.go"}) {
		t.Errorf("Uses = %v", got)
	}
	if got := p.Knot(func(string) bool { return true }); !slices.Equal(got, []string{"a.go", "b_one.go"}) {
		t.Errorf("Knot = %v", got)
	}
	if got := p.Knot(func(name string) bool { return name != "a.go" }); len(got) != 0 {
		t.Errorf("Knot without a.go = %v", got)
	}
	if got := p.Functions(); len(got) != 3 || got[0].Name != "long" || got[0].Lines != 4 {
		t.Errorf("Functions = %v", got)
	}
	if _, err := shape.Load(filepath.Join(dir, "none")); err == nil {
		t.Error("an empty folder was measured")
	}
}

func TestWideComments(t *testing.T) {
	dir := t.TempDir()
	source := "package x\n\n// " + strings.Repeat("word ", 30) + "\nvar a = 1 // short\n\n" +
		"// See https://example.com/" + strings.Repeat("long", 30) + "\nvar b = 2\n"
	if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := shape.WideComments(dir, 100)
	if err != nil || len(got) != 1 || !strings.Contains(got[0], "x.go:3") {
		t.Errorf("WideComments = %v, %v", got, err)
	}
}
