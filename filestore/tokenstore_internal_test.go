package filestore

import (
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

// A token file is whatever somebody left there: it is read right or refused, without repeating it.
// What is read is written and read again the same.
func FuzzTokenFile(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"version":1}`, `{"version":2,"access_token":"a"}`, `{"version":1,"access_token":"a","refresh_token":"r"}`,
		`{"version":1,"access_token":"a","expires_at":"2026-05-20T12:00:00.123456789+02:00"}`, `{"version":1,"expires_at":"x"}`,
		`{"version":1,"access_token":7}`, `{"version":"1"}`, `{"version":1e0}`, "{\"version\":1,\"access_token\":\"\xff\"}", "\x00", `{"version":1}{`,
		`{"version":99999999999999999999}`, `{"version":1,"expires_at":"9999-12-31T23:59:59.999999999-23:59"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseTokens(data)
		if err != nil {
			if got != (authos.Tokens{}) {
				t.Error("tokens together with an error")
			}
			const longest = 12 // what an error may share with any file: "version", numbers
			for i := 0; i+longest < len(data); i++ {
				if strings.Contains(err.Error(), string(data[i:i+longest+1])) {
					t.Errorf("error %q repeats the file", err)
				}
			}
			return
		}
		again, err := formatTokens(got)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := parseTokens(again)
		if err != nil || back.AccessToken != got.AccessToken || back.RefreshToken != got.RefreshToken || !back.ExpiresAt.Equal(got.ExpiresAt) {
			t.Errorf("read again: %v, expiry %v, want the same tokens and %v", err, back.ExpiresAt, got.ExpiresAt)
		}
	})
}

func TestTokensThatCannotBeWritten(t *testing.T) {
	for name, tokens := range map[string]authos.Tokens{
		"not UTF-8": {AccessToken: "a", RefreshToken: "secret\xff"},
		"year":      {AccessToken: "secret", ExpiresAt: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if data, err := formatTokens(tokens); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: formatTokens = %q, %v, want an error without the token", name, data, err)
		}
	}
}
