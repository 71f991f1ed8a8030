package authos

import (
	"net/http"
	"sync/atomic"
)

// agent is a client as its layers, its calls and its session know it: how it was configured, what
// it shares with the others of its family, and whether it was closed. [Client] adds the layers and
// the services.
type agent struct {
	cfg    *config
	fam    *family
	below  http.RoundTripper // the layers below the session
	done   chan struct{}     // closed with the client
	closed atomic.Bool
}

func newAgent(cfg *config, fam *family) *agent {
	return &agent{cfg: cfg, fam: fam, done: make(chan struct{})}
}

// ended is closed when this client is; see also the family's.
func (a *agent) ended() <-chan struct{} { return a.done }

func (a *agent) isClosed() bool { return a.closed.Load() || a.fam.closing.closed.Load() }
