package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lab builds the mutants into test binaries and runs them.
type lab struct {
	tmp     string
	tests   string            // which are tried
	files   map[string][]byte // sources
	mutants []*mutant         // by id, which counts from 1
	suites  map[string]*suite // by folder
}

// suite is the test binary of one package.
type suite struct {
	dir, binary string
	took        map[string]time.Duration // by test; only of tests that pass when no mutant is alive
	reach       map[int][]string         // the tests that reach a mutant, the fastest first
	kills       map[string]int           // by test: how many mutants it has found
}

func (l *lab) add(file string) ([]*mutant, error) {
	ms, src, err := find(file, len(l.mutants)+1)
	if err != nil {
		return nil, err
	}
	if l.files == nil {
		l.files = map[string][]byte{}
	}
	l.files[file] = src
	l.mutants = append(l.mutants, ms...)
	return ms, nil
}

// kill reports whether a test fails with a mutant alive. Tests are tried few at first and then ever
// more at once: those that have killed another mutant, then the fastest.
func (l *lab) kill(m *mutant, folders []string) (bool, error) {
	for _, dir := range folders {
		s := l.suites[dir]
		if s == nil {
			var err error
			if s, err = l.build(dir); err != nil {
				return false, err
			}
			l.suites[dir] = s
		}
		tests := s.reach[m.id]
		slices.SortStableFunc(tests, func(a, b string) int { return s.kills[b] - s.kills[a] })
		for n := 6; len(tests) > 0; n *= 3 {
			some := tests[:min(n, len(tests))]
			tests = tests[len(some):]
			if !s.pass(m.id, some) {
				return true, nil
			}
		}
	}
	return false, nil
}

// pass runs tests with a mutant alive, and notes which of them it was that failed.
func (s *suite) pass(alive int, tests []string) bool {
	limit := 15 * time.Second
	for _, t := range tests {
		limit += 4 * s.took[t]
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := s.command(ctx, alive, "-test.failfast", "-test.run", "^("+strings.Join(tests, "|")+")$").CombinedOutput()
	if failed := testFailed.FindSubmatch(out); err != nil && failed != nil {
		s.kills[string(failed[1])]++
	}
	return err == nil
}

func (s *suite) command(ctx context.Context, alive int, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "AUTHOS_MUTANT="+strconv.Itoa(alive))
	cmd.WaitDelay = time.Second
	return cmd
}

