package authosotel

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// maxCached bounds what is remembered. Routes, methods, statuses and error types are few; only a
// program that calls paths of its own making through Do has more, and then pays for each anew.
const maxCached = 4096

// setKey is what the attributes of a measurement are made of.
type setKey struct {
	method, route, failure string
	status                 int
	stale                  bool
	address, version       string // of a request
	port                   int
}

func (k setKey) attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(k.method)}
	if k.route != "" {
		attrs = append(attrs, semconv.URLTemplate(k.route))
	}
	if k.status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(k.status))
	}
	if k.failure != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(k.failure))
	}
	if k.stale {
		attrs = append(attrs, attribute.Bool("authos.stale", true))
	}
	if k.address != "" {
		attrs = append(attrs, semconv.ServerAddress(k.address), semconv.ServerPort(k.port))
	}
	if k.version != "" {
		attrs = append(attrs, semconv.NetworkProtocolVersion(k.version))
	}
	return attrs
}

// setCache makes each set of attributes once, so that a measurement allocates nothing.
type setCache struct {
	mu  sync.RWMutex
	all map[setKey][]metric.RecordOption
}

func (c *setCache) of(k setKey) []metric.RecordOption {
	c.mu.RLock()
	set := c.all[k]
	c.mu.RUnlock()
	if set != nil {
		return set
	}
	set = []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(k.attributes()...))}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[setKey][]metric.RecordOption{}
	}
	if len(c.all) < maxCached {
		c.all[k] = set
	}
	return set
}

type nameKey struct{ method, route string }

// nameCache makes the name of each route's spans once.
type nameCache struct {
	mu  sync.RWMutex
	all map[nameKey]string
}

func (c *nameCache) of(m, route string) string {
	k := nameKey{m, route}
	c.mu.RLock()
	name := c.all[k]
	c.mu.RUnlock()
	if name != "" {
		return name
	}
	name = method(m) + " " + route
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[nameKey]string{}
	}
	if len(c.all) < maxCached {
		c.all[k] = name
	}
	return name
}
