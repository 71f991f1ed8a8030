package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/authos-go/authos"
)

// example is a response that becomes an error of a code.
type example struct {
	from   string // who sends it
	status int
	header map[string]string
	body   string
}

// recorded is what a file of testdata/errors says.
type recorded struct {
	Name    string            `json:"name"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Want    struct {
		Code authos.Code   `json:"code"`
		Is   []authos.Code `json:"is"`
	} `json:"want"`
}

// senders are the beginnings of the names of recorded responses, the best examples first.
var senders = []struct{ prefix, from string }{
	{"server-", "servers"}, {"guide-", "documented"}, {"design-", "documented"},
	{"oauth-", "RFC 8628"}, {"problem-", "RFC 9457"}, {"odd-html-", "a proxy"},
}

// maxExample is the most bytes of a body that is shown.
const maxExample = 300

// examples gives up to two for a code: what servers send, and what is documented.
func examples(c authos.CodeInfo, all []recorded) []example {
	var list []example
	for _, sender := range senders {
		for _, r := range all {
			body, ok := oneLine(r.Body)
			another := len(list) == 0 || len(list) == 1 && list[0].from != sender.from
			if ok && another && strings.HasPrefix(r.Name, sender.prefix) && r.means(c) {
				list = append(list, example{sender.from, r.Status, r.Headers, body})
			}
		}
	}
	if len(list) > 0 || c.Status == 0 {
		return list
	}
	made := example{from: "documented", status: c.Status, header: map[string]string{"Content-Type": "application/json"}}
	switch text := capital(c.Meaning); {
	case strings.HasPrefix(string(c.Code), "PROVIDER_"):
		made.body = fmt.Sprintf(`{"error":%q,"error_code":"BAD_REQUEST","timestamp":"2026-05-20T12:00:00Z"}`, c.Code)
	case len(c.Parents) > 0 && c.Parents[0] == authos.CodeValidationError:
		made.body = `{"error":{"code":"VALIDATION_ERROR","message":"Validation failed","details":[` +
			fmt.Sprintf(`{"field":"name","code":%q,"message":%q}]}}`, c.Code, text)
	default:
		made.body = fmt.Sprintf(`{"error":%q,"error_code":%q,"timestamp":"2026-05-20T12:00:00Z"}`, text, c.Code)
	}
	return []example{made}
}

// means reports whether a recorded response is an example of the code: one that has it and no text
// that says more, or one of the texts that mean it.
func (r *recorded) means(c authos.CodeInfo) bool {
	for _, code := range r.Want.Is {
		info, _ := authos.Explain(code)
		if slices.ContainsFunc(info.Texts, func(text string) bool { return strings.Contains(r.Body, text) }) {
			return code == c.Code
		}
	}
	return r.Want.Code == c.Code
}

// oneLine is a body as it can be shown in a line.
func oneLine(body string) (string, bool) {
	var b bytes.Buffer
	if json.Compact(&b, []byte(body)) == nil {
		body = b.String()
	}
	return body, len(body) <= maxExample && utf8.ValidString(body) && !strings.ContainsAny(body, "\n\r`")
}

// line is the example in a block of code.
func (e example) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-10s %d", e.from, e.status)
	for _, name := range []string{"Retry-After", "X-Ratelimit-After"} {
		if value := e.header[name]; value != "" {
			fmt.Fprintf(&b, " %s: %s", name, value)
		}
	}
	return b.String() + " " + cmp.Or(e.body, "(no body)") + "\n"
}

// readRecorded reads testdata/errors, in the order of names.
func readRecorded(dir string) ([]recorded, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no recorded errors in %s: %w", dir, err)
	}
	all := make([]recorded, len(names))
	for i, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &all[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

// sections has an index of the codes by status, then a section for each.
func sections(codes []authos.CodeInfo, all []recorded) string {
	var index, text strings.Builder
	index.WriteString("| Status | Codes |\n|---|---|\n")
	last := -1
	anchors := map[string]int{} // how often each has been used: a page numbers the later ones
	// the server's codes by status, then the names of failures found on this side
	for _, wantLocal := range []bool{false, true} {
		for _, c := range codes {
			if (c.Status == 0) != wantLocal {
				continue
			}
			if c.Status != last {
				if last >= 0 {
					index.WriteString(" |\n")
				}
				title := "found here"
				if !wantLocal {
					title = strings.TrimSpace(strconv.Itoa(c.Status) + " " + http.StatusText(c.Status))
				}
				index.WriteString("| " + title + " | ")
				text.WriteString("### " + capital(title) + "\n\n")
				last = c.Status
			} else {
				index.WriteString(", ")
			}
			anchor := strings.ToLower(string(c.Code))
			if anchors[anchor]++; anchors[anchor] > 1 {
				anchor += "-" + strconv.Itoa(anchors[anchor]-1)
			}
			fmt.Fprintf(&index, "[`%s`](#%s)", c.Code, anchor)
			text.WriteString(section(c, codes, all))
		}
	}
	return index.String() + " |\n\n" + strings.TrimSuffix(text.String(), "\n")
}

// section says what a code means, where it comes from, what to do, and what the client does.
func section(c authos.CodeInfo, codes []authos.CodeInfo, all []recorded) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#### `%s`\n\n%s. %s\n\n", c.Code, capital(meaning(c)), causes[c.Code])
	fmt.Fprintf(&b, "- Do: %s.\n- Repeated by the client: %s.\n", c.Action, c.Retry)
	if list := append(kindsOf(c), relations(c, codes)...); len(list) > 0 {
		fmt.Fprintf(&b, "- Matches: %s.\n", strings.Join(list, ", "))
	}
	if list := examples(c, all); len(list) > 0 {
		b.WriteString("\n```text\n")
		for _, e := range list {
			b.WriteString(e.line())
		}
		b.WriteString("```\n")
	}
	return b.String() + "\n"
}

var kinds = []struct {
	name string
	is   error
}{
	{"ErrInvalid", authos.ErrInvalid}, {"ErrUnauthenticated", authos.ErrUnauthenticated}, {"ErrForbidden", authos.ErrForbidden},
	{"ErrNotFound", authos.ErrNotFound}, {"ErrConflict", authos.ErrConflict}, {"ErrRateLimited", authos.ErrRateLimited},
	{"ErrServer", authos.ErrServer}, {"ErrUnavailable", authos.ErrUnavailable},
}

// kindsOf are the kinds that a response of the code's usual status matches.
func kindsOf(c authos.CodeInfo) []string {
	var list []string
	for _, kind := range kinds {
		if c.Status > 0 && errors.Is(&authos.APIError{StatusCode: c.Status, Code: c.Code}, kind.is) {
			list = append(list, "`"+kind.name+"`")
		}
	}
	return list
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
