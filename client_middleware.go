package authos

import (
	"errors"
	"net/http"
	"slices"
)

// WithMiddleware puts wrap around what the client sends through, for tracing, signing or recording.
// The RoundTripper it makes sees each sending of a request with its headers, credentials included,
// and obeys the rules of [http.RoundTripper]: above all it leaves the request it is given as it is
// and repeats nothing. The request's context has the values that [Observer.CallStart] added.
//
// Given several times, the first is the outermost. wrap may be called more than once. Default:
// none.
func WithMiddleware(wrap func(next http.RoundTripper) http.RoundTripper) Option {
	return familyOption("WithMiddleware", func(c *config) error {
		if wrap == nil {
			return errors.New("nil function")
		}
		c.middleware = append(slices.Clip(c.middleware), wrap)
		return nil
	})
}

// wrap puts the client's middleware around what requests go through.
func (c *connections) wrap(cfg *config) {
	for _, wrap := range slices.Backward(cfg.middleware) {
		c.transport, c.obedient = wrap(c.transport), false
	}
}
