package authostest

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The control API is what this package's methods are for tests in other languages. Its
// requests are no part of the run: the journal does not note them, faults do not hit
// them, and limiters do not count them.

const controlPrefix = "/_authostest/"

// maxControlBody bounds what a client may send: a dump can be large.
const maxControlBody = 64 << 20

// A controller runs one command. What it returns is the response's JSON.
type controller func(s *Server, in json.RawMessage, r *http.Request) (any, error)

// controls are the commands by method and path.
var controls = map[string]controller{
	"POST scene": with(func(s *Server, in Scene) (any, error) { return s.Apply(in) }),

	"GET faults":    func(s *Server, _ json.RawMessage, _ *http.Request) (any, error) { return s.listFaults(), nil },
	"POST faults":   with((*Server).controlFault),
	"DELETE faults": func(s *Server, _ json.RawMessage, r *http.Request) (any, error) { return s.dropFaults(r) },
	"POST outage": with(func(s *Server, in struct {
		Status int `json:"status"`
	}) (any, error) {
		status := cmp.Or(in.Status, http.StatusServiceUnavailable)
		if status < 400 || status > 599 {
			return nil, errors.New("status: want 400 to 599")
		}
		return map[string]int{"id": s.addFault(outage(status))}, nil
	}),

	"POST connections": with(func(s *Server, in struct {
		Cut  bool `json:"cut"`
		Doom int  `json:"doom"`
	}) (any, error) {
		if in.Doom < 0 {
			return nil, errors.New("doom: cannot be negative")
		}
		if in.Cut {
			s.CutConnections()
		}
		s.DoomConnections(in.Doom)
		return done, nil
	}),

	"GET clock":  func(s *Server, _ json.RawMessage, _ *http.Request) (any, error) { return s.describeClock(), nil },
	"POST clock": with((*Server).controlClock),

	"POST sign-in":         with((*Server).controlSignIn),
	"POST tokens/expire":   with(func(s *Server, _ struct{}) (any, error) { s.ExpireAccessTokens(); return done, nil }),
	"POST sessions/revoke": with(func(s *Server, in address) (any, error) { s.RevokeSessions(in.Email); return done, nil }),
	"POST keys/rotate":     with(func(s *Server, _ struct{}) (any, error) { s.RotateKeys(); return done, nil }),
	"POST keys/forget":     with(func(s *Server, _ struct{}) (any, error) { s.ForgetOldKeys(); return done, nil }),
	"POST api-keys":        with((*Server).controlAPIKey),
	"POST devices/approve": with((*Server).controlApprove),
	"POST devices/deny": with(func(s *Server, in struct {
		UserCode string `json:"user_code"`
	}) (any, error) {
		return done, found(s.DenyDevice(in.UserCode), "no pending user code "+strconv.Quote(in.UserCode))
	}),
	"POST organizations/status": with(func(s *Server, in struct {
		Slug   string `json:"slug"`
		Status string `json:"status"`
	}) (any, error) {
		return s.Apply(Scene{Organizations: []SceneOrganization{{Slug: in.Slug, Status: in.Status}}})
	}),

	"GET mails":    func(s *Server, _ json.RawMessage, r *http.Request) (any, error) { return s.controlMails(r), nil },
	"GET requests": func(s *Server, _ json.RawMessage, r *http.Request) (any, error) { return s.controlRequests(r) },
	"GET count": func(s *Server, _ json.RawMessage, r *http.Request) (any, error) {
		query := r.URL.Query()
		return map[string]int{"count": s.Count(query.Get("method"), query.Get("path"))}, nil
	},
	"GET applied": func(s *Server, _ json.RawMessage, _ *http.Request) (any, error) { return s.Applied(), nil },
	"GET replays": func(s *Server, _ json.RawMessage, _ *http.Request) (any, error) {
		return map[string]int{"replays": s.Replays()}, nil
	},

	"POST reset": with((*Server).controlReset),
	"GET state": func(s *Server, _ json.RawMessage, _ *http.Request) (any, error) {
		return json.RawMessage(s.Dump()), nil
	},
	"PUT state": func(s *Server, in json.RawMessage, _ *http.Request) (any, error) {
		return done, s.Load(in)
	},
}

