// Command apicheck compares what the modules of this repository export with what api/ says they
// export.
//
//	go run -C tools ./apicheck          fails if they differ, or if CHANGELOG.md is silent about a change
//	go run -C tools ./apicheck -write   writes api/
//
// api/ has one text file for each module and one line for each exported name, so that a reviewer
// reads in the diff what users get or lose. Since a line does not say what a change breaks,
// apidiff's judgment of it is printed: it has the types of both sides, read from the sources of
// -base.
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/exp/apidiff"
	"golang.org/x/tools/go/packages"
)

func main() {
	write := flag.Bool("write", false, "write api/")
	base := flag.String("base", "HEAD", "CHANGELOG.md has to explain what changed since this `commit`")
	flag.Parse()
	if err := run("..", *base, *write); err != nil {
		fmt.Fprintln(os.Stderr, "apicheck:", err)
		os.Exit(1)
	}
}

func run(root, base string, write bool) error {
	modules, err := modules(root)
	if err != nil {
		return err
	}
	var changed []string // modules
	var complaints []error
	for _, m := range modules {
		pkgs, err := exported(filepath.Join(root, m))
		if err != nil {
			return err
		}
		if len(pkgs) == 0 {
			continue
		}
		var lines []string
		for _, p := range pkgs {
			lines = append(lines, list(p)...)
		}
		file := "api/" + listing(m)
		if write {
			err := errors.Join(os.MkdirAll(filepath.Join(root, "api"), 0o755),
				os.WriteFile(filepath.Join(root, file), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
			if err != nil {
				return err
			}
		}
		committed, err := os.ReadFile(filepath.Join(root, file))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if d := differences(split(string(committed)), lines); len(d) > 0 {
			complaints = append(complaints, fmt.Errorf("%s is not what the module exports: go run -C tools ./apicheck -write\n%s",
				file, strings.Join(d, "\n")))
		}
		old, err := git(root, "show", base+":"+file)
		if err != nil {
			continue // the base had no listing of this module
		}
		if d := differences(split(old), lines); len(d) > 0 {
			changed = append(changed, m)
			complaints = append(complaints, unexplained(root, d)...)
		}
	}
	if len(changed) > 0 {
		if err := judge(root, base, changed); err != nil {
			return err
		}
	}
	return errors.Join(complaints...)
}

// unexplained returns an error for each changed line whose name CHANGELOG.md does not have.
func unexplained(root string, changes []string) []error {
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return []error{err}
	}
	var out []error
	for _, c := range changes {
		name := nameOf(c)
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).Match(text) {
			out = append(out, fmt.Errorf("CHANGELOG.md does not name %s: %s", name, c))
		}
	}
	return out
}

// judge prints what apidiff says of the changes since base.
func judge(root, base string, modules []string) error {
	tmp, err := os.MkdirTemp("", "apicheck")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	before := filepath.Join(tmp, "base")
	if _, err := git(root, "worktree", "add", "--detach", before, base); err != nil {
		return err
	}
	defer func() { _, _ = git(root, "worktree", "remove", "--force", before) }()
	for _, m := range modules {
		was, err := exported(filepath.Join(before, m))
		if err != nil {
			return err
		}
		is, err := exported(filepath.Join(root, m))
		if err != nil {
			return err
		}
		for _, old := range was {
			i := slices.IndexFunc(is, func(p *packages.Package) bool { return p.PkgPath == old.PkgPath })
			if i < 0 {
				fmt.Printf("%s: the package is gone\n", old.PkgPath)
				continue
			}
			if r := apidiff.Changes(old.Types, is[i].Types); len(r.Changes) > 0 {
				fmt.Printf("%s since %.10s\n%s\n", old.PkgPath, base, r.String())
			}
		}
	}
	return nil
}

// unreleased modules are nobody's to import.
var unreleased = []string{"bench", "sim", "tools"}

// modules returns the folders of the modules that others import, the root first.
func modules(root string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(root, "*", "go.mod"))
	if err != nil {
		return nil, err
	}
	out := []string{"."}
	for _, file := range found {
		if dir := filepath.Base(filepath.Dir(file)); !slices.Contains(unreleased, dir) {
			out = append(out, dir)
		}
	}
	return out, nil
}

// listing returns the name of a module's file in api/.
func listing(module string) string {
	if module == "." {
		return "authos.txt"
	}
	return module + ".txt"
}

// exported loads the packages of a module that another module can import.
func exported(dir string) ([]*packages.Package, error) {
	pkgs, err := packages.Load(&packages.Config{
		Dir:  dir,
		Mode: packages.LoadTypes,
	}, "./...")
	if err != nil {
		return nil, err
	}
	var failed []error
	pkgs = slices.DeleteFunc(pkgs, func(p *packages.Package) bool {
		for _, e := range p.Errors {
			failed = append(failed, e)
		}
		return p.Name == "main" || slices.Contains(strings.Split(p.PkgPath, "/"), "internal")
	})
	slices.SortFunc(pkgs, func(a, b *packages.Package) int { return strings.Compare(a.PkgPath, b.PkgPath) })
	return pkgs, errors.Join(failed...)
}

// differences returns the lines of one side alone, marked as a diff does.
func differences(old, now []string) []string {
	set := map[string]string{}
	for _, l := range old {
		set[l] = "-"
	}
	for _, l := range now {
		if _, both := set[l]; both {
			delete(set, l)
		} else {
			set[l] = "+"
		}
	}
	out := make([]string, 0, len(set))
	for _, l := range slices.Sorted(maps.Keys(set)) {
		out = append(out, set[l]+" "+l)
	}
	return out
}

func split(text string) []string {
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func git(root string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	return strings.TrimSuffix(string(out), "\n"), err
}
