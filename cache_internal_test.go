package authos

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

func encodeCached(at time.Time, h http.Header, body []byte) []byte {
	k := cachedResponse{at: at, instance: 1, asked: 2, contentType: h.Get("Content-Type"), language: h.Get("Content-Language"), body: body}
	return k.encode()
}

func TestCachedRoundTrip(t *testing.T) {
	at := time.Unix(1735689600, 123456789)
	for _, h := range []http.Header{
		{},
		{"Content-Type": {"application/json"}, "Content-Language": {"es"}},
		{"Content-Type": {strings.Repeat("x", 70_000)}}, // cut, so that its length can be written
	} {
		k, ok := parseCached(encodeCached(at, h, []byte(`{"id":"x"}`)), false)
		want := h.Get("Content-Type")
		want = want[:min(len(want), 1<<16-1)]
		if !ok || !k.at.Equal(at) || k.instance != 1 || k.asked != 2 || k.contentType != want || k.language != h.Get("Content-Language") || string(k.body) != `{"id":"x"}` {
			t.Errorf("parseCached(encodeCached(%v)) = %v, %v", h, k, ok)
		}
	}
}

// FuzzParseCached: whatever a store gives back, there is no panic, and what is served is JSON with
// headers that can be sent.
func FuzzParseCached(f *testing.F) {
	whole := encodeCached(time.Unix(1735689600, 0), http.Header{"Content-Type": {"application/json"}, "Content-Language": {"es"}}, []byte(`{"id":"x"}`))
	for _, seed := range [][]byte{
		nil, {}, {cachedVersion}, whole, whole[:8], whole[:9], whole[:cachedHead], whole[:cachedHead+3], whole[:len(whole)-1], append([]byte{cachedVersion + 1}, whole[1:]...),
		encodeCached(time.Time{}, http.Header{}, []byte("null")), []byte("garbage"), append(bytes.Clone(whole[:cachedHead]), 0xff, 0xff, 'x'),
		encodeCached(time.Unix(0, 0), http.Header{"Content-Type": {"a\r\nb: c"}}, []byte("[]")),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		given := bytes.Clone(b)
		k, ok := parseCached(b, false)
		if !bytes.Equal(b, given) {
			t.Fatal("the value was changed")
		}
		if !ok {
			return
		}
		if !json.Valid(k.body) {
			t.Fatalf("body %q is no JSON", k.body)
		}
		resp := k.response(&http.Request{})
		for name, values := range resp.Header {
			for _, v := range values {
				if strings.ContainsAny(v, "\r\n\x00") {
					t.Fatalf("header %s: %q", name, v)
				}
			}
		}
		if !bytes.Equal(bodyOf(resp), k.body) || resp.ContentLength != int64(len(k.body)) {
			t.Fatalf("body %q, want %q", bodyOf(resp), k.body)
		}
	})
}
