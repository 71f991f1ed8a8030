package authostest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/authos-go/authos/authostest"
)

// FuzzServer sends anything: a request that the fake does not understand gets what
// the real server would send, never a panic. In headers, one a line, and in body,
// $user, $root, $key and $refresh stand for good credentials.
func FuzzServer(f *testing.F) {
	data, err := os.ReadFile("../testdata/routes.json")
	if err != nil {
		f.Fatal(err)
	}
	var routes []listedRoute
	if err := json.Unmarshal(data, &routes); err != nil {
		f.Fatal(err)
	}
	header := map[string]string{"bearer": "Authorization: Bearer $user", "platform_owner": "Authorization: Bearer $root", "api_key": "X-Api-Key: $key"}
	for _, r := range routes {
		in := map[string]string{}
		for name := range r.Request {
			in[name] = "x"
		}
		body, err := json.Marshal(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Method, r.concrete(), header[r.Auth]+"\nContent-Type: application/json", string(body))
	}
	f.Add("POST", "/auth/revoke", "Content-Type: application/x-www-form-urlencoded", "token=$refresh&token_type_hint=refresh_token")
	f.Add("POST", "/api/auth/refresh", "Content-Type: application/json; charset=utf-8", `{"refresh_token":"$refresh"}`)
	f.Add("PATCH", "/api/platform/organizations/x/features", "Authorization: Bearer $root\nContent-Type: application/json", `{"max_mau":1e99,"allowed_social_providers":[null]}`)
	f.Add("GET", "/api/organizations?page=-9223372036854775808&limit=99999999999", "Authorization: Bearer $user", "")
	f.Add("", "", "", "")
	f.Add("GET", "/api/service/users/%ff?%zz=%", "X-Api-Key: $key", "")
	f.Add("HEAD", "//..//%2e%2e/:org_slug/*", ":\n\x00: \xff", "\xff\xfe")
	f.Fuzz(func(t *testing.T, method, path, headers, body string) {
		for _, contract := range []authostest.Contract{authostest.Newest, authostest.Documented} {
			srv := authostest.New(authostest.InMemory(), authostest.WithContract(contract), authostest.WithMail())
			defer srv.Close()
			srv.AddPlatformOwner("root@example.com", "")
			fill := strings.NewReplacer("$key", srv.AddAPIKey()).Replace
			if strings.Contains(headers+body, "$") { // signing costs more than all the rest
				tokens := srv.SignIn("ada@example.com")
				fill = strings.NewReplacer("$key", srv.AddAPIKey(), "$user", tokens.AccessToken, "$refresh", tokens.RefreshToken,
					"$root", srv.SignIn("root@example.com").AccessToken).Replace
			}
			checkResponse(t, srv, junk(method, path, fill(headers), fill(body)))
		}
	})
}

// junk builds a request without asking whether it is a good one.
func junk(method, path, headers, body string) *http.Request {
	path, query, _ := strings.Cut(path, "?")
	req := &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}}
	if unescaped, err := url.PathUnescape(path); err == nil {
		req.URL.Path, req.URL.RawPath = unescaped, path
	}
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		req.Header.Add(name, value)
	}
	if body != "" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	return req
}

func checkResponse(t *testing.T, srv *authostest.Server, req *http.Request) {
	t.Helper()
	resp, err := srv.Transport().RoundTrip(req)
	if err != nil {
		t.Fatalf("RoundTrip: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 600 || resp.StatusCode == 500 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if length := resp.Header.Get("Content-Length"); req.Method != http.MethodHead && length != "" && length != strconv.Itoa(len(body)) {
		t.Errorf("Content-Length %s, but %d bytes", length, len(body))
	}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") && len(body) > 0 && !json.Valid(body) {
		t.Errorf("invalid JSON: %s", body)
	}
	if resp.Header.Get("Date") == "" || resp.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("headers = %v", resp.Header)
	}
}
