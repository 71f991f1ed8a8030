package authos

import (
	"io"
	"net/http"
)

// bufferedBody is the body of every response inside the layers: the whole bounded body, read within
// its attempt, and the parsed error.
type bufferedBody struct {
	data []byte
	read int
	err  *APIError
}

// Read implements [io.Reader].
func (b *bufferedBody) Read(p []byte) (int, error) {
	if b.read == len(b.data) {
		return 0, io.EOF
	}
	n := copy(p, b.data[b.read:])
	b.read += n
	return n, nil
}

// Close implements [io.Closer]; nothing is held.
func (*bufferedBody) Close() error { return nil }

func newBody(data []byte, err *APIError) *bufferedBody { return &bufferedBody{data: data, err: err} }

func errorOf(resp *http.Response) *APIError {
	if a, ok := resp.Body.(*bufferedBody); ok {
		return a.err
	}
	return nil
}

func bodyOf(resp *http.Response) []byte {
	if a, ok := resp.Body.(*bufferedBody); ok {
		return a.data
	}
	return nil
}
