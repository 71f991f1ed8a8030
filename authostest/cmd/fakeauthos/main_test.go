package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"debug/elf"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var line = regexp.MustCompile(`^[A-Z_]+=[A-Za-z0-9_@.:/-]+$`)

// announced reads what a shell would, until the URL.
func announced(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	vars := map[string]string{}
	for scan := bufio.NewScanner(r); scan.Scan(); {
		if !line.MatchString(scan.Text()) {
			t.Errorf("%q is not a line for a shell", scan.Text())
		}
		name, value, _ := strings.Cut(scan.Text(), "=")
		if vars[name] = value; name == "URL" {
			return vars
		}
	}
	t.Fatal("no URL")
	return nil
}

// start runs the command in process until the test ends.
func start(t *testing.T, args ...string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, args, w, io.Discard)
		_ = w.CloseWithError(err)
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run = %v", err)
		}
	})
	return announced(t, r)
}

func get(t *testing.T, url string, header ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return send(t, req)
}

func send(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func login(t *testing.T, vars map[string]string, email, password string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, vars["URL"]+"/api/auth/login",
		strings.NewReader(`{"email":"`+email+`","password":"`+password+`","org_slug":"`+vars["ORG"]+`","service_slug":"`+vars["SERVICE"]+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return send(t, req)
}

func TestRun(t *testing.T) {
	vars := start(t)
	if status, body := get(t, vars["URL"]+"/api/service/users", "X-Api-Key", vars["API_KEY"]); status != 200 || !strings.HasSuffix(body, `"total":25}`) {
		t.Errorf("users = %d %s", status, body)
	}
	for _, who := range [][2]string{{vars["EMAIL"], vars["PASSWORD"]}, {vars["PLATFORM_EMAIL"], vars["PLATFORM_PASSWORD"]}} {
		if status, body := login(t, vars, who[0], who[1]); status != 200 || strings.Contains(body, `"refresh_token":""`) {
			t.Errorf("login of %s = %d %s", who[0], status, body)
		}
	}
	if status, body := login(t, vars, "mfa@example.com", vars["PASSWORD"]); status != 200 || !strings.Contains(body, `"refresh_token":""`) {
		t.Errorf("login with a second factor = %d %s", status, body)
	}
}

func TestFlags(t *testing.T) {
	vars := start(t, "-contract", "documented", "-limiters", "-seed=false", "-addr", "127.0.0.1:0")
	if status, body := get(t, vars["URL"]+"/nowhere"); status != 404 || !strings.Contains(body, `"error_code":"NOT_FOUND"`) {
		t.Errorf("nowhere = %d %s", status, body)
	}
	if _, body := get(t, vars["URL"]+"/api/service/users", "X-Api-Key", vars["API_KEY"]); body != `{"users":[],"total":0}` {
		t.Errorf("users = %s", body)
	}
	status := 0
	for range 21 {
		status, _ = login(t, vars, vars["EMAIL"], "wrong")
	}
	if status != 429 {
		t.Errorf("the 21st login = %d, want 429", status)
	}
	if status, _ := get(t, start(t, "-contract", "october2025")["URL"]+"/health"); status != 404 {
		t.Errorf("health in October 2025 = %d", status)
	}
	if _, body := get(t, start(t, "-contract", "documented", "-format", "problem")["URL"]+"/nowhere"); !strings.Contains(body, `"type":"about:blank"`) {
		t.Errorf("nowhere = %s", body)
	}
}

func TestEverybodyIsWarned(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var warned strings.Builder
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "0.0.0.0:0"}, w, &warned) }()
	vars := announced(t, r)
	if status, _ := get(t, vars["URL"]+"/health"); status != 200 {
		t.Errorf("health = %d", status)
	}
	cancel()
	if err := <-done; err != nil || !strings.Contains(warned.String(), "warning: everybody who reaches [::]:") && !strings.Contains(warned.String(), "warning: everybody who reaches 0.0.0.0:") {
		t.Errorf("err = %v, %q", err, warned.String())
	}
}

