package authos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
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

// A cached response has the two headers of the fresh one, and none that could not be sent.
func TestCachedHeaders(t *testing.T) {
	for _, tt := range []struct {
		contentType, language string
		want                  http.Header
	}{
		{"application/json", "de", http.Header{"Content-Type": {"application/json"}, "Content-Language": {"de"}}},
		{"application/json", "", http.Header{"Content-Type": {"application/json"}}},
		{"", "de", http.Header{"Content-Language": {"de"}}},
		{"", "", http.Header{}},
		{"a\r\nb: c", "de\n", http.Header{}},
	} {
		k := cachedResponse{contentType: tt.contentType, language: tt.language, body: []byte("{}")}
		if got := k.response(&http.Request{}).Header; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q, %q: %v, want %v", tt.contentType, tt.language, got, tt.want)
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

// The clock may be set back by a little, or the process that cached a response have one that is
// ahead: that hides nothing. What claims to be from the far future is not believed.
func TestCachedAge(t *testing.T) {
	t.Parallel()
	for _, store := range []CacheStore{nil, outsideStore{}} {
		synctest.Test(t, func(t *testing.T) {
			c := newResponseCache(CachePolicy{Store: store, MaxEntries: 1, MaxBytes: 1}, "https://authos.test")
			for ahead, want := range map[time.Duration]bool{
				5 * time.Second: true, 50 * time.Second: true, time.Minute: true, time.Minute + 1: false, time.Hour: false,
			} {
				if age := c.age(&cachedResponse{at: time.Now().Add(ahead)}); (age == 0) != want || !want && age >= 0 {
					t.Errorf("%s ahead: age %s", ahead, age)
				}
			}
		})
	}
	// In memory the wall clock has no say: an hour's step does not change the reading. What another
	// process may read is in its terms.
	for store, step := range map[CacheStore]time.Duration{nil: 0, outsideStore{}: time.Hour} {
		c := newResponseCache(CachePolicy{Store: store, MaxEntries: 1, MaxBytes: 1}, "https://authos.test")
		before := c.start.Add(time.Minute)
		after := stepped(before, time.Hour)
		if after.Sub(before) != 0 || after.Unix()-before.Unix() != 3600 {
			t.Fatalf("%s after a step of the clock is %s", before, after)
		}
		if at := c.clock(after); !at.Equal(before.Round(0).Add(step)) || strings.Contains(at.String(), "m=") {
			t.Errorf("clock(a minute after the start, after the step) = %s, start %s", at, c.start)
		}
	}
}

// stepped is a reading of both clocks as it had been had somebody set the wall clock ahead by whole
// seconds. Nothing but the runtime makes such readings.
func stepped(t time.Time, ahead time.Duration) time.Time {
	// The first field has 33 bits of seconds above 30 of nanoseconds; the caller checks what became
	// of it.
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(ahead/time.Second) << 30
	return t
}

type outsideStore struct{ CacheStore }

// Paths are remembered within bounds, and what is dropped is taken as written.
func TestWritesAreBounded(t *testing.T) {
	t.Parallel()
	var w writes
	old := stamp{w.began(), time.Now().UnixNano()}
	written := func(path string, s stamp) bool { return w.since(path, s, true) }
	w.wrote("/api/a/b", false)
	w.wrote("/api/a", true)
	for path, want := range map[string]bool{"/api/a/b": true, "/api/a/b/c": true, "/api/a": true, "/api": false, "/api/a/c": false, "/api/ab": false, "/api/a/bb": false} {
		if written(path, old) != want || w.since(path, old, false) != want {
			t.Errorf("%s was written: %v, want %v", path, !want, want)
		}
		if written(path, stamp{seq: w.began()}) {
			t.Errorf("%s: what was asked for after the write is overtaken", path)
		}
	}
	later := stamp{seq: w.began()}
	const many = 3*maxWritten + maxWritten/2
	for i := range many {
		w.wrote(fmt.Sprintf("/api/things/%d", i), false)
	}
	if w.size > maxWritten+8 {
		t.Errorf("%d paths are remembered", w.size)
	}
	for i := range many {
		if !written(fmt.Sprintf("/api/things/%d", i), later) {
			t.Fatalf("the write to %d is forgotten", i)
		}
	}
	if w.size < maxWritten/4 {
		t.Errorf("%d paths are remembered, want many", w.size)
	}
	w.wrote("/api/things", false) // stands for all below it
	for range 3 {
		w.wrote("/api/things", false)
		if n := w.root.forget(); w.size > 16 || w.size != n {
			t.Errorf("%d paths are remembered below one that was written, and %d counted", n, w.size)
		}
		w.size = 0
		w.wrote("/api/things/1", false)
		w.wrote("/api/things/2", false)
	}
}
