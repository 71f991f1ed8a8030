package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// storeTimeout bounds one call of a SeenStore: the sender is waiting.
const storeTimeout = 5 * time.Second

// What a Handler responds: all it ever says.
const (
	textHandled     = "handled"
	textRepeat      = "already handled"
	textMethod      = "only POST is accepted"
	textTooLarge    = "the body is too large"
	textUnread      = "the body could not be read"
	textHeader      = "the signature or timestamp header is missing, repeated or malformed"
	textSignature   = "the signature does not match"
	textTimestamp   = "the delivery is too old, or a clock is wrong"
	textPayload     = "the body is not an event"
	textFailed      = "the event could not be handled"
	textConfig      = "the receiver is not configured"
	textBodyRead    = "the body was read before it came here"
	textBusy        = "too many deliveries at once"
	textInterrupted = "still being handled"
)

// Handler receives deliveries and calls fn with each event that is authentic, recent and not
// handled yet. The package's documentation lists what it responds.
//
// An event is handled, and recorded as such, when fn returns nil; return nil for events you do not
// care about as well. After an error of fn the server delivers it again. fn gets the request's
// context, which ends when the server does not wait any longer. A panic in fn goes on to the server
// that runs the Handler, and the event counts as not handled.
//
// While fn handles an event, another delivery of the same body waits: it counts as a repeat when fn
// succeeds, and gets its own call of fn when it does not.
//
// A Handler copies the Verifier. Reading a request's body takes as long as the [http.Server] lets
// it: set its ReadTimeout.
func (v Verifier) Handler(fn func(ctx context.Context, e Event) error) http.Handler {
	v.Secrets = slices.Clone(v.Secrets)
	h := &handler{
		verifier: v, fn: fn, local: &MemorySeen{}, shared: v.Seen, bodies: newBodies(v), log: v.Logger,
		flights: map[string]*flight{},
	}
	if m, ok := v.Seen.(*MemorySeen); ok {
		h.local, h.shared = m, nil
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

type handler struct {
	verifier Verifier
	fn       func(context.Context, Event) error
	local    *MemorySeen // asked first; it also stands in while shared fails
	shared   SeenStore   // nil: none
	bodies   *bodies
	log      *slog.Logger

	mu      sync.Mutex
	flights map[string]*flight // by event ID
}

// flight is one event being handled.
type flight struct {
	done    chan struct{} // closed at its end
	handled bool          // written before that
}

// Format implements [fmt.Formatter]: without it, %v of a Handler would print the secrets, since fmt
// calls no methods on unexported fields.
func (h *handler) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "webhook.Handler") }

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		respond(w, http.StatusMethodNotAllowed, textMethod)
		return
	}
	e, err := h.receive(w, r)
	if err != nil {
		status, text := refusal(err)
		if status == http.StatusUnauthorized {
			// RFC 9110, section 15.5.2, wants a challenge
			w.Header().Set("WWW-Authenticate", "HMAC-SHA256")
		}
		h.log.WarnContext(r.Context(), "webhook: delivery refused", "status", status, "error", err)
		respond(w, status, text)
		return
	}
	repeat, err := h.handle(r.Context(), e)
	switch {
	case errors.Is(err, errInterrupted):
		h.log.WarnContext(r.Context(), "webhook: sender left before the event was handled", "event", e)
		respond(w, http.StatusServiceUnavailable, textInterrupted)
	case err != nil:
		h.log.WarnContext(r.Context(), "webhook: event not handled", "event", e, "error", err)
		respond(w, http.StatusInternalServerError, textFailed)
	case repeat:
		h.log.DebugContext(r.Context(), "webhook: repeat", "event", e)
		respond(w, http.StatusOK, textRepeat)
	default:
		respond(w, http.StatusOK, textHandled)
	}
}

func respond(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // the sender may be gone
}

