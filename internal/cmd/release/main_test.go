package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"root"}, {"root", "1.0.0"}, {"root", "v1"}, {"all", "v1.0.0"}, {"nested", "v1.0.0; rm"}} {
		if err := run(args); err == nil {
			t.Errorf("run(%q) has no error", args)
		}
	}
}

// testRepo makes a repository of a root and a nested module.
func testRepo(t *testing.T) repo {
	t.Helper()
	r := repo{dir: t.TempDir(), version: "v0.2.0"}
	for name, text := range map[string]string{
		"go.mod": "module " + modulePath + "\n\ngo 1.26\n", "a.go": "package authos\n", "sub/go.mod": "module " + modulePath + "/sub\n",
		"sub/b.go": "package sub\n", "tools/go.mod": "module x\n", "CHANGELOG.md": "# Changelog\n\n## 0.2.0 (today)\n", ".hidden/go.mod": "module y\n",
	} {
		file := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"config", "user.name", "x"}, {"config", "user.email", "x@example.com"}, {"add", "-A"}, {"commit", "-qm", "x"}} {
		if _, err := r.output(".", "git", args...); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestTagRoot(t *testing.T) {
	r := testRepo(t)
	if err := r.tagRoot(); err != nil {
		t.Fatal(err)
	}
	if err := r.tagRoot(); err == nil {
		t.Error("a version was tagged twice")
	}
	if err := (repo{dir: r.dir, version: "v0.3.0"}).tagRoot(); err == nil || !strings.Contains(err.Error(), "CHANGELOG.md") {
		t.Errorf("a version without a section: %v", err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "a.go"), []byte("package authos // changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.tagRoot(); err == nil || !strings.Contains(err.Error(), "a.go") {
		t.Errorf("a changed tree: %v", err)
	}
}

func TestPublish(t *testing.T) {
	r := testRepo(t)
	if err := r.tagRoot(); err != nil {
		t.Fatal(err)
	}
	proxy := t.TempDir()
	if err := r.publish(proxy, "."); err != nil {
		t.Fatal(err)
	}
	if modules, err := nestedModules(r.dir); err != nil || !slices.Equal(modules, []string{"sub"}) {
		t.Errorf("nested modules %v, %v", modules, err)
	}
	// Fetched as a stranger would, the zip has the root's files and none of the nested module's.
	out := repo{dir: t.TempDir(), env: []string{"GOPROXY=file://" + filepath.ToSlash(proxy), "GONOSUMDB=*", "GOWORK=off", "GOFLAGS=-modcacherw", "GOMODCACHE=" + t.TempDir()}}
	if _, err := out.output(".", "go", "mod", "init", "example.com/x"); err != nil {
		t.Fatal(err)
	}
	dir, err := out.output(".", "go", "mod", "download", "-json", modulePath+"@"+r.version)
	if err != nil {
		t.Fatal(err)
	}
	_, dir, _ = strings.Cut(dir, `"Dir": "`)
	dir, _, _ = strings.Cut(dir, `"`)
	if _, err := os.Stat(filepath.Join(dir, "a.go")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "sub")); err == nil {
		t.Error("the nested module is in the root's zip")
	}
}

func TestNotices(t *testing.T) {
	r := repo{dir: "../../.."}
	if goroot, err := r.output(".", "go", "env", "GOROOT"); err != nil {
		t.Fatal(err)
	} else if _, err := licensesIn(goroot); err != nil {
		t.Skip("this installation of Go comes without its license")
	}
	text, err := r.notices("./authostest/cmd/fakeauthos")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nGo, from https://go.dev/dl\n\nCopyright 2009 The Go Authors.", "github.com/hashicorp/go-retryablehttp@v", "Mozilla Public License",
		"github.com/sony/gobreaker/v2@v", "github.com/cenkalti/backoff/v4@v",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if _, err := licensesIn(t.TempDir()); err == nil {
		t.Error("a folder without a license has no error")
	}
}
