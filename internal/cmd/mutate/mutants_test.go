package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const source = `package p

func f(a, b int, s []int) (bool, int) {
	if a < b && b != 3 {
		return a >= b, 0
	}
	for i := range s {
		s[i] = a + 2*b // kept on its line
		mu.Lock()
		defer close(done)
	}
	return false, len(s) - 1
}

func g(a, b bool) bool {
	return a && //nolint:some // a
		//lint:ignore SA0 why
		b || /* or */
		"// no comment" == ""
}
`

func TestFind(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.go")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	found, src, err := find(file, 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range found {
		_, what, _ := strings.Cut(m.String(), "p.go:")
		got = append(got, what)
	}
	want := []string{
		"16: && → || in a && b", "16: negated: a", "16: negated: a && b", "16: negated: a && b || \"// no comment\" == \"\"",
		"16: || → && in a && b || \"// no comment\" == \"\"",
		"18: negated: b", "19: negated: \"// no comment\" == \"\"",
		"10: left out: defer close(done)",
		"4: && → || in a < b && b != 3",
		"4: < → <= in a < b",
		"4: negated: a < b",
		"4: negated: a < b && b != 3",
		"4: negated: b != 3",
		"5: >= → > in a >= b",
		"5: left out: return a >= b, 0",
		"5: negated: a >= b",
		"8: * → + in 2*b",
		"8: + → - in a + 2*b",
		"8: left out: s[i] = a + 2*b",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	changed := apply(src, found)
	if _, err := parser.ParseFile(token.NewFileSet(), file, changed, parser.SkipObjectResolution); err != nil {
		t.Errorf("with all mutants in it the file is no Go: %v\n%s", err, changed)
	}
	if a, b := strings.Count(string(changed), "\n"), strings.Count(source, "\n"); a != b {
		t.Errorf("the file has %d lines with mutants and %d without: reports name lines", a, b)
	}
}

// What is listed as changing nothing is a mutant that there is, with a reason.
func TestEquivalentsExist(t *testing.T) {
	t.Chdir("../../..")
	var all []*mutant
	for _, g := range groups {
		files, err := filepath.Glob(filepath.Join(g.dir, g.files))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			found, _, err := find(file, 1)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found...)
		}
	}
	for line := range strings.Lines(equivalents) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 {
			t.Errorf("%q: want a file, what is done and why nobody sees it", line)
			continue
		}
		if !slices.ContainsFunc(all, func(m *mutant) bool {
			return (fields[0] == "*" || fields[0] == filepath.ToSlash(m.file)) && fields[1] == m.what
		}) {
			t.Errorf("there is no such mutant: %q", line)
		}
	}
}
