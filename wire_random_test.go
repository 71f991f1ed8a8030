package authos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/h2test"
)

// randomResponses is which random responses each version of HTTP gets: AUTHOS_RANDOM_RESPONSES asks
// for others, as "from,count".
func randomResponses(t *testing.T, short int) (from uint64, n int) {
	t.Helper()
	text := os.Getenv("AUTHOS_RANDOM_RESPONSES")
	if text == "" {
		return 0, short
	}
	if _, err := fmt.Sscanf(text, "%d,%d", &from, &n); err != nil {
		t.Fatal(err)
	}
	return from, n
}

// Whatever bytes a server sends, a call ends within its time with a result or an error of this
// package, nothing panics, and no goroutine stays.
func TestRandomResponses(t *testing.T) {
	log.SetOutput(io.Discard) // net/http tells of bytes that nobody has asked for
	defer log.SetOutput(os.Stderr)
	t.Run("HTTP/1", func(t *testing.T) {
		var seed atomic.Uint64
		from, n := randomResponses(t, 2000)
		seed.Store(from)
		address := listenRaw(t, func(c net.Conn) {
			for readRequest(c) {
				r := rand.New(rand.NewPCG(seed.Add(1), 1))
				_, _ = c.Write(randomHTTP1(r))
				switch r.IntN(100) {
				case 0: // kept open, and nothing comes
					_, _ = io.Copy(io.Discard, c)
				case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10: // the next request, on the same connection
				default:
					return
				}
			}
		})
		askAtRandom(t, "http://"+address, n)
	})
	t.Run("HTTP/2", func(t *testing.T) {
		var seed atomic.Uint64
		from, n := randomResponses(t, 500)
		seed.Store(from)
		s, base := h2Serve(t, func(st *h2test.Stream) {
			r := rand.New(rand.NewPCG(seed.Add(1), 2))
			st.Conn.Raw(randomHTTP2(r, st.ID))
			if r.IntN(10) > 0 {
				_ = st.Conn.Close()
			}
		})
		askAtRandom(t, base, n)
		s.Close()
	})
}