// receive reads and checks a request. Headers come first: nothing is read of a delivery that they
// rule out.
func (h *handler) receive(w http.ResponseWriter, r *http.Request) (Event, error) {
	if h.fn == nil {
		return Event{}, fmt.Errorf("%w: no function to call", ErrConfig)
	}
	h.bodies.deadline(w, r)
	header, err := h.verifier.checkHeader(r.Header)
	if err != nil {
		return Event{}, err
	}
	body, release, err := h.bodies.read(w, r)
	defer release()
	if err != nil {
		return Event{}, err
	}
	e, err := h.verifier.checkBody(header, body)
	if errors.Is(err, ErrSignature) && readBefore(r, len(body)) {
		err = fmt.Errorf("%w: %d bytes of it are left", ErrBodyRead, len(body))
	}
	return e, err
}

// refusal is the response to a request that receive did not accept. The server treats all of them
// alike; the statuses are for who reads its list of deliveries.
func refusal(err error) (status int, text string) {
	switch {
	case errors.Is(err, ErrTooLarge):
		return http.StatusRequestEntityTooLarge, textTooLarge
	case errors.Is(err, ErrHeader):
		return http.StatusUnauthorized, textHeader
	case errors.Is(err, ErrSignature):
		return http.StatusUnauthorized, textSignature
	case errors.Is(err, ErrTimestamp):
		return http.StatusUnauthorized, textTimestamp
	case errors.Is(err, ErrPayload):
		return http.StatusBadRequest, textPayload
	case errors.Is(err, errUnread):
		return http.StatusBadRequest, textUnread
	case errors.Is(err, ErrBusy):
		return http.StatusServiceUnavailable, textBusy
	case errors.Is(err, ErrBodyRead):
		return http.StatusInternalServerError, textBodyRead // our own fault too
	default:
		return http.StatusInternalServerError, textConfig // our own fault
	}
}

var errInterrupted = errors.New("webhook: the sender left")

// handle sees to it that an event is handled once: it joins the flight of the same body if there is
// one, and looks at its end. The lookup and the record are made within the flight, so that nothing
// comes in between.
func (h *handler) handle(ctx context.Context, e Event) (repeat bool, err error) {
	for {
		f, own := h.board(e.ID)
		if own {
			return h.fly(ctx, e, f)
		}
		select {
		case <-ctx.Done():
			return false, errInterrupted
		case <-f.done:
		}
		if f.handled {
			return true, nil
		}
	}
}

// board gives the flight of an event, and whether the caller has to fly it.
func (h *handler) board(id string) (f *flight, own bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f, ok := h.flights[id]; ok {
		return f, false
	}
	f = &flight{done: make(chan struct{})}
	h.flights[id] = f
	return f, true
}

// land ends a flight. It is deferred, so that neither a panic nor [runtime.Goexit] in the program's
// function leaves an event locked.
func (h *handler) land(id string, f *flight) {
	h.mu.Lock()
	delete(h.flights, id)
	h.mu.Unlock()
	close(f.done)
}

func (h *handler) fly(ctx context.Context, e Event, f *flight) (repeat bool, err error) {
	defer h.land(e.ID, f)
	if h.seen(ctx, e) {
		f.handled = true
		return true, nil
	}
	if ctx.Err() != nil {
		return false, errInterrupted // it left while we waited or looked; fn would work for nobody
	}
	if err := h.fn(ctx, e); err != nil {
		return false, err
	}
	f.handled = true
	h.record(ctx, e)
	return false, nil
}

func (h *handler) seen(ctx context.Context, e Event) bool {
	if h.local.has(e.ID) {
		return true
	}
	if h.shared == nil {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	seen, err := h.shared.Seen(limited, e.ID)
	if err != nil {
		h.log.WarnContext(ctx, "webhook: cannot look up whether the event was handled", "event", e, "error", err)
		return false
	}
	return seen
}

// record outlives the request: the event is handled, whether the sender still listens or not.
func (h *handler) record(ctx context.Context, e Event) {
	ttl := h.verifier.remember()
	h.local.add(e.ID, ttl)
	if h.shared == nil {
		return
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := h.shared.Record(limited, e.ID, ttl); err != nil {
		h.log.WarnContext(ctx, "webhook: cannot record that the event was handled", "event", e, "error", err)
	}
}
