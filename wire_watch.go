package authos

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"sync/atomic"
	"time"
)

// carryOut carries the sending out within its time, and reports whether it has ended. One that has
// not is still at work somewhere: only what is atomic in it may be read.
//
// Where all the code in the way obeys the request's context, that takes the caller's own goroutine
// and a timer. Where it may not, the caller waits for another goroutine, and leaves it behind when
// the time is up. To wake that up, and be woken, costs as much as all the layers. HTTP/2 may not:
// see [ownTransport.abandon].
func (s *sending) carryOut() (ended bool) {
	s.wire.underWay.Add(1)
	defer s.wire.ended()
	defer s.end(context.Canceled)
	if s.wire.obedient && s.wire.jar == nil && s.wire.checkRedirect == nil && httptrace.ContextClientTrace(s.call) == nil {
		s.carryOutHere()
		return true
	}
	return s.carryOutApart()
}

// run is the work itself.
func (s *sending) run() {
	ended := false
	defer func() {
		if !ended {
			s.err = &thrown{recover()}
		}
	}()
	s.exchange()
	ended = true
}

// isObedient reports whether a transport, and the connections it makes, are of net/http and net
// alone, and speak HTTP/1 where there is no TLS. They end when the context does; what others do is
// not known. What shakes hands or talks to a proxy may be anybody's: net/http has a goroutine of
// its own for that.
func isObedient(t *http.Transport) bool {
	return (t.Protocols == nil || !t.Protocols.UnencryptedHTTP2()) &&
		(t.DialContext == nil || sameCode(t.DialContext, (&net.Dialer{}).DialContext)) &&
		//lint:ignore SA1019 they may be set
		t.Dial == nil && t.DialTLSContext == nil && t.DialTLS == nil && //nolint:staticcheck // they may be set
		(t.Proxy == nil || sameCode(t.Proxy, http.ProxyFromEnvironment))
}

// sameCode reports whether two functions are the same one, whatever they are bound to.
func sameCode(f, g any) bool {
	return reflect.ValueOf(f).Pointer() == reflect.ValueOf(g).Pointer()
}

// watch ends a sending that is carried out in the caller's goroutine. One that ended nothing is
// used again.
type watch struct {
	s      atomic.Pointer[sending]
	timer  *time.Timer
	caller func()
}

func newWatch() *watch {
	w := &watch{}
	w.timer = time.AfterFunc(time.Hour, func() {
		s := w.s.Load()
		s.timedOut.Store(true)
		s.end(context.DeadlineExceeded)
	})
	w.timer.Stop()
	w.caller = func() {
		s := w.s.Load()
		s.end(s.call.Context.Err())
	}
	return w
}

func (s *sending) carryOutHere() {
	w, _ := s.wire.watches.Get().(*watch)
	if w == nil {
		w = newWatch()
	}
	w.s.Store(s)
	timed, patience, stop := !s.until.IsZero(), s.call.patience, func() bool { return true }
	if s.call.Context.Done() != nil {
		stop = context.AfterFunc(s.call.Context, w.caller)
	}
	if timed {
		w.timer.Reset(time.Until(s.until))
	}
	if patience != nil {
		patience.watch(s)
	}
	defer func() {
		if patience != nil {
			patience.watch(nil)
		}
		unused := !timed || w.timer.Stop()
		if stop() && unused {
			w.s.Store(nil)
			s.wire.watches.Put(w)
		}
	}()
	s.run()
}

// grace is how long a transport may take to end when its context has ended. Those that obey it give
// what they know; the others are left behind.
const grace = 20 * time.Millisecond

// worker is the goroutine of one sending, and what it takes to wait for it. Those that have ended
// are used again.
type worker struct {
	s     *sending
	done  chan struct{}
	timer *time.Timer
	run   func()
}

func newWorker() *worker {
	k := &worker{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	k.timer.Stop()
	k.run = k.work
	return k
}

func (k *worker) work() {
	defer func() { k.done <- struct{}{} }() // also where user code ends the goroutine
	k.s.run()
}

func (s *sending) carryOutApart() (ended bool) {
	k, _ := s.wire.workers.Get().(*worker)
	if k == nil {
		k = newWorker()
	}
	k.s = s
	go k.run()
	if k.wait(s) {
		k.s = nil
		s.wire.workers.Put(k)
		return true
	}
	s.unwanted.Store(true)
	if used := s.used.Load(); used != nil {
		s.wire.own.abandon(used)
		go k.bury(s)
	}
	if resp := s.arrived.Load(); resp != nil && resp.Body != nil {
		go func() {
			defer func() { _ = recover() }() // nobody's call any more
			_ = resp.Body.Close()
		}()
	}
	return false
}

// bury closes the connection of a sending that has been left behind and still does not end. On a
// busy machine it may only be late, and others are at work on the same connection.
func (k *worker) bury(s *sending) {
	select {
	case <-k.done:
	case <-time.After(longSilence):
		if l := s.conn.Load(); l != nil && l.meter != nil {
			_ = l.meter.Close()
		}
	}
}

func (k *worker) wait(s *sending) bool {
	var over <-chan time.Time
	if !s.until.IsZero() {
		k.timer.Reset(time.Until(s.until))
		over = k.timer.C
		defer k.timer.Stop()
	}
	select {
	case <-k.done:
		return true
	case <-s.call.Context.Done():
		s.end(s.call.Err())
	case <-s.call.enough():
		s.end(context.Canceled)
	case <-over:
		s.timedOut.Store(true)
		s.end(context.DeadlineExceeded)
	}
	k.timer.Reset(grace)
	defer k.timer.Stop()
	select {
	case <-k.done:
		return true
	case <-k.timer.C:
		return false
	}
}