// askAtRandom makes n requests, each of which is alone on its connection: what comes on it is meant
// for it. Many are under way at once, since some wait until their time is up.
func askAtRandom(t *testing.T, base string, n int) {
	t.Helper()
	const limit = 300 * time.Millisecond
	before := runtime.NumGoroutine()
	work := make(chan int)
	var wg sync.WaitGroup
	var good, answered, slow, turns atomic.Int64
	// Time is counted in turns that this process is given: a busy machine takes some of it away.
	const turn = 10 * time.Millisecond
	ended := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(turn):
				turns.Add(1)
			}
		}
	})
	var workers sync.WaitGroup
	for range 32 {
		c, err := authos.New(base, authos.WithBreaker(authos.BreakerPolicy{Disabled: true}),
			authos.WithRetry(authos.RetryPolicy{MaxAttempts: 1, AttemptTimeout: limit}))
		if err != nil {
			t.Fatal(err)
		}
		authos.ResumeTLSForTest(c)
		workers.Go(func() {
			defer func() { _ = c.Close() }()
			for i := range work {
				var out any
				start := turns.Load()
				method, in := "GET", any(nil)
				if i%3 == 0 {
					method, in = "POST", map[string]string{"a": "b"}
				}
				err := c.Do(context.Background(), method, "/x/thing", in, &out)
				if time.Duration(turns.Load()-start)*turn > limit+time.Second {
					slow.Add(1)
				}
				_, network := errors.AsType[*authos.NetworkError](err)
				_, api := errors.AsType[*authos.APIError](err)
				_, decode := errors.AsType[*authos.DecodeError](err)
				switch {
				case err == nil:
					good.Add(1)
				case api, decode:
					answered.Add(1)
				case !network:
					t.Errorf("request %d: %v (%T), want an error of this package", i, err, err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	workers.Wait()
	close(ended)
	wg.Wait()
	t.Logf("%d requests: %d good responses, %d other responses, the rest none", n, good.Load(), answered.Load())
	if good.Load() < int64(n/200) || answered.Load() < int64(n/20) {
		t.Error("too few of them are responses to try anything but net/http")
	}
	if slow.Load() > 0 {
		t.Errorf("%d calls took far longer than their time", slow.Load())
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := runtime.NumGoroutine() - before
		if left <= 0 {
			return
		}
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines are left\n%s", left, buf[:runtime.Stack(buf, true)])
		}
	}
}

var http1Heads = []string{
	"HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\n", "HTTP/1.1 503 Service Unavailable\r\n", "HTTP/1.1 404\r\n", "HTTP/1.1 204 No Content\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "HTTP/1.1 101 Switching Protocols\r\n", "HTTP/1.1 302 Found\r\nLocation: /x/other\r\n",
	"HTTP/1.1 999 ?\r\n", "HTTP/2.0 200 OK\r\n", "HTTP/1.1 -1 x\r\n", "ICY 200 OK\r\n", "",
}

var http1Fields = []string{
	"Content-Length: 11\r\n", "Content-Length: -1\r\n", "Content-Length: 9223372036854775807\r\n", "Content-Length: 99999999999999999999\r\n",
	"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip, chunked\r\n", "Content-Encoding: gzip\r\n", "Content-Type: application/json\r\n",
	"Connection: close\r\n", "Retry-After: 99999999999\r\n", "Retry-After: -1\r\n", "X-RateLimit-Reset: 1e99\r\n", "RateLimit: r=0;t=1\r\n",
	"WWW-Authenticate: Bearer realm=\"\r\n", "Set-Cookie: a\r\n", "X-Request-Id: \x01\r\n", ": x\r\n", "Content-Language: \xff\r\n", "Trailer: X\r\n",
}

var http1Bodies = []string{
	`{"ok":true}`, `{"error":"x","error_code":"NOT_FOUND"}`, "b\r\n{\"ok\":true}\r\n0\r\n\r\n", "ffffffffffffffff\r\n{}", "<html>", "\xef\xbb\xbf{}", "null", "",
}

// randomHTTP1 is a response made of likely parts, some bytes of which are not what they were.
func randomHTTP1(r *rand.Rand) []byte {
	var b strings.Builder
	b.WriteString(http1Heads[r.IntN(len(http1Heads))])
	for range r.IntN(5) {
		b.WriteString(http1Fields[r.IntN(len(http1Fields))])
	}
	b.WriteString("\r\n" + http1Bodies[r.IntN(len(http1Bodies))])
	return spoiled(r, []byte(b.String()))
}

// spoiled leaves half of what it is given as it is; in the rest some bytes change, and the end is
// missing.
func spoiled(r *rand.Rand, data []byte) []byte {
	if r.IntN(2) == 0 {
		return data
	}
	for range 1 + r.IntN(4) {
		if len(data) > 0 {
			data[r.IntN(len(data))] = byte(r.IntN(256))
		}
	}
	return data[:r.IntN(len(data)+1)]
}

// written is a connection that keeps what is written to it.
type written struct {
	net.Conn
	data []byte
}

func (w *written) Write(p []byte) (int, error) {
	w.data = append(w.data, p...)
	return len(p), nil
}

// randomHTTP2 is a response made of likely frames, some bytes of which are not what they were.
func randomHTTP2(r *rand.Rand, id uint32) []byte {
	var w written
	st := &h2test.Stream{ID: id, Conn: &h2test.Conn{Conn: &w}}
	for range 1 + r.IntN(6) {
		randomFrame(r, st)
	}
	return spoiled(r, w.data)
}

// randomFrame writes a frame that may be a part of a response, or of nothing.
func randomFrame(r *rand.Rand, st *h2test.Stream) {
	body := http1Bodies[r.IntN(len(http1Bodies))]
	switch r.IntN(12) {
	case 0, 1, 2:
		st.Respond([]int{200, 204, 302, 404, 429, 503, 100, 101}[r.IntN(8)], body, "content-type", "application/json")
	case 3, 4:
		st.Headers([]int{200, 200, 500, 103, 0, 99999}[r.IntN(6)], r.IntN(4) == 0)
	case 5:
		st.Headers(200, r.IntN(2) == 0, "content-length", fmt.Sprint(r.Int64()), "retry-after", fmt.Sprint(r.Uint64()), "content-encoding", "gzip")
	case 6, 7:
		st.Data(body, r.IntN(2) == 0)
	case 8:
		st.Reset(r.Uint32N(16))
	case 9:
		st.Conn.GoAway(r.Uint32N(4), r.Uint32N(16))
	case 10: // of a length that the kind may have
		kind := byte(r.IntN(10))
		length := []int{r.IntN(40), r.IntN(40), 5, 4, 6 * r.IntN(3), 4 + r.IntN(40), 8, 8, 4, r.IntN(40)}[kind]
		st.Conn.Frame(kind, byte(r.IntN(256)), []uint32{0, st.ID}[r.IntN(2)], randomBytes(r, length))
	default:
		st.Conn.Frame(byte(r.IntN(12)), byte(r.IntN(256)), []uint32{0, st.ID, st.ID + 2, 2}[r.IntN(4)], randomBytes(r, r.IntN(40)))
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.IntN(256))
	}
	return p
}
