package authostest

import (
	"net/http"

	"github.com/authos-go/authos"
)

// Client returns a client for the server, however that is reached, with these options.
// It panics when New refuses one of them: that is a mistake of the test.
func (s *Server) Client(opts ...authos.Option) *authos.Client {
	client, err := authos.New(s.URL, append([]authos.Option{authos.WithHTTPClient(s.HTTPClient())}, opts...)...)
	if err != nil {
		panic("authostest: client: " + err.Error())
	}
	return client
}

// HTTPClient returns a plain client for the server, which trusts the certificate that a
// server [WithTLS] has made.
func (s *Server) HTTPClient() *http.Client {
	if s.web == nil {
		return &http.Client{Transport: s.Transport()}
	}
	return &http.Client{Transport: s.web.transport()}
}
