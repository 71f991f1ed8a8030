// Command hops counts what a reader goes through who follows one call: function calls, distinct
// functions, files, and changes from one file to another, for four calls: client.User.Get, the same
// with a token refresh, a stale response, and a 404; and how many of the calls the standard library
// makes, back into hooks, contexts and connections of ours, which nobody reads one after the other.
// "go run ./internal/cmd/hops" in the root; -v prints the way, with a star before those.
//
// It builds a copy of the package whose every function reports its beginning (go build's -overlay;
// nothing in the working tree is written), and runs a small program on it against authostest.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	dir := flag.String("dir", ".", "the root of the module")
	verbose := flag.Bool("v", false, "print the functions in the order in which they are called")
	flag.Parse()
	if err := run(os.Stdout, *dir, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "hops:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, dir string, verbose bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "hops")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	overlay := map[string]string{}
	add := func(name string, source []byte) error {
		file := filepath.Join(tmp, fmt.Sprintf("%d.go", len(overlay)))
		overlay[name] = file
		return os.WriteFile(file, source, 0o600)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := instrument(name)
		if err != nil {
			return err
		}
		if err := add(name, source); err != nil {
			return err
		}
	}
	if err := add(filepath.Join(dir, "hops_trace.go"), []byte(tracer)); err != nil {
		return err
	}
	// The program stands inside the module, so that it is built against it; only the overlay knows
	// it.
	if err := add(filepath.Join(dir, "internal", "cmd", "hops", "traced", "main.go"), []byte(program)); err != nil {
		return err
	}
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return err
	}
	listFile := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(listFile, list, 0o600); err != nil {
		return err
	}
	cmd := exec.Command("go", "run", "-overlay", listFile, "./internal/cmd/hops/traced")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	lines, err := cmd.Output()
	if err != nil {
		return err
	}
	return count(out, string(lines), verbose)
}

// instrument returns a file whose every function first reports "file:name".
func instrument(name string) ([]byte, error) {
	source, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	text := string(source)
	for _, decl := range slices.Backward(f.Decls) {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		at := fset.Position(fn.Body.Lbrace).Offset + 1
		text = text[:at] + fmt.Sprintf("HopsTrace(%q);", filepath.Base(name)+":"+fn.Name.Name) + text[at:]
	}
	return []byte(text), nil
}

// count prints a row for each block of lines that begins with "# name".
func count(out io.Writer, text string, verbose bool) error {
	fmt.Fprintln(out, "| call | calls | functions | files | file switches | calls back |\n|---|---|---|---|---|---|")
	for block := range strings.SplitSeq(strings.TrimPrefix(text, "# "), "\n# ") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		functions, files, switches, back, last := map[string]bool{}, map[string]bool{}, 0, 0, ""
		for _, line := range lines[1:] {
			line, isBack := strings.CutPrefix(line, "*")
			if isBack {
				back++
			}
			file, _, _ := strings.Cut(line, ":")
			functions[line], files[file] = true, true
			if file != last && last != "" {
				switches++
			}
			last = file
		}
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %d |\n", lines[0], len(lines)-1, len(functions), len(files), switches, back)
		if verbose {
			fmt.Fprintln(out, strings.Join(lines[1:], "\n"))
		}
	}
	return nil
}

const tracer = `package authos

import (
	"runtime"
	"strings"
	"sync"
)

var hops struct {
	mu    sync.Mutex
	on    bool
	lines []string
}

func HopsTrace(place string) {
	hops.mu.Lock()
	defer hops.mu.Unlock()
	if !hops.on {
		return
	}
	pc := make([]uintptr, 2)
	runtime.Callers(2, pc) // the function itself, then its caller
	frames := runtime.CallersFrames(pc)
	_, _ = frames.Next()
	caller, _ := frames.Next()
	if ofStandardLibrary(caller.Function) {
		place = "*" + place
	}
	hops.lines = append(hops.lines, place)
}

// ofStandardLibrary reports whether a function is: the paths of other packages begin with a domain.
// A goroutine begins in package runtime, which is no call back.
func ofStandardLibrary(name string) bool {
	first, _, nested := strings.Cut(name, "/")
	pkg, _, _ := strings.Cut(first, ".")
	return nested && pkg == first || !nested && pkg != "main" && pkg != "runtime"
}

func HopsStart() { hops.mu.Lock(); hops.on, hops.lines = true, nil; hops.mu.Unlock() }

func HopsStop() []string { hops.mu.Lock(); defer hops.mu.Unlock(); hops.on = false; return hops.lines }
`

const program = `package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

func main() {
	ctx := context.Background()
	srv := authostest.New()
	defer srv.Close()
	srv.AddUser("ada@example.com", "password")
	t := srv.SignIn("ada@example.com")
	c, err := authos.New(srv.URL, authos.WithTokens(authos.Tokens{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	caching, err := authos.New(srv.URL, authos.WithAPIKey(srv.AddAPIKey()), authos.WithCache(authos.CachePolicy{}),
		authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	get := func() { _, _ = c.User.Get(ctx) }
	info := func() { _, _ = caching.Service.Info(ctx) }
	get() // what is made once
	info()
	trace := func(name string, f func()) {
		authos.HopsStart()
		f()
		fmt.Println("# " + name + "\n" + strings.Join(authos.HopsStop(), "\n"))
	}
	trace("User.Get", get)
	srv.ExpireAccessTokens()
	trace("with a token refresh", get)
	srv.Fault(authostest.Fault{Path: "/api/service/info", Times: 1, Status: 503})
	trace("a stale response", info)
	trace("a 404", func() { _, _ = c.Organizations.Get(ctx, "nobody") })
}
`
