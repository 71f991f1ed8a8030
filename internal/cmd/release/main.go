// Command release does the steps of RELEASE.md that a machine can do, and rehearses all of them.
//
//	go run ./internal/cmd/release root v0.1.0      tags the root module
//	go run ./internal/cmd/release nested v0.1.0    sets the nested modules' requirements, tidies and tags them
//	go run ./internal/cmd/release rehearse         both on a copy, which is then used as a stranger would
//	go run ./internal/cmd/release notices PACKAGE  prints the licenses of what a program is built from
//
// Nothing is pushed: the command prints what to push.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const modulePath = "github.com/authos-go/authos"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

var versionShape = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func run(args []string) error {
	if len(args) == 1 && args[0] == "rehearse" {
		return rehearse(".")
	}
	if len(args) == 2 && args[0] == "notices" {
		text, err := repo{dir: "."}.notices(args[1])
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(text)
		return err
	}
	if len(args) != 2 || !versionShape.MatchString(args[1]) {
		return errors.New(`usage: release root vX.Y.Z | nested vX.Y.Z | rehearse | notices PACKAGE`)
	}
	r := repo{dir: ".", version: args[1]}
	switch args[0] {
	case "root":
		if err := r.tagRoot(); err != nil {
			return err
		}
		fmt.Printf("now: git push origin %s, and then: release nested %s\n", r.version, r.version)
		return nil
	case "nested":
		tags, err := r.tagNested()
		if err != nil {
			return err
		}
		fmt.Printf("now: git push origin %s, and git revert HEAD for development\n", strings.Join(tags, " "))
		return nil
	}
	return fmt.Errorf("no command %q", args[0])
}

// repo is a clone that gets released.
type repo struct {
	dir, version string
	env          []string // for go, beside the process's own
}

func (r repo) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = filepath.Join(r.dir, dir)
	cmd.Env = append(os.Environ(), r.env...)
	return cmd
}

// output runs a command in a folder of the repository. Its standard error is part of the error.
func (r repo) output(dir, name string, args ...string) (string, error) {
	var stderr strings.Builder
	cmd := r.command(dir, name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("in %s: %s %s: %w\n%s%s", dir, name, strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// clean fails when the working tree differs from what would be tagged.
func (r repo) clean() error {
	status, err := r.output(".", "git", "status", "--porcelain")
	if err != nil {
		return err
	}
	if status != "" {
		return errors.New("the working tree has changes:\n" + status)
	}
	return nil
}

func (r repo) tagRoot() error {
	if err := r.clean(); err != nil {
		return err
	}
	changelog, err := os.ReadFile(filepath.Join(r.dir, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(changelog), "\n## "+strings.TrimPrefix(r.version, "v")+" ") {
		return fmt.Errorf("CHANGELOG.md has no section %s", strings.TrimPrefix(r.version, "v"))
	}
	_, err = r.output(".", "git", "tag", "-a", r.version, "-m", "authos "+r.version)
	return err
}

// tagNested makes each nested module require the released root, commits that, and tags the commit
// for each.
func (r repo) tagNested() (tags []string, err error) {
	if err := r.clean(); err != nil {
		return nil, err
	}
	modules, err := nestedModules(r.dir)
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		for _, args := range [][]string{
			{"mod", "edit", "-dropreplace", modulePath, "-require", modulePath + "@" + r.version},
			{"mod", "tidy"},
		} {
			if _, err := r.output(m, "go", args...); err != nil {
				return nil, err
			}
		}
		tags = append(tags, m+"/"+r.version)
	}
	if _, err := r.output(".", "git", "commit", "-am", "Release "+r.version+" of the nested modules"); err != nil {
		return nil, err
	}
	for _, tag := range tags {
		if _, err := r.output(".", "git", "tag", "-a", tag, "-m", "authos "+tag); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

// unreleased are folders whose modules are run from a clone and never required by anybody.
var unreleased = []string{"bench", "examples", "internal", "sim", "tools"}

// nestedModules lists the folders of the nested modules that are released.
func nestedModules(dir string) ([]string, error) {
	var modules []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains(unreleased, path) || d.Name() == "testdata" || strings.HasPrefix(path, ".") && path != "."):
			return fs.SkipDir
		case d.Name() == "go.mod" && path != "go.mod":
			modules = append(modules, filepath.Dir(path))
		}
		return nil
	})
	return modules, err
}
