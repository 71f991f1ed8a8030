package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

var errUnread = errors.New("webhook: body broke off")

const (
	firstRead = 4 << 10 // bytes; holds most events
	// smallBody is what a body may have to count as a small one.
	smallBody = 64 << 10
)

// bodies reads requests' bodies and bounds what they take in memory together. A body counts by the
// bytes that were made room for, not by what its header says: a stranger who claims much gets
// nothing for it.
type bodies struct {
	most  int64 // bytes of one
	room  int64 // bytes of all
	limit time.Duration

	mu   sync.Mutex
	used int64
}

func newBodies(v Verifier) *bodies {
	most := v.maxBody()
	room := max(cmp.Or(max(v.MaxInFlight, 0), defaultInFlight), 4*most)
	return &bodies{most: most, room: room, limit: cmp.Or(v.BodyTimeout, defaultBodyTime)}
}

// take makes room for n more bytes of a body that has had bytes so far. Large bodies leave a
// quarter to small ones.
func (b *bodies) take(had, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	room := b.room
	if had+n > smallBody && b.used > had {
		room -= room / 4
	}
	if b.used+n > room {
		return false
	}
	b.used += n
	return true
}

func (b *bodies) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
}

// read reads a request's body. release gives back the room that it takes, also after an error.
func (b *bodies) read(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	taken := int64(0)
	release = func() { b.release(taken) }
	if r.ContentLength > b.most {
		return nil, release, ErrTooLarge
	}
	if r.Body == nil {
		return nil, release, ErrBodyRead
	}
	in := http.MaxBytesReader(w, r.Body, b.most)
	for {
		if len(body) == cap(body) {
			size := b.grow(int64(len(body)), r.ContentLength)
			if !b.take(taken, size) { // beside the old bytes, until they are copied
				return nil, release, ErrBusy
			}
			grown := make([]byte, len(body), size)
			copy(grown, body)
			b.release(taken)
			body, taken = grown, size
		}
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err != nil {
			return body, release, unread(err)
		}
	}
}

// grow is the size of the next buffer: what the header says where that is not much, else the
// double. One byte more than the body shows its end.
func (b *bodies) grow(size, said int64) int64 {
	next := max(2*size, firstRead)
	if said > size && said < next {
		next = said + 1
	}
	return min(next, b.most+1)
}

// closedOverHTTP2 is the text of net/http's error, which has no name there, for what is
// [http.ErrBodyReadAfterClose] over HTTP/1.
const closedOverHTTP2 = "body closed by handler"

// unread is why a body cannot be used that ended with err, nil where it can.
func unread(err error) error {
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case large:
		return ErrTooLarge
	case errors.Is(err, http.ErrBodyReadAfterClose), err.Error() == closedOverHTTP2:
		return ErrBodyRead
	case err != io.EOF: //nolint:errorlint // an io.EOF that something has wrapped is none
		return fmt.Errorf("%w: %w", errUnread, err)
	default:
		return nil
	}
}

// readBefore reports whether a body of this size is what somebody else left of it: net/http gives
// as many bytes as the header says, or an error.
func readBefore(r *http.Request, size int) bool {
	return r.ContentLength > 0 && int64(size) != r.ContentLength || r.ContentLength < 0 && size == 0
}

// deadline bounds how long the sender may take, unless the server itself does. net/http lifts it at
// the body's end, so that it does not end the program's work; a refused request keeps it, so that
// net/http does not wait for the rest of a body for ever. A response writer that cannot set one (a
// test's, a gateway's) has the body in memory already.
func (b *bodies) deadline(w http.ResponseWriter, r *http.Request) {
	server, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if b.limit < 0 || server != nil && server.ReadTimeout > 0 && server.ReadTimeout <= b.limit {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(b.limit))
}
