package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// publish puts a tagged module into a module proxy that is a folder
// (https://go.dev/ref/mod#goproxy-protocol), as the public one would make it of the tag. module is
// the module's folder, "." for the root.
func (r repo) publish(proxy, module string) error {
	tag, path := r.version, modulePath
	if module != "." {
		tag, path = module+"/"+r.version, modulePath+"/"+module
	}
	dir := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := func(name string) (string, error) {
		return r.output(".", "git", "show", tag+":"+strings.TrimPrefix(filepath.ToSlash(filepath.Join(module, name)), "./"))
	}
	mod, err := file("go.mod")
	if err != nil {
		return err
	}
	list, err := r.output(".", "git", "ls-tree", "-r", "--name-only", tag)
	if err != nil {
		return err
	}
	names := strings.Split(list, "\n")
	var nested []string // folders of other modules
	for _, name := range names {
		if folder, ok := strings.CutSuffix(name, "/go.mod"); ok && folder != module {
			nested = append(nested, folder+"/")
		}
	}
	prefix := ""
	if module != "." {
		prefix = module + "/"
	}
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for _, name := range names {
		inner, ok := strings.CutPrefix(name, prefix)
		if !ok || inOther(name, prefix, nested) {
			continue
		}
		content := r.command(".", "git", "show", tag+":"+name)
		data, err := content.Output()
		if err != nil {
			return err
		}
		entry, err := w.Create(path + "@" + r.version + "/" + inner)
		if err != nil {
			return err
		}
		if _, err := io.Copy(entry, bytes.NewReader(data)); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	info, err := json.Marshal(map[string]any{"Version": r.version, "Time": time.Now().UTC()})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		r.version + ".mod": []byte(mod + "\n"), r.version + ".zip": archive.Bytes(),
		r.version + ".info": info, "list": []byte(r.version + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// inOther reports whether a file belongs to a module nested in the one whose files begin with
// prefix.
func inOther(name, prefix string, nested []string) bool {
	for _, folder := range nested {
		if strings.HasPrefix(name, folder) && strings.HasPrefix(folder, prefix) {
			return true
		}
	}
	return false
}
