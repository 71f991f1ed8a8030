package authos

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/authos-go/authos/internal/jsonscan"
)

var errTooLarge = fmt.Errorf("larger than %d MiB", maxResponse>>20)

// maxIdleReads is how often a body may give nothing and no error, as bufio has it.
const maxIdleReads = 100

// readBounded reads a body of at most limit bytes, while it is wanted. More than that is
// errTooLarge, with the first limit bytes. What the server says about the length is a hint.
func readBounded(resp *http.Response, limit int64, unwanted *atomic.Bool) ([]byte, error) {
	size := int64(512)
	if 0 <= resp.ContentLength && resp.ContentLength < limit {
		size = resp.ContentLength + 1 // room to meet io.EOF without growing
	}
	data := make([]byte, 0, min(size, 1<<20))
	for idle := 0; ; idle++ {
		n, err := resp.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if n > 0 {
			idle = 0
		}
		switch {
		case int64(len(data)) > limit:
			return data[:limit], errTooLarge
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return data, nil
		case err != nil:
			return data, err
		case idle >= maxIdleReads:
			return data, io.ErrNoProgress
		case unwanted.Load():
			return data, context.Canceled
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

// isMislabelled reports whether a body is not in the encoding that its Content-Encoding names. It
// has come as a whole: another one would be like it.
func isMislabelled(err error) bool {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	return corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)
}

// withoutMark takes a byte order mark off a JSON text, which must not have one but is fine
// otherwise (RFC 8259, section 8.1). In other bodies, such as a table for a spreadsheet, it has a
// meaning.
func withoutMark(data []byte) []byte {
	rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf"))
	if !ok {
		return data
	}
	if text := bytes.TrimLeft(rest, " \t\r\n"); len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return data
	}
	return rest
}

// isOAuth reports whether a call is to the OAuth endpoints, which have an error shape of their own.
func (cl *call) isOAuth() bool {
	return strings.HasPrefix(cl.concrete, "/oauth/") || strings.HasPrefix(cl.concrete, "/oauth2/") ||
		cl.concrete == "/auth/token" // RFC 8628, section 3.5
}

// isOAuthError reports whether a body is an error as RFC 6749, section 5.2, has it: with an "error"
// that is a text, and without tokens.
func isOAuthError(body []byte) (is bool) {
	for s := jsonscan.Over(body); s.Next(); {
		switch string(s.Key) {
		case "error":
			is = isString(s.Value) && len(s.Value) > len(`""`)
		case "access_token", "active": // of an introspection
			return false
		}
	}
	return is
}

// onceEmpty is an empty body that net/http cannot rewind.
type onceEmpty struct{}

func (onceEmpty) Read([]byte) (int, error) { return 0, io.EOF }
func (onceEmpty) Close() error             { return nil }
