package authos

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// cachedResponse is a response from before.
type cachedResponse struct {
	at                    time.Time // when it was asked for
	instance, asked       uint64    // the process that did, and how many writes had ended there
	contentType, language string
	body                  []byte
}

const (
	cachedVersion = 2 // the first byte of a cached response; what has another is not served
	cachedHead    = 1 + 3*8
)

// encode writes: version; Unix nanoseconds, instance and count of writes (8 bytes each); content
// type and language (each length, text); body.
func (k *cachedResponse) encode() []byte {
	b := make([]byte, 0, cachedHead+4+len(k.contentType)+len(k.language)+len(k.body))
	b = append(b, cachedVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(k.at.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, k.instance)
	b = binary.BigEndian.AppendUint64(b, k.asked)
	for _, text := range [...]string{k.contentType, k.language} {
		text = text[:min(len(text), 1<<16-1)]
		b = binary.BigEndian.AppendUint16(b, uint16(len(text))) //nolint:gosec // bounded above
		b = append(b, text...)
	}
	return append(b, k.body...)
}

// parseCached reads what a store gave back, which may be anything, unless it is our own: that gives
// back what was checked when it was stored.
func parseCached(b []byte, own bool) (k cachedResponse, ok bool) {
	if len(b) < cachedHead || b[0] != cachedVersion {
		return k, false
	}
	k.at = time.Unix(0, int64(binary.BigEndian.Uint64(b[1:]))) //nolint:gosec // any value is a time
	k.instance, k.asked = binary.BigEndian.Uint64(b[9:]), binary.BigEndian.Uint64(b[17:])
	b = b[cachedHead:]
	for _, text := range []*string{&k.contentType, &k.language} {
		if len(b) < 2 {
			return k, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return k, false
		}
		*text, b = string(b[2:2+n]), b[2+n:]
	}
	k.body = b
	return k, own || json.Valid(b)
}

// mayBeServedStale reports whether a response's own fields allow that. no-store forbids to keep it
// (RFC 9111, section 5.2.2.5), no-cache and must-revalidate to serve it without the server's word
// (5.2.2.4 and 5.2.2.2), and Vary: * says that no other request is like the one it answered (4.1).
func mayBeServedStale(h http.Header) bool {
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(directive, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "no-store", "no-cache", "must-revalidate":
				return false
			}
		}
	}
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(name) == "*" {
				return false
			}
		}
	}
	return true
}

// notVarying are headers that name the request, not what is asked for: ids and traces. They differ
// from call to call.
var notVarying = func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(`User-Agent X-Request-Id Request-Id X-Correlation-Id Correlation-Id
		Traceparent Tracestate Baggage B3 X-B3-Traceid X-B3-Spanid X-B3-Parentspanid X-B3-Sampled X-B3-Flags
		X-Trace-Id X-Span-Id X-Parent-Span-Id X-Client-Trace-Id Correlation-Context X-Instana-T X-Instana-S X-Instana-L
		Ot-Tracer-Traceid Ot-Tracer-Spanid Ot-Tracer-Sampled Jaeger-Debug-Id Jaeger-Baggage
		X-Amzn-Trace-Id X-Cloud-Trace-Context Sentry-Trace Uber-Trace-Id Grpc-Trace-Bin X-Ot-Span-Context Elastic-Apm-Traceparent
		Newrelic X-Datadog-Trace-Id X-Datadog-Parent-Id X-Datadog-Sampling-Priority X-Datadog-Origin X-Datadog-Tags`) {
		names[name] = true
	}
	return names
}()