type okay struct {
	OK bool `json:"ok"`
}

var done = okay{true}

type address struct {
	Email string `json:"email"`
}

// with reads the input of a command. An empty body is an empty object.
func with[T any](run func(*Server, T) (any, error)) controller {
	return func(s *Server, raw json.RawMessage, _ *http.Request) (any, error) {
		var in T
		if len(bytes.TrimSpace(raw)) > 0 {
			if err := strict(raw, &in); err != nil {
				return nil, err
			}
		}
		return run(s, in)
	}
}

// errNothing is about something that is not there.
type errNothing struct{ text string }

func (e errNothing) Error() string { return e.text }

func found(ok bool, text string) error {
	if ok {
		return nil
	}
	return errNothing{text}
}

func controlNames() map[string][]string {
	names := slices.Sorted(maps.Keys(controls))
	for i, name := range names {
		method, path, _ := strings.Cut(name, " ")
		names[i] = method + " " + controlPrefix + path
	}
	return map[string][]string{"commands": names}
}

// controlled reports whether a request is one of the control API, where there is one.
func (s *Server) controlled(r *http.Request) bool {
	return s.config.control != nil && strings.HasPrefix(r.URL.Path, controlPrefix)
}

// control runs a command.
func (s *Server) control(r *http.Request, body []byte, tooLarge bool) response {
	refuse := func(status int, text string) response {
		return jsonResponse(status, map[string]string{"error": text})
	}
	if text := s.mayControl(r); text != "" {
		return refuse(http.StatusForbidden, text)
	}
	if tooLarge {
		return refuse(http.StatusRequestEntityTooLarge, "the body is larger than "+strconv.Itoa(maxControlBody)+" bytes")
	}
	path := strings.TrimPrefix(r.URL.Path, controlPrefix)
	if path == "" && (r.Method == "" || r.Method == http.MethodGet) {
		return jsonResponse(http.StatusOK, controlNames())
	}
	run, ok := controls[cmp.Or(r.Method, http.MethodGet)+" "+path]
	if !ok {
		for name := range controls {
			if _, other, _ := strings.Cut(name, " "); other == path {
				return refuse(http.StatusMethodNotAllowed, "wrong method for "+controlPrefix+path)
			}
		}
		return refuse(http.StatusNotFound, "no such command; GET "+controlPrefix+" lists them")
	}
	out, err := run(s, body, r)
	switch _, nothing := errors.AsType[errNothing](err); {
	case nothing:
		return refuse(http.StatusNotFound, err.Error())
	case err != nil:
		return refuse(http.StatusBadRequest, err.Error())
	}
	return jsonResponse(http.StatusOK, out)
}

// mayControl says why somebody may not: who comes from another machine needs the token,
// and a page in a browser, which can send requests to this machine too, gets nowhere.
func (s *Server) mayControl(r *http.Request) string {
	if token := *s.config.control; token != "" {
		got, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(got), []byte(token)) != 1 {
			return "the control API wants its token: Authorization: Bearer …"
		}
		return ""
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(host); r.RemoteAddr != "" && (err != nil || !ip.IsLoopback()) {
		return "without a token the control API is for this machine only"
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	if ip := net.ParseIP(strings.Trim(name, "[]")); r.RemoteAddr != "" && name != "localhost" && !ip.IsLoopback() {
		return "without a token the control API is at 127.0.0.1 and localhost only"
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" && r.Header.Get("Sec-Fetch-Site") != "none" {
		return "without a token the control API is not for pages in a browser"
	}
	return ""
}

// duration is one as Go writes it: "1.5s", "25h".
type duration time.Duration

// UnmarshalJSON implements [json.Unmarshaler].
func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("%s is no duration; write \"1.5s\" or \"25h\"", b)
	}
	parsed, err := time.ParseDuration(text)
	*d = duration(parsed)
	return err
}

