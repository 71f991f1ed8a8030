package main

import (
	"bufio"
	"context"
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
	if status, _ := get(t, start(t, "-addr", "0.0.0.0:0")["URL"]+"/health"); status != 200 {
		t.Errorf("health = %d", status)
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{{"-contract", "x"}, {"extra"}, {"-addr", "nonsense"}, {"-none"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("run(%q) = nil, want an error", args)
		}
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
