package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"

	"github.com/authos-go/authos"
)

var netHTTP = peer{
	name:  "`net/http`",
	about: "plain: the same headers as ours, the status looked at, the body decoded",
	open: func(s setup) (caller, error) {
		return &plain{s.base, s.client()}, nil
	},
}

// again is the row of what all others are divided by, measured once more.
const again = "`net/http` again"

var control = peer{name: again, open: netHTTP.open}

// plain is what a careful program without a client library does.
type plain struct {
	base string
	http *http.Client
}

func (p *plain) get(ctx context.Context, id string) (*authos.ServiceUser, error) {
	return p.do(ctx, http.MethodGet, "/"+id, nil)
}

func (p *plain) create(ctx context.Context, email string) (*authos.ServiceUser, error) {
	body, err := json.Marshal(authos.ServiceUserCreateParams{Email: email})
	if err != nil {
		return nil, err
	}
	return p.do(ctx, http.MethodPost, "", bytes.NewReader(body))
}

func (p *plain) do(ctx context.Context, method, path string, body io.Reader) (*authos.ServiceUser, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.base+usersPath+path, body)
	if err != nil {
		return nil, err
	}
	dress(req.Header, body != nil)
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	return decode(resp)
}

// dress gives a request the headers that ours sends, with an id of its own.
func dress(h http.Header, body bool) {
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "bench/1.0")
	h.Set("X-Request-ID", newID())
	h.Set("X-Api-Key", apiKey)
	if body {
		h.Set("Content-Type", "application/json")
	}
}

// newID is a random id of 32 hex digits, as ours is. One that is the same each time would cost
// less: HTTP/2 sends it once, and refers to it.
func newID() string {
	var id [16]byte
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(id[8:], rand.Uint64())
	return hex.EncodeToString(id[:])
}

// decode reads a response, for the clients that leave that to their caller.
func decode(resp *http.Response) (*authos.ServiceUser, error) {
	defer func() {
		_, _ = io.Copy(io.Discard, resp.Body) // so that the connection can be used again
		_ = resp.Body.Close()
	}()
	if resp.StatusCode > 299 {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	u := new(authos.ServiceUser)
	return u, json.NewDecoder(resp.Body).Decode(u)
}