// MarshalJSON implements [json.Marshaler].
func (d duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

type clockState struct {
	Now    time.Time `json:"now"`
	Frozen bool      `json:"frozen"`
}

func (s *Server) describeClock() clockState {
	s.clock.mu.Lock()
	frozen := !s.clock.frozen.IsZero()
	s.clock.mu.Unlock()
	return clockState{s.now(), frozen}
}

func (s *Server) controlClock(in struct {
	Advance duration  `json:"advance"`
	Freeze  time.Time `json:"freeze"`
	Thaw    bool      `json:"thaw"`
}) (any, error) {
	if !in.Freeze.IsZero() {
		s.Freeze(in.Freeze)
	}
	s.Advance(time.Duration(in.Advance))
	if in.Thaw {
		s.Thaw()
	}
	return s.describeClock(), nil
}

func (s *Server) controlSignIn(in struct {
	Email        string  `json:"email"`
	Organization *string `json:"organization"`
	Service      *string `json:"service"`
}) (any, error) {
	if !strings.Contains(in.Email, "@") {
		return nil, fmt.Errorf("email: %q is no address", in.Email)
	}
	var t Tokens
	if in.Organization == nil && in.Service == nil {
		t = s.SignIn(in.Email)
	} else {
		t = s.SignInTo(deref(in.Organization), deref(in.Service), in.Email)
	}
	return tokenResponse{t.AccessToken, t.RefreshToken, ceilSeconds(s.config.accessLife)}, nil
}

func (s *Server) controlAPIKey(in struct {
	Organization string   `json:"organization"`
	Service      string   `json:"service"`
	Permissions  []string `json:"permissions"`
}) (any, error) {
	key := s.AddServiceAPIKey(cmp.Or(in.Organization, defaultOrg), cmp.Or(in.Service, defaultService), in.Permissions...)
	return map[string]string{"key": key}, found(key != "", "there is no such service")
}

func (s *Server) controlApprove(in struct {
	UserCode string `json:"user_code"`
	Email    string `json:"email"`
}) (any, error) {
	if !strings.Contains(in.Email, "@") {
		return nil, fmt.Errorf("email: %q is no address", in.Email)
	}
	return done, found(s.ApproveDevice(in.UserCode, in.Email), "no pending user code "+strconv.Quote(in.UserCode))
}

func (s *Server) controlMails(r *http.Request) any {
	type mail struct {
		Kind  MailKind  `json:"kind"`
		To    string    `json:"to"`
		Token string    `json:"token"`
		Link  string    `json:"link"`
		Sent  time.Time `json:"sent"`
	}
	list, to := []mail{}, r.URL.Query().Get("to")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.scene.mail.sent {
		if to == "" || strings.EqualFold(to, m.To) {
			list = append(list, mail(m))
		}
	}
	return list
}

func (s *Server) controlRequests(r *http.Request) (any, error) {
	type request struct {
		Time   time.Time   `json:"time"`
		Method string      `json:"method"`
		Path   string      `json:"path"`
		Query  string      `json:"query"`
		Route  string      `json:"route"`
		Header http.Header `json:"header"`
		Body   string      `json:"body"`
		Status int         `json:"status"`
		Fault  bool        `json:"fault"`
	}
	query := r.URL.Query()
	want, method, list := newPattern(query.Get("path")), query.Get("method"), []request{}
	for _, seen := range s.Requests() {
		if (method == "" || method == seen.Method) && want.matches(seen.Path, seen.Route) {
			list = append(list, request{
				seen.Time, seen.Method, seen.Path, seen.RawQuery, seen.Route, seen.Header, string(seen.Body), seen.Status, seen.Fault,
			})
		}
	}
	if query.Has("last") {
		n, err := strconv.Atoi(query.Get("last"))
		if err != nil || n < 0 {
			return nil, errors.New("last: want a number of requests")
		}
		list = list[max(len(list)-n, 0):]
	}
	return list, nil
}

func (s *Server) controlReset(in struct {
	State string `json:"state"`
}) (any, error) {
	switch in.State {
	case "", "keep":
		s.Reset()
	case "drop":
		s.Rewind()
	default:
		return nil, fmt.Errorf("state: %q; want keep or drop", in.State)
	}
	return done, nil
}
