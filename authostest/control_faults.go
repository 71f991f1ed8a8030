package authostest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// faultNames are the kinds of faults as the control API writes them.
var faultNames = map[string]FaultKind{
	"":              NoFault,
	"reset-before":  ResetBefore,
	"reset-after":   ResetAfter,
	"truncate-body": TruncateBody,
	"hang":          Hang,
	"hang-after":    HangAfter,
	"slow-body":     SlowBody,
	"slow-header":   SlowHeader,
	"close-unread":  CloseUnread,
	"goaway-before": GoAwayBefore,
	"goaway-after":  GoAwayAfter,
	"silence":       Silence,
}

// controlledFault is a [Fault] in JSON.
type controlledFault struct {
	ID          int               `json:"id,omitempty"` // in responses
	Hits        int               `json:"hits,omitempty"`
	Method      string            `json:"method,omitempty"`
	Path        string            `json:"path,omitempty"`
	Times       int               `json:"times,omitempty"`
	Skip        int               `json:"skip,omitempty"`
	Probability float64           `json:"probability,omitempty"`
	From        duration          `json:"from,omitzero"`
	Until       duration          `json:"until,omitzero"`
	Delay       duration          `json:"delay,omitzero"`
	Status      int               `json:"status,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Body        string            `json:"body,omitempty"`
	Kind        string            `json:"kind,omitempty"`
	Proxy       string            `json:"proxy,omitempty"` // whose page it is, in requests
	Code        uint32            `json:"code,omitempty"`
	Interim     []int             `json:"interim,omitempty"`
	Median      duration          `json:"median,omitzero"` // of a latency
	P99         duration          `json:"p99,omitzero"`
}

func (s *Server) controlFault(in controlledFault) (any, error) {
	kind, ok := faultNames[in.Kind]
	switch {
	case !ok:
		return nil, fmt.Errorf("kind: %q; want one of %s", in.Kind, strings.Join(slices.Sorted(maps.Keys(faultNames))[1:], ", "))
	case in.Path != "" && !strings.HasPrefix(in.Path, "/"):
		return nil, fmt.Errorf("path: %q does not begin with a slash", in.Path)
	case in.Status != 0 && (in.Status < 200 || in.Status > 999):
		return nil, fmt.Errorf("status: %d; want 200 to 999", in.Status)
	case in.Probability < 0 || in.Probability > 1:
		return nil, fmt.Errorf("probability: %v; want 0 to 1", in.Probability)
	case in.Times < 0 || in.Skip < 0 || in.Delay < 0:
		return nil, errors.New("times, skip and delay cannot be negative")
	case in.Proxy != "" && !slices.Contains(Proxies(), in.Proxy):
		return nil, fmt.Errorf("proxy: %q; want one of %s", in.Proxy, strings.Join(Proxies(), ", "))
	case kind == NoFault && in.Proxy == "" && in.Status == 0 && in.Delay == 0 && in.Median == 0 && in.Interim == nil:
		return nil, errors.New("a fault needs a kind, a status, a delay, a median or interim statuses")
	}
	f := Fault{
		Method: in.Method, Path: in.Path, Times: in.Times, Skip: in.Skip, Probability: in.Probability, From: time.Duration(in.From),
		Until: time.Duration(in.Until), Delay: time.Duration(in.Delay), Status: in.Status, Body: in.Body, Kind: kind,
		Code: in.Code, Interim: in.Interim, Latency: Latency{time.Duration(in.Median), time.Duration(in.P99)},
	}
	if in.Proxy != "" {
		page := ProxyPage(in.Proxy, cmp.Or(in.Status, http.StatusBadGateway))
		f.Status, f.Header, f.Body = page.Status, page.Header, page.Body
	}
	if in.Headers != nil {
		f.Header = http.Header{}
		for name, value := range in.Headers {
			f.Header.Set(name, value)
		}
	}
	return map[string]int{"id": s.addFault(f)}, nil
}

func (s *Server) listFaults() []controlledFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]controlledFault, 0, len(s.faults))
	for _, f := range s.faults {
		shown := controlledFault{
			ID: f.id, Hits: f.spent, Method: f.Method, Path: f.Path, Times: f.Times, Skip: f.Skip, Probability: f.Probability,
			From: duration(f.From), Until: duration(f.Until), Delay: duration(f.Delay), Status: f.Status, Body: f.Body,
			Code: f.Code, Interim: f.Interim, Median: duration(f.Latency.Median), P99: duration(f.Latency.P99),
		}
		for name, kind := range faultNames {
			if kind == f.Kind {
				shown.Kind = name
			}
		}
		for name := range f.Header {
			if shown.Headers == nil {
				shown.Headers = map[string]string{}
			}
			shown.Headers[name] = f.Header.Get(name)
		}
		list = append(list, shown)
	}
	return list
}

// dropFaults takes away one fault, named by ?id=, or all.
func (s *Server) dropFaults(r *http.Request) (any, error) {
	query := r.URL.Query()
	id, err := strconv.Atoi(query.Get("id"))
	if query.Has("id") && err != nil {
		return nil, fmt.Errorf("id: %q is no number", query.Get("id"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f *fault) bool { return !query.Has("id") || f.id == id })
	return done, found(!query.Has("id") || len(s.faults) < before, "there is no fault "+query.Get("id"))
}
