// Command mutate measures how strong the tests of the critical files are: it breaks the code in
// many small ways, one at a time, and counts how often a test fails.
//
//	go run ./internal/cmd/mutate                     a sample of every group of files
//	go run ./internal/cmd/mutate -n 10 breaker wire  a smaller one of two groups
//	go run ./internal/cmd/mutate -since origin/main  of the lines that were changed only
//	go run ./internal/cmd/mutate -run TestX breaker  tried on some of the tests only
//
// All mutants are compiled into one test binary for each package of tests, and an environment
// variable says which of them is alive: a build for each would take longer than its tests. One run
// with none alive finds out which tests reach which mutant; a mutant is given to those alone, the
// fastest first. What no test reaches survives, and so does what only the race detector would see.
// What is known to change nothing, equivalent.txt, is counted by itself.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const modulePath = "github.com/authos-go/authos"

// groups are the critical files: a folder, which of its files, and the folders whose tests are to
// find their mistakes.
var groups = []struct {
	name, dir, files string
	tests            []string
}{
	{"session", "internal/session", "*.go", []string{"internal/session", "."}},
	{"refresh", ".", "refresh*.go", []string{"."}},
	{"backoff", ".", "backoff*.go", []string{"."}},
	{"breaker", ".", "breaker*.go", []string{"."}},
	{"cache", ".", "cache*.go", []string{"."}},
	{"wire", ".", "wire*.go", []string{"."}},
	{"filestore", "filestore", "*.go", []string{"filestore"}},
	{"lease", "internal/lease", "*.go", []string{"internal/lease", "redisstore"}},
	{"atrest", "internal/atrest", "*.go", []string{"internal/atrest", "redisstore"}},
	{"redisstore", "redisstore", "*.go", []string{"redisstore"}},
	{"pgstore", "pgstore", "*.go", []string{"pgstore"}},
	{"verify", "verify", "*.go", []string{"verify"}},
}

func main() {
	perGroup := flag.Int("n", 40, "mutants of each group of files, at most")
	seed := flag.Uint64("seed", 1, "of the sample")
	since := flag.String("since", "", "a commit: only mutants on lines that were changed after it")
	tests := flag.String("run", ".", "which tests are tried; what survives may still be found by others")
	flag.Parse()
	if err := run(flag.Args(), *perGroup, *seed, *since, *tests); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(names []string, perGroup int, seed uint64, since, tests string) error {
	changed, err := changedLines(since)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	l := &lab{tmp: tmp, tests: tests, suites: map[string]*suite{}}
	chosen := map[string][]*mutant{}
	random := rand.New(rand.NewPCG(seed, 0))
	for _, g := range groups {
		if len(names) > 0 && !slices.Contains(names, g.name) {
			continue
		}
		files, err := filepath.Glob(filepath.Join(g.dir, g.files))
		if err != nil {
			return err
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			ms, err := l.add(file)
			if err != nil {
				return err
			}
			for _, m := range ms {
				if since == "" || slices.Contains(changed[file], m.line) {
					chosen[g.name] = append(chosen[g.name], m)
				}
			}
		}
		random.Shuffle(len(chosen[g.name]), func(i, j int) {
			chosen[g.name][i], chosen[g.name][j] = chosen[g.name][j], chosen[g.name][i]
		})
	}
	scores := map[string]*score{}
	var total score
	for _, g := range groups {
		var group score
		for _, m := range chosen[g.name] {
			if group.all == perGroup {
				break
			}
			killed, err := l.kill(m, g.tests)
			if err != nil {
				return err
			}
			if m.dropped {
				continue // does not compile
			}
			if scores[m.file] == nil {
				scores[m.file] = &score{}
			}
			for _, s := range []*score{scores[m.file], &group, &total} {
				s.count(killed, equivalent(m) != "")
			}
			switch why := equivalent(m); {
			case killed:
			case why != "":
				fmt.Printf("changes nothing: %s (%s)\n", m, why)
			default:
				fmt.Println("survived:", m)
			}
		}
		if group.all > 0 {
			fmt.Printf("%-32s %s\n", g.name, &group)
		}
	}
	fmt.Println()
	for _, file := range slices.Sorted(maps.Keys(scores)) {
		fmt.Printf("%-32s %s\n", file, scores[file])
	}
	fmt.Printf("%s mutants killed\n", &total)
	return nil
}

type score struct{ killed, equivalent, all int }

func (s *score) count(killed, equivalent bool) {
	s.all++
	switch {
	case killed:
		s.killed++
	case equivalent:
		s.equivalent++
	}
}

func (s *score) String() string {
	text := fmt.Sprintf("%3d of %3d", s.killed, s.all-s.equivalent)
	if s.equivalent > 0 {
		text += fmt.Sprintf(", and %d that change nothing", s.equivalent)
	}
	return text
}

// equivalents are the mutants that change nothing anybody could see: a file or *, what is done to
// it, and why that is so. Only what no test can find belongs there.
//
//go:embed equivalent.txt
var equivalents string

// equivalent says why a mutant changes nothing; empty: it does.
func equivalent(m *mutant) (why string) {
	for line := range strings.Lines(equivalents) {
		file, rest, _ := strings.Cut(strings.TrimSpace(line), "\t")
		what, why, ok := strings.Cut(rest, "\t")
		if ok && (file == "*" || file == filepath.ToSlash(m.file)) && what == m.what {
			return why
		}
	}
	return ""
}

var hunk = regexp.MustCompile(`^@@ -\S+ \+(\d+)(?:,(\d+))? @@`)

// changedLines returns the lines of each file that are new since a commit.
func changedLines(since string) (map[string][]int, error) {
	lines := map[string][]int{}
	if since == "" {
		return lines, nil
	}
	out, err := exec.Command("git", "diff", "-U0", since, "--", "*.go").Output()
	if err != nil {
		return nil, fmt.Errorf("git diff: %w", err)
	}
	file := ""
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(line, "+++ b/"); ok {
			file = path.Clean(strings.TrimSpace(name))
		}
		if m := hunk.FindStringSubmatch(line); m != nil {
			first, _ := strconv.Atoi(m[1])
			n := 1
			if m[2] != "" {
				n, _ = strconv.Atoi(m[2])
			}
			for i := range n {
				lines[file] = append(lines[file], first+i)
			}
		}
	}
	return lines, nil
}
