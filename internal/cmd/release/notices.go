package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// systems are those that .goreleaser.yml builds for.
var systems = []string{"linux", "darwin", "windows"}

// notices returns the licenses of everything that a program of the repository is built from: MIT,
// BSD and MPL-2.0 want them to go with a binary.
func (r repo) notices(program string) ([]byte, error) {
	goroot, err := r.output(".", "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	parts := map[string]string{"Go, from https://go.dev/dl": goroot}
	for _, system := range systems {
		if err := r.listParts(program, system, parts); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "What %s is built from, beside this project, and under which licenses.\n", path.Base(program))
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		licenses, err := licensesIn(parts[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s", strings.Repeat("=", 80), name, licenses)
	}
	return b.Bytes(), nil
}

// listParts adds the modules that a program has on one system, each with its folder.
func (r repo) listParts(program, system string, parts map[string]string) error {
	r.env = append(slices.Clone(r.env), "GOOS="+system)
	out, err := r.output(".", "go", "list", "-deps", "-json=Module", program)
	if err != nil {
		return err
	}
	for packages := json.NewDecoder(strings.NewReader(out)); ; {
		var p struct {
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		switch err := packages.Decode(&p); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case p.Module != nil && !p.Module.Main: // Go's own packages have none
			parts[fmt.Sprintf("%s %[2]s, from go mod download %[1]s@%[2]s", p.Module.Path, p.Module.Version)] = p.Module.Dir
		}
	}
}

func licensesIn(dir string) ([]byte, error) {
	var all []byte
	for _, pattern := range []string{"LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "PATENTS*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			all = append(all, text...)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no license found")
	}
	return all, nil
}
