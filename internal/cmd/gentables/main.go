// Command gentables writes what the documents say about error codes, from the catalog in
// errors_codes.go, the sentences in errors_sentences.go and the responses in testdata/errors: the
// sections of docs/errors.md and the table of docs/messages.md, each between its markers, and
// docs/errors.json for programs.
//
//	go run ./internal/cmd/gentables [folder]
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/authos-go/authos"
)

const (
	begin = "<!-- table:begin -->"
	end   = "<!-- table:end -->"
)

var errNoMarkers = errors.New("no lines " + begin + " and " + end + " in this order")

func main() {
	dir := "docs"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(dir); err != nil {
		fmt.Fprintln(os.Stderr, "gentables:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := generate(dir)
	if err != nil {
		return err
	}
	for name, text := range files {
		if old, err := os.ReadFile(filepath.Join(dir, name)); err == nil && bytes.Equal(old, text) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the files as they should be.
func generate(dir string) (map[string][]byte, error) {
	list, err := jsonList(authos.Codes())
	if err != nil {
		return nil, err
	}
	all, err := readRecorded(filepath.Join(dir, "..", "testdata", "errors"))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"errors.json": list}
	for name, text := range map[string]string{"errors.md": sections(authos.Codes(), all), "messages.md": sentences(authos.Codes())} {
		old, err := fs.ReadFile(os.DirFS(dir), name)
		if err != nil {
			return nil, err
		}
		if files[name], err = replace(old, text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return files, nil
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

// languages are those that have built-in sentences.
var languages = []string{"en", "es", "fr", "de", "pt", "ja"}

// sentences has a row for each sentence, with the codes that have it.
func sentences(codes []authos.CodeInfo) string {
	var b strings.Builder
	b.WriteString("| Codes | " + strings.Join(languages, " | ") + " |\n|" + strings.Repeat("---|", len(languages)+1) + "\n")
	names := map[string][]string{} // by the English sentence
	var order []string
	for _, c := range codes {
		text := authos.UserMessage(c.Code, "en")
		if names[text] == nil {
			order = append(order, text)
		}
		names[text] = append(names[text], "`"+string(c.Code)+"`")
	}
	for _, text := range order {
		code := authos.Code(strings.Trim(names[text][0], "`"))
		b.WriteString("| " + strings.Join(names[text], ", "))
		for _, tag := range languages {
			b.WriteString(" | " + authos.UserMessage(code, tag))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// jsonList is the catalog for programs.
func jsonList(codes []authos.CodeInfo) ([]byte, error) {
	type entry struct {
		Code     authos.Code       `json:"code"`
		Status   int               `json:"status,omitempty"`
		Meaning  string            `json:"meaning"`
		Action   string            `json:"action"`
		Repeated string            `json:"repeated"`
		SameAs   authos.Code       `json:"same_as,omitempty"`
		Parents  []authos.Code     `json:"parents,omitempty"`
		Texts    []string          `json:"texts,omitempty"`
		Message  map[string]string `json:"message"`
	}
	list := make([]entry, 0, len(codes))
	for _, c := range codes {
		message := map[string]string{}
		for _, tag := range languages {
			message[tag] = authos.UserMessage(c.Code, tag)
		}
		list = append(list, entry{c.Code, c.Status, c.Meaning, c.Action, c.Retry, c.SameAs, c.Parents, c.Texts, message})
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(list)
	return b.Bytes(), err
}

// meaning adds the texts that mean the same.
func meaning(c authos.CodeInfo) string {
	if len(c.Texts) == 0 {
		return c.Meaning
	}
	return c.Meaning + `; also where the server says so in text only: "` + strings.Join(c.Texts, `", "`) + `"`
}

// relations names the codes that mean the same, in both directions, and the wider codes.
func relations(c authos.CodeInfo, all []authos.CodeInfo) []string {
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
	return names
}
