// Command bench measures this package beside its peers and writes docs/performance.md. It is run in
// its own folder, takes a few minutes, most of them to compile the peers, and wants a machine that
// does nothing else:
//
//	make bench
//
// "go test" here checks that every client works, and makes each of them go through the outages in
// small.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/template"
)

// releases are the supported ones, the newest last.
var releases = []string{"go1.26.8", "go1.27.0"}

//go:embed performance.md.tmpl
var page string

func main() {
	if err := run(filepath.Join("..", "docs", "performance.md")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(target string) error {
	tmp, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	r := newReport()
	for _, release := range releases {
		file := filepath.Join(tmp, release)
		cmd := exec.Command("go", "test", "-tags", "peers", "-count=1", "-timeout=30m",
			"-run", "^TestMeasure$", ".", "-args", "-write", file)
		cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+release)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", release, err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var one results
		if err := json.Unmarshal(data, &one); err != nil {
			return err
		}
		r.Releases = append(r.Releases, one)
	}
	r.Newest = r.Releases[len(r.Releases)-1]
	text, err := r.render()
	if err != nil {
		return err
	}
	return os.WriteFile(target, text, 0o644)
}

// report is what the page is made of.
type report struct {
	Peers    []peer
	Releases []results
	Newest   results
	OS, CPU  string
	Load     string // average of the last minute: what other programs do
	Cores    int
	Rounds   int
	// the rows and columns of a good call
	Rows, Memory, Loopback []string
}

func newReport() report {
	var rows []string
	for _, p := range peers {
		if !p.variant {
			rows = append(rows, p.name)
		}
	}
	return report{
		Rows:  append(rows, again),
		Peers: peers, Rounds: rounds, Memory: []string{"GET memory", "POST memory"},
		Loopback: []string{"GET HTTP/1", "POST HTTP/1", "GET HTTP/2", "POST HTTP/2"},
		OS:       runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), CPU: processor(), Load: load(),
	}
}

// Goals are each goal's figures of all releases.
func (r report) Goals() (rows [][]goal) {
	for _, release := range r.Releases {
		for i, g := range release.goals() {
			if i == len(rows) {
				rows = append(rows, nil)
			}
			rows[i] = append(rows[i], g)
		}
	}
	return rows
}

func (r report) render() ([]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"versions": versions,
		"about":    func(p peer) string { return p.about },
		"name":     func(p peer) string { return p.name },
		"breaker":  func(p peer) bool { return p.breaker },
		"micro":    func(c cost) string { return significant(c.Nanos/1000) + " µs" },
		"times":    func(c cost) string { return strconv.FormatFloat(c.Ratio, 'f', 2, 64) },
		"bytes":    func(c cost) string { return strconv.FormatFloat(c.Bytes, 'f', 0, 64) },
		"percent":  func(f float64) string { return strconv.FormatFloat(100*f, 'f', 1, 64) + " %" },
		"two":      func(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) },
		"seconds":  func(f float64) string { return significant(f) + " s" },
	}).Parse(page)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, r)
	return b.Bytes(), err
}

// significant is a number with two digits that say something.
func significant(f float64) string {
	switch {
	case f >= 10:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 1:
		return strconv.FormatFloat(f, 'f', 1, 64)
	default:
		return strconv.FormatFloat(f, 'g', 2, 64)
	}
}

// versions are those of the modules of a peer that were measured.
func versions(p peer) (string, error) {
	if len(p.modules) == 0 {
		return "", nil
	}
	out, err := exec.Command("go", append([]string{"list", "-m", "-f", "{{.Version}}"}, p.modules...)...).Output()
	return strings.Join(strings.Fields(string(out)), ", "), err
}

// processor is the CPU's name, where the system tells it.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	_, rest, _ := strings.Cut(string(data), "model name")
	name, _, _ := strings.Cut(rest, "\n")
	return strings.TrimLeft(name, "\t :")
}

// load is the system's load average, where it tells.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	minute, _, _ := strings.Cut(string(data), " ")
	return minute
}
