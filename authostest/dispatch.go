package authostest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	// maxAttempts is how often the server tries to deliver an event.
	maxAttempts = 5
	// firstRetry is how long it waits after the first failure; each further wait is
	// twice as long.
	firstRetry = time.Minute
	// maxReply is how much of a receiver's response is kept, in bytes.
	maxReply = 10_000
	// replyTimeout bounds one attempt. The real server's bound is not known.
	replyTimeout = 30 * time.Second
)

// dispatch is one event on its way to one webhook.
type dispatch struct {
	id        string
	webhook   *webhook
	event     string
	payload   []byte // the same bytes at each attempt
	status    *int
	response  *string
	attempts  int       // that failed; a success does not count
	next      time.Time // zero when there will be no further attempt
	delivered bool
	problem   string
	created   time.Time
	updated   time.Time
}

// event is something that webhooks are told about.
type event struct {
	name  string
	actor *user
	data  details
}

// payload is the body of a delivery. Its keys are in the alphabet's order.
func (e event) payload(o *organization, now time.Time) []byte {
	body := details{"event": e.name, "timestamp": stampOffset(now), "organization_id": o.id}
	if e.actor != nil {
		body["actor_user_id"], body["actor_email"] = e.actor.ID, e.actor.Email
	}
	if len(e.data) > 0 {
		body["data"] = e.data
	}
	return encode(body)
}

// publish sends an event to the webhooks that have subscribed to it. The caller
// holds the lock.
func (s *Server) publish(o *organization, e event, now time.Time) {
	body := e.payload(o, now)
	for _, w := range o.webhooks {
		if w.enabled && slices.Contains(w.events, e.name) {
			s.dispatch(w, e.name, body, now)
		}
	}
}

// dispatch starts a delivery. The caller holds the lock.
func (s *Server) dispatch(w *webhook, name string, payload []byte, now time.Time) *dispatch {
	now = now.Truncate(time.Microsecond)
	d := &dispatch{id: s.newID(), webhook: w, event: name, payload: payload, next: now, created: now, updated: now}
	w.dispatches = append(newest(w.dispatches, maxDispatches), d)
	s.work(func(ctx context.Context) { s.deliver(ctx, d) })
	return d
}

// deliver tries until the receiver takes the event, or the server gives up.
func (s *Server) deliver(ctx context.Context, d *dispatch) {
	for {
		req, ok := s.prepare(ctx, d)
		if !ok {
			return
		}
		status, reply, err := s.post(req)
		if ctx.Err() != nil {
			return // by Close
		}
		pause, again := s.settle(d, status, reply, err)
		if !again || s.wait(ctx, pause) != nil {
			return
		}
	}
}

// prepare makes the request of the next attempt, signed and stamped anew, unless
// the webhook may not be called any more.
func (s *Server) prepare(ctx context.Context, d *dispatch) (*http.Request, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := d.webhook
	if w.deleted {
		return nil, false
	}
	if !w.enabled || !w.org.active() || s.scene.orgs[w.org.slug] != w.org {
		d.giveUp("Webhook or parent organization is inactive", s.now())
		return nil, false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(d.payload))
	if err != nil {
		d.giveUp("Network error: "+err.Error(), s.now())
		return nil, false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Webhook-Signature", signature(w.secret, d.payload))
	req.Header.Set("X-Webhook-Timestamp", strconv.FormatInt(s.now().Unix(), 10))
	return req, true
}

// signature covers the body and nothing else. The key is the secret as it is
// written, not what its base64 stands for.
func signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// post makes one attempt. A redirect is not followed: it is no success.
func (s *Server) post(req *http.Request) (status int, reply string, err error) {
	client := http.Client{
		Transport:     s.config.webhooks,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ctx, cancel := context.WithTimeout(req.Context(), replyTimeout)
	defer cancel()
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	switch {
	case err != nil:
		return resp.StatusCode, "Failed to read response body", nil
	case len(body) > maxReply:
		return resp.StatusCode, string(body[:maxReply]) + "... (truncated)", nil
	}
	return resp.StatusCode, string(body), nil
}

// settle writes down how an attempt went, and says when the next one is due.
func (s *Server) settle(d *dispatch, status int, reply string, err error) (pause time.Duration, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().Truncate(time.Microsecond)
	d.updated = now
	if err == nil {
		d.status, d.response = &status, &reply
		if status/100 == 2 {
			d.delivered, d.next, d.problem = true, time.Time{}, ""
			return 0, false
		}
		d.problem = "HTTP " + strconv.Itoa(status) + ": " + reply
	} else {
		d.problem = "Network error: " + err.Error()
	}
	pause = firstRetry << d.attempts
	if d.attempts++; d.attempts == maxAttempts {
		d.next = time.Time{}
		return 0, false
	}
	d.next = now.Add(pause)
	return pause, true
}

// giveUp ends a delivery that has not been made.
func (d *dispatch) giveUp(problem string, now time.Time) {
	d.attempts, d.next, d.problem, d.updated = maxAttempts, time.Time{}, problem, now.Truncate(time.Microsecond)
}

// work runs something beside the requests, until Close at the latest. The caller
// holds the lock.
//
// The context belongs to the work, not to the server, because synctest only knows
// a goroutine to be idle when it waits on channels of its own bubble.
func (s *Server) work(do func(context.Context)) {
	if s.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := &cancel
	s.jobs[end] = struct{}{}
	s.working.Go(func() {
		defer func() {
			cancel()
			s.mu.Lock()
			delete(s.jobs, end)
			s.mu.Unlock()
		}()
		do(ctx)
	})
}

// loopback calls receivers on this machine and nobody else: what a test registers
// as a webhook is often the address of somebody real.
func loopback() http.RoundTripper {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		DisableKeepAlives: true, // so that nothing is left after Close
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			if host == "localhost" {
				host = "127.0.0.1"
			}
			if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
				return nil, errNotLoopback
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
		},
	}
}

var errNotLoopback = errors.New("authostest: webhooks go to loopback addresses only; see WithWebhookTransport")