func TestSeedFile(t *testing.T) {
	vars := start(t, "-seed-file", "testdata/scene.yaml", "-url", "http://auth:8080/", "-mail", "-control")
	if vars["URL"] != "http://auth:8080" {
		t.Errorf("URL = %s", vars["URL"])
	}
	key := vars["API_KEY_SHOP_WEB_CI"]
	if !strings.HasPrefix(key, "sk_0123456789ab_") {
		t.Errorf("variables = %v", vars)
	}
	for name, text := range map[string]string{
		"syntax.yaml":  "users: [",
		"unknown.yaml": "people: []",
		"wrong.yaml":   "users: [{email: nobody}]",
		"type.json":    `{"users": 7}`,
		"keys.yaml":    "1: 2",
	} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), []string{"-seed-file", file}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: err = %v, want one that names the file", name, err)
		}
	}
}

// TestReset: what the control API drops, the scene of the start is not a part of.
func TestReset(t *testing.T) {
	first := start(t, "-control", "-random-seed", "5")
	second := start(t, "-random-seed", "5", "-control-token", "secret")
	if first["API_KEY"] != second["API_KEY"] {
		t.Errorf("keys %s and %s with one seed", first["API_KEY"], second["API_KEY"])
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, first["URL"]+"/_authostest/reset", strings.NewReader(`{"state":"drop"}`))
	if err != nil {
		t.Fatal(err)
	}
	if status, body := send(t, req); status != 200 {
		t.Errorf("reset = %d %s", status, body)
	}
	if _, body := get(t, first["URL"]+"/api/service/users", "X-Api-Key", first["API_KEY"]); !strings.HasSuffix(body, `"total":25}`) {
		t.Errorf("users = %s", body)
	}
	if status, _ := get(t, second["URL"]+"/_authostest/"); status != 403 {
		t.Errorf("control without the token = %d", status)
	}
	if status, _ := get(t, second["URL"]+"/_authostest/", "Authorization", "Bearer secret"); status != 200 {
		t.Errorf("control with the token = %d", status)
	}
}

func TestTLS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cert.pem")
	vars := start(t, "-tls", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) || vars["CERTIFICATE"] != file {
		t.Fatalf("certificate = %s", text)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(vars["URL"] + "/health")
	if err != nil || resp.ProtoMajor != 2 {
		t.Fatalf("health = %v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-contract", "x"}, {"-format", "x"}, {"extra"}, {"-addr", "nonsense"}, {"-none"}, {"-url", "auth"}, {"-url", "ftp://auth"},
		{"-seed-file", "testdata/none.yaml"}, {"-tls", "testdata/none/cert.pem"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("run(%q) = nil, want an error", args)
		}
	}
}

// TestStatic builds the binary as the Dockerfile does, which puts it where there is nothing else.
func TestStatic(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "fakeauthos")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v %s", err, out)
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 || file.Section(".interp") != nil {
		t.Errorf("not static: %v, %v", libraries, err)
	}
	text, err := os.ReadFile("Dockerfile")
	if err != nil || !strings.Contains(string(text), "CGO_ENABLED=0 go build -trimpath -ldflags='-s -w'") || !strings.Contains(string(text), "FROM scratch") {
		t.Errorf("the Dockerfile builds something else: %v", err)
	}
}

// TestOtherLanguages runs the tests of examples/other-languages, twice on one server, where there
// is something to run them with.
func TestOtherLanguages(t *testing.T) {
	vars := start(t, "-control", "-random-seed", "1")
	const folder = "../../../examples/other-languages/"
	for _, command := range [][]string{
		{"python3", folder + "test_authos.py"},
		{"node", "--experimental-strip-types", "--test", folder + "authos.test.ts"},
	} {
		t.Run(command[0], func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skip("there is no " + command[0])
			}
			if command[0] == "node" {
				if out, err := exec.Command("node", "--experimental-strip-types", "--version").CombinedOutput(); err != nil {
					// CI has an older one run it all the same, by a loader from the registry.
					if os.Getenv("AUTHOS_REQUIRE_TYPESCRIPT") == "" {
						t.Skipf("this Node.js runs no TypeScript: %s", out)
					}
					command = []string{"npx", "--yes", "tsx@4", "--test", folder + "authos.test.ts"}
				}
			}
			for range 2 {
				cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
				cmd.Env = append(os.Environ(), "URL="+vars["URL"], "API_KEY="+vars["API_KEY"])
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v: %v\n%s", command, err, out)
				}
			}
		})
	}
}

// TestProcess starts and ends it as a shell would.
func TestProcess(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "fakeauthos")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v %s", err, out)
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.Command(binary)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		vars := announced(t, out)
		if status, _ := get(t, vars["URL"]+"/health/ready"); status != 200 {
			t.Errorf("ready = %d", status)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v", signal, err)
		}
	}
}
