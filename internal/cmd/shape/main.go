// Command shape prints how the root package is built: files by family, the largest set of files
// that all depend on each other, and the longest functions. "go run ./internal/cmd/shape" in the
// root.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/authos-go/authos/internal/shape"
)

func main() {
	dir := flag.String("dir", ".", "the folder of the package")
	flag.Parse()
	if err := run(os.Stdout, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "shape:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, dir string) error {
	p, err := shape.Load(dir)
	if err != nil {
		return err
	}
	families := p.Families()
	fmt.Fprintln(out, "files by family:")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		fmt.Fprintf(out, "  %-10s %d\n", name, families[name])
	}
	machinery := p.Knot(shape.Machinery)
	fmt.Fprintf(out, "largest knot of the machinery: %d files: %s\n", len(machinery), strings.Join(machinery, " "))
	fmt.Fprintf(out, "largest knot of the whole package: %d files\n", len(p.Knot(func(string) bool { return true })))
	fmt.Fprintln(out, "longest functions:")
	for i, f := range p.Functions() {
		if i == 5 {
			break
		}
		fmt.Fprintf(out, "  %3d lines  %s: %s\n", f.Lines, f.File, f.Name)
	}
	return nil
}
