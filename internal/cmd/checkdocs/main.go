// Command checkdocs checks what the Markdown files of this repository point at: every relative link
// must name a file, every anchor a heading, and every path in a command of a shell block ("go run
// ./examples/quickstart") something that can be run so, and every Go block must compile, but for
// the names that a reader brings along. It looks at the files in the root, in docs/ and in the
// folders directly below the root, and is run in the root.
package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const modulePath = "github.com/authos-go/authos"

func main() {
	problems, err := run(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "checkdocs:", err)
		os.Exit(1)
	}
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, p)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

func run(dir string) ([]string, error) {
	fsys := os.DirFS(dir)
	problems, err := check(fsys)
	if err != nil {
		return nil, err
	}
	files, err := documents(fsys)
	if err != nil {
		return nil, err
	}
	// CONTRIBUTING.md shows code from inside the package, which a reader's program could not
	// contain.
	files = slices.DeleteFunc(files, func(name string) bool { return name == "CONTRIBUTING.md" })
	blocks, err := snippets(fsys, files)
	if err != nil {
		return nil, err
	}
	wrong, err := checkSnippets(dir, blocks)
	return append(problems, wrong...), err
}

// check returns one line for each mistake it finds in the Markdown files of fsys, their Go blocks
// apart.
func check(fsys fs.FS) ([]string, error) {
	files, err := documents(fsys)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, file := range files {
		doc, err := readDocument(fsys, file)
		if err != nil {
			return nil, err
		}
		for _, l := range doc.links {
			if err := checkLink(fsys, file, l.text); err != nil {
				problems = append(problems, fmt.Sprintf("%s:%d: %v", file, l.number, err))
			}
		}
		for _, l := range doc.commands {
			if err := checkCommand(fsys, l.text); err != nil {
				problems = append(problems, fmt.Sprintf("%s:%d: %v", file, l.number, err))
			}
		}
	}
	return problems, nil
}

// document is what checkdocs needs of one Markdown file.
type document struct {
	anchors  map[string]bool
	links    []line // targets
	commands []line // of shell blocks
}

type line struct {
	number int
	text   string
}

var (
	// inlineLink finds [text](target) and ![text](target "title"), referenceLink finds [name]:
	// target.
	inlineLink    = regexp.MustCompile(`\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)`)
	referenceLink = regexp.MustCompile(`^\s*\[[^\]]+\]:\s+<?([^>\s]+)`)
	codeSpan      = regexp.MustCompile("`[^`]*`")
	heading       = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	notInAnchor   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	shellFence    = regexp.MustCompile("^\\s*```(?:sh|bash|shell|console)\\s*$")
)

func readDocument(fsys fs.FS, file string) (document, error) {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return document{}, err
	}
	doc := document{anchors: make(map[string]bool)}
	inBlock, inShell := false, false
	for i, text := range strings.Split(string(data), "\n") {
		number := i + 1
		switch {
		case strings.HasPrefix(strings.TrimSpace(text), "```"):
			inShell = !inBlock && shellFence.MatchString(text)
			inBlock = !inBlock
		case inShell:
			doc.commands = append(doc.commands, line{number, text})
		case inBlock:
		default:
			if m := heading.FindStringSubmatch(text); m != nil {
				name, again := anchor(m[1]), ""
				for n := 1; doc.anchors[name+again]; n++ { // the later of equal headings are numbered
					again = "-" + strconv.Itoa(n)
				}
				doc.anchors[name+again] = true
			}
			if m := referenceLink.FindStringSubmatch(text); m != nil {
				doc.links = append(doc.links, line{number, m[1]})
			}
			for _, m := range inlineLink.FindAllStringSubmatch(codeSpan.ReplaceAllString(text, "code"), -1) {
				doc.links = append(doc.links, line{number, m[1]})
			}
		}
	}
	if inBlock {
		return document{}, fmt.Errorf("%s: a code block is not closed", file)
	}
	return doc, nil
}

// anchor returns the name that a heading is linked by: lower case, punctuation dropped, spaces as
// dashes.
func anchor(title string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

func checkLink(fsys fs.FS, file, target string) error {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return nil
	}
	name, fragment, _ := strings.Cut(target, "#")
	linked := file
	if name != "" {
		linked = path.Join(path.Dir(file), name)
		if _, err := fs.Stat(fsys, linked); err != nil {
			return fmt.Errorf("link to %s: %w", target, err)
		}
	}
	if fragment == "" || path.Ext(linked) != ".md" {
		return nil
	}
	doc, err := readDocument(fsys, linked)
	if err != nil {
		return err
	}
	if !doc.anchors[fragment] {
		return fmt.Errorf("link to %s: no such heading in %s", target, linked)
	}
	return nil
}

// checkCommand checks the paths of one line of a shell block. "cd" holds for the rest of its line.
func checkCommand(fsys fs.FS, text string) error {
	text, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(text), "$ "), " #")
	dir := "."
	for command := range strings.SplitSeq(strings.ReplaceAll(text, ";", "&&"), "&&") {
		words := strings.Fields(command)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "cd":
			dir = path.Join(dir, words[1])
			if err := checkFolder(fsys, dir); err != nil {
				return err
			}
		case "go":
			if err := checkGo(fsys, dir, words[2:]); err != nil {
				return err
			}
		case "bash", "sh":
			if _, err := fs.Stat(fsys, path.Join(dir, words[1])); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkGo checks the arguments of a go command: packages by path, and packages and modules of ours
// by import path.
func checkGo(fsys fs.FS, dir string, args []string) error {
	for _, arg := range args {
		arg, _, _ = strings.Cut(arg, "@")
		switch {
		case arg == ".", arg == "./...", strings.HasPrefix(arg, "./"):
			arg = path.Join(dir, arg)
		case arg == modulePath, strings.HasPrefix(arg, modulePath+"/"):
			arg = path.Join(".", strings.TrimPrefix(arg, modulePath))
			arg = strings.TrimPrefix(arg, "/")
		default:
			continue
		}
		if arg = strings.TrimSuffix(strings.TrimSuffix(arg, "..."), "/"); arg == "" {
			arg = "."
		}
		if path.Ext(arg) == ".go" {
			if _, err := fs.Stat(fsys, arg); err != nil {
				return err
			}
			continue
		}
		if err := checkFolder(fsys, arg); err != nil {
			return err
		}
	}
	return nil
}

func checkFolder(fsys fs.FS, dir string) error {
	info, err := fs.Stat(fsys, dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	return nil
}
