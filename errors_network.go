package authos

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// isAlert reports whether an error is a TLS alert, the other side's or our own. crypto/tls has no
// type for it that can be named.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error") && op.Err != nil
}

// proxyRefusal is a proxy's response to CONNECT when it does not let the request through.
type proxyRefusal struct{ status int }

func (e *proxyRefusal) Error() string {
	return "the proxy refused to connect: " + strconv.Itoa(e.status) + " " + http.StatusText(e.status)
}

// permanent reports whether the proxy would refuse again. With a 5xx it says that it could not
// reach the server, or not now.
func (e *proxyRefusal) permanent() bool {
	return e.status < 500 || e.status == http.StatusHTTPVersionNotSupported
}

// permanent reports whether trying again cannot help: the certificate, the name or the request
// itself is wrong.
func permanent(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsNotFound
	}
	proxy, ok := errors.AsType[*proxyRefusal](err)
	return errors.Is(err, errClosed) || isTLSRefusal(err) || ok && proxy.permanent() || isSOCKSRefusal(err)
}

// isSOCKSRefusal reports whether a SOCKS proxy's rules forbid the connection (RFC 1928, section 6).
func isSOCKSRefusal(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "socks connect" && strings.HasSuffix(err.Error(), "connection not allowed by ruleset")
}

// isTLSRefusal reports whether TLS itself failed, which the next attempt would do as well. A
// handshake that timed out is not that.
func isTLSRefusal(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	return verification || authority || invalid || hostname || record || isAlert(err) || errors.Is(err, http.ErrSchemeMismatch)
}