var (
	compileError = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):\d+: `)
	testStart    = regexp.MustCompile(`(?m)^func Test\w+\((\w+) \*testing\.T\) \{`)
	testFailed   = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	testPassed   = regexp.MustCompile(`(?m)^--- PASS: (\S+) \(([\d.]+)s\)`)
)

// build compiles the tests of a folder with every mutant, and runs them with none alive to see who
// reaches what.
func (l *lab) build(dir string) (*suite, error) {
	s := &suite{dir: dir, took: map[string]time.Duration{}, reach: map[int][]string{}, kills: map[string]int{}}
	s.binary = filepath.Join(l.tmp, strconv.Itoa(len(l.suites))+".test")
	for tries := 0; ; tries++ {
		overlay, err := l.overlay(dir)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay", overlay, "-o", s.binary, ".")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err == nil {
			break
		}
		if tries == 5 || l.drop(string(out)) == 0 {
			return nil, fmt.Errorf("go test -c in %s: %w\n%s", dir, err, out)
		}
	}
	log := filepath.Join(l.tmp, "reached")
	cmd := s.command(context.Background(), -1, "-test.v", "-test.timeout=15m", "-test.run", l.tests)
	cmd.Env = append(cmd.Env, "AUTHOS_MUTANT_LOG="+log)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	for _, m := range testPassed.FindAllStringSubmatch(string(out), -1) {
		seconds, _ := strconv.ParseFloat(m[2], 64)
		s.took[m[1]] = time.Duration(seconds * float64(time.Second))
	}
	reached, err := os.ReadFile(log)
	if err != nil || len(reached) == 0 {
		return nil, errors.Join(fmt.Errorf("no test of %s reaches a mutant\n%s", dir, out), err)
	}
	for line := range strings.Lines(string(reached)) {
		number, test, _ := strings.Cut(strings.TrimSpace(line), " ")
		id, _ := strconv.Atoi(number)
		if _, passed := s.took[test]; passed && !slices.Contains(s.reach[id], test) {
			s.reach[id] = append(s.reach[id], test)
		}
	}
	for _, tests := range s.reach {
		slices.SortStableFunc(tests, func(a, b string) int { return int(s.took[a] - s.took[b]) })
	}
	fmt.Fprintf(os.Stderr, "%s: %d tests reach %d mutants\n", dir, len(s.took), len(s.reach))
	return s, os.Remove(log)
}

// drop takes out the mutants that the compiler complains of: those that need types that fit first,
// then whatever is on the line.
func (l *lab) drop(output string) int {
	n := 0
	for _, e := range compileError.FindAllStringSubmatch(output, -1) {
		line, _ := strconv.Atoi(e[2])
		on := func(m *mutant) bool {
			return flat(m.file) == filepath.Base(e[1]) && m.line == line && !m.dropped
		}
		arithmetic := slices.ContainsFunc(l.mutants, func(m *mutant) bool { return on(m) && m.arithmetic })
		for _, m := range l.mutants {
			if on(m) && (m.arithmetic || !arithmetic) {
				m.dropped = true
				n++
			}
		}
	}
	return n
}

// helpers is a package that the changed files import. Number -1 is for the run that writes down
// which test reaches what.
const helpers = `package mutants

import (
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

var (
	alive, _ = strconv.Atoi(os.Getenv("AUTHOS_MUTANT"))
	current  atomic.Pointer[string]
	seen     [%d]atomic.Pointer[string]
	reached  *os.File // open from the start: a test may become another user
)

func init() {
	name := os.Getenv("AUTHOS_MUTANT_TEST") // of the parent
	current.Store(&name)
	if log := os.Getenv("AUTHOS_MUTANT_LOG"); log != "" {
		reached, _ = os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	}
}

func Test(t *testing.T) {
	name := t.Name()
	current.Store(&name)
	os.Setenv("AUTHOS_MUTANT_TEST", name)
	}

func Alive(id int) bool {
	if alive != -1 {
		return id == alive
	}
	if test := current.Load(); seen[id].Swap(test) != test {
		reached.WriteString(strconv.Itoa(id) + " " + *test + "\n")
	}
	return false
}

func Value[T any](id int, changed, unchanged T) T {
	if Alive(id) {
		return changed
	}
	return unchanged
}
`

// flat is the name of a file in the overlay, by which the compiler calls it.
func flat(file string) string {
	return strings.ReplaceAll(file, string(filepath.Separator), "_")
}

const helpersDir = "internal/mutants"

var packageClause = regexp.MustCompile(`(?m)^package \w+`)

// withHelpers adds an import, without a new line.
func withHelpers(src []byte) []byte {
	at := packageClause.FindIndex(src)[1]
	return slices.Concat(src[:at], []byte(`; import "`+modulePath+"/"+helpersDir+`"`), src[at:])
}

// overlay writes the changed files and the list of them that the compiler takes. Tests say who they
// are, and run one after another.
func (l *lab) overlay(dir string) (string, error) {
	replace := map[string]string{}
	put := func(file string, text []byte) error {
		path, err := filepath.Abs(file)
		if err != nil {
			return err
		}
		replace[path] = filepath.Join(l.tmp, flat(file))
		return os.WriteFile(replace[path], text, 0o600)
	}
	for file, src := range l.files {
		var ms []*mutant
		for _, m := range l.mutants {
			if m.file == file && !m.dropped {
				ms = append(ms, m)
			}
		}
		if len(ms) == 0 {
			continue
		}
		if err := put(file, withHelpers(apply(src, ms))); err != nil {
			return "", err
		}
	}
	if err := put(helpersDir+"/mutants.go", fmt.Appendf(nil, helpers, len(l.mutants)+1)); err != nil {
		return "", err
	}
	tests, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return "", err
	}
	for _, file := range tests {
		src, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if testStart.Match(src) {
			src = bytes.ReplaceAll(src, []byte("t.Parallel()"), nil)
			src = withHelpers(testStart.ReplaceAll(src, []byte(`$0 mutants.Test($1);`)))
		}
		if err := put(file, src); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(l.tmp, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}
