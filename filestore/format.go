package filestore

import (
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/authos-go/authos"
)

// tokenFile is the file's content.
type tokenFile struct {
	Version      int       `json:"version"`
	AccessToken  string    `json:"access_token,omitempty"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
	Origin       string    `json:"origin,omitempty"`
}

// parseTokens reads a token file. Its errors do not repeat what it holds.
func parseTokens(data []byte) (authos.Tokens, error) {
	if len(data) == 0 {
		return authos.Tokens{}, nil
	}
	var f tokenFile
	err := json.Unmarshal(data, &f)
	switch {
	case err != nil || f.Version < 1:
		return authos.Tokens{}, errors.New("is damaged, or no token file: remove it and sign in again")
	case f.Version > fileVersion:
		return authos.Tokens{}, errors.New("is of a version that a newer release of this program wrote")
	}
	t := authos.Tokens{AccessToken: f.AccessToken, RefreshToken: f.RefreshToken, ExpiresAt: f.ExpiresAt, Origin: f.Origin}
	if t.AccessToken == "" && t.RefreshToken == "" {
		return authos.Tokens{}, nil
	}
	return t, nil
}

func formatTokens(t authos.Tokens) ([]byte, error) {
	if !utf8.ValidString(t.AccessToken) || !utf8.ValidString(t.RefreshToken) || !utf8.ValidString(t.Origin) {
		return nil, errors.New("tokens are not UTF-8") // JSON would replace what is not
	}
	f := tokenFile{fileVersion, t.AccessToken, t.RefreshToken, t.ExpiresAt, t.Origin}
	data, err := json.Marshal(f) //nolint:gosec // keeping them is what the file is for
	if err != nil {
		return nil, errors.New("expiry is no time that can be written") // beyond the year 9999
	}
	if data = append(data, '\n'); len(data) > maxFile {
		return nil, errTooLarge // Load would refuse it
	}
	return data, nil
}
