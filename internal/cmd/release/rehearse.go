package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// rehearse releases a copy of the commit that dir stands at under a version that nobody has, serves
// it from a folder, and does from outside what the documents tell a stranger to do.
func rehearse(dir string) error {
	tmp, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer func() {
		// the module cache is read-only
		_ = filepath.WalkDir(tmp, func(path string, _ os.DirEntry, _ error) error { return os.Chmod(path, 0o700) })
		_ = os.RemoveAll(tmp)
	}()
	proxy := filepath.Join(tmp, "proxy")
	here := repo{dir: dir}
	upstream, err := here.output(".", "go", "env", "GOPROXY")
	if err != nil {
		return err
	}
	// The module cache keeps what it has once seen of a version, so each rehearsal has one of its
	// own.
	version := fmt.Sprintf("v0.99.0-rehearsal.%d", time.Now().Unix())
	r := repo{dir: filepath.Join(tmp, "clone"), version: version, env: []string{
		"GOPROXY=file://" + filepath.ToSlash(proxy) + "," + upstream, "GONOSUMDB=" + modulePath + "," + modulePath + "/*",
		"GOWORK=off", "GOFLAGS=",
	}}
	if _, err := here.output(".", "git", "clone", "--quiet", "--no-hardlinks", ".", r.dir); err != nil {
		return err
	}
	for _, config := range [][]string{{"user.name", "rehearsal"}, {"user.email", "rehearsal@example.com"}} {
		if _, err := r.output(".", "git", "config", config[0], config[1]); err != nil {
			return err
		}
	}
	if err := r.announce(); err != nil {
		return err
	}
	if err := r.tagRoot(); err != nil {
		return err
	}
	if err := r.publish(proxy, "."); err != nil {
		return err
	}
	tags, err := r.tagNested()
	if err != nil {
		return err
	}
	modules := []string{"."}
	for _, tag := range tags {
		module := strings.TrimSuffix(tag, "/"+r.version)
		if err := r.publish(proxy, module); err != nil {
			return err
		}
		modules = append(modules, module)
	}
	return r.useOutside(filepath.Join(tmp, "outside"), modules)
}

// announce gives CHANGELOG.md the section that a release needs, as step 2 of RELEASE.md does by
// hand.
func (r repo) announce() error {
	name := filepath.Join(r.dir, "CHANGELOG.md")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, append(text, []byte("\n## "+strings.TrimPrefix(r.version, "v")+" (rehearsal)\n")...), 0o644); err != nil {
		return err
	}
	_, err = r.output(".", "git", "commit", "-qam", "Rehearsal")
	return err
}

// useOutside is a stranger's day: every module is required, every command of the documents that
// names us is run, and the README's first program is built.
func (r repo) useOutside(dir string, modules []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	out := repo{dir: dir, env: append(r.env, "GOBIN="+filepath.Join(dir, "bin"))}
	if _, err := out.output(".", "go", "mod", "init", "example.com/stranger"); err != nil {
		return err
	}
	commands, err := r.documented()
	if err != nil {
		return err
	}
	for _, m := range modules {
		path := modulePath
		if m != "." {
			path += "/" + m
		}
		commands = append(commands, []string{"go", "get", path + "@" + r.version})
	}
	for _, c := range commands {
		fmt.Println("outside:", strings.Join(c, " "))
		if _, err := out.output(".", c[0], c[1:]...); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o644); err != nil {
		return err
	}
	text, err := out.output(".", "go", "run", ".")
	if err != nil {
		return err
	}
	fmt.Println("outside: go run . printed:", text)
	return nil
}

// named finds the commands of the documents that fetch something of ours.
var named = regexp.MustCompile(`(?m)^\s*(?:\$ )?(go (?:get|install|run) ` + modulePath + `\S*)`)

// documented lists those commands, each once and at the rehearsed version.
func (r repo) documented() ([][]string, error) {
	var commands [][]string
	for _, pattern := range []string{"*.md", "*/*.md"} {
		files, err := filepath.Glob(filepath.Join(r.dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			for _, m := range named.FindAllStringSubmatch(string(text), -1) {
				c := strings.Fields(m[1])
				if c[1] == "run" {
					c[1] = "install" // as much of it as ends by itself: some are servers
				}
				path, _, _ := strings.Cut(c[2], "@")
				c[2] = path + "@" + r.version
				if !slices.ContainsFunc(commands, func(o []string) bool { return slices.Equal(o, c) }) {
					commands = append(commands, c)
				}
			}
		}
	}
	return commands, nil
}

// program is what the README begins with, against a fake server, so that it runs without a network.
const program = `package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

func main() {
	srv := authostest.New()
	defer srv.Close()
	client, err := authos.New(srv.URL, authos.WithAPIKey(srv.AddAPIKey()), authos.WithCache(authos.CachePolicy{}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = client.Service.Users.Get(context.Background(), "7b6c2f0e")
	fmt.Println(errors.Is(err, authos.ErrNotFound), err)
}
`
