// Command gentables writes the table of error codes into docs/errors.md, between the markers, from
// the catalog in errors_codes.go.
//
//	go run ./internal/cmd/gentables [file]
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/authos-go/authos"
)

const (
	begin = "<!-- errors:begin -->"
	end   = "<!-- errors:end -->"
)

var errNoMarkers = errors.New("no lines " + begin + " and " + end + " in this order")

func main() {
	file := "docs/errors.md"
	if len(os.Args) > 1 {
		file = os.Args[1]
	}
	if err := run(file); err != nil {
		fmt.Fprintf(os.Stderr, "gentables: %s: %v\n", file, err)
		os.Exit(1)
	}
}

func run(file string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := replace(old, table(authos.Codes()))
	if err != nil || bytes.Equal(text, old) {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// replace puts the table between the markers.
func replace(text []byte, table string) ([]byte, error) {
	before, rest, ok := bytes.Cut(text, []byte(begin+"\n"))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return nil, errNoMarkers
	}
	return slices.Concat(before, []byte(begin+"\n"+table+end), after), nil
}

// table lists the server's codes by status, then the names of failures found on this side.
func table(codes []authos.CodeInfo) string {
	var b strings.Builder
	b.WriteString("| Code | Status | Meaning | What to do | Repeated by the client | Also matches |\n|---|---|---|---|---|---|\n")
	local := func(c authos.CodeInfo) bool { return c.Status == 0 }
	for _, wantLocal := range []bool{false, true} {
		for _, c := range codes {
			if local(c) != wantLocal {
				continue
			}
			status := strconv.Itoa(c.Status)
			if wantLocal {
				status = "none"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", c.Code, status, c.Meaning, c.Action, c.Retry, relations(c, codes))
		}
	}
	return b.String()
}

// relations names the codes that mean the same, in both directions, and the wider codes.
func relations(c authos.CodeInfo, all []authos.CodeInfo) string {
	var names []string
	add := func(code authos.Code) { names = append(names, "`"+string(code)+"`") }
	if c.SameAs != "" {
		add(c.SameAs)
	}
	for _, other := range all {
		if other.SameAs == c.Code {
			add(other.Code)
		}
	}
	for _, parent := range c.Parents {
		add(parent)
	}
	return strings.Join(names, ", ")
}
