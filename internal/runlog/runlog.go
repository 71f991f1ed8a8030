// Package runlog is the way by which tests learn what the sessions of a process do: every step of
// their core, as it is taken. A test writes them down, together with what its server saw and what
// it did to its processes, and package replay judges that. Programs cannot reach it.
package runlog

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"reflect"
	"sync/atomic"
	"time"

	core "github.com/authos-go/authos/internal/session"
)

// Line is one thing that happened. What is one of the constants; the other fields say to what.
type Line struct {
	At    time.Time `json:"at"`
	By    string    `json:"by,omitempty"` // the process
	What  What      `json:"what"`
	Pair  string    `json:"pair,omitempty"`
	Gave  string    `json:"gave,omitempty"`  // what the server gave for Pair
	Owner string    `json:"owner,omitempty"` // who signed in, or whom a call was sent for
	Call  string    `json:"call,omitempty"`
	Until time.Time `json:"until,omitzero"` // the expiry of an access token
	Step  *Step     `json:"step,omitempty"`
}

// What is what a [Line] is about.
type What string

// What happens in a run.
const (
	Stepped What = "step" // a session took Step

	// At the server.
	SignedIn What = "signed in" // Owner got Pair
	Got      What = "got"       // Pair's refresh token has arrived
	Took     What = "took"      // and was exchanged for Gave
	Refused  What = "refused"   // or was not
	Ended    What = "ended"     // Pair's session is over
	Served   What = "served"    // Call, sent for Owner, was carried out
	Denied   What = "denied"    // or got a 401
	Returned What = "returned"  // Call gave its caller Owner's data

	// To a process.
	Killed What = "killed"
	Froze  What = "froze"
	Thawed What = "thawed"

	// What the program itself does with the store.
	Locked  What = "locked"
	Unlocks What = "unlocks"
	Puts    What = "puts" // Pair, or nothing, is being written
	Put     What = "put"
)

// Step is one step of a session's core. With a Call it is none: Call has begun, as that of the
// tokens held then.
type Step struct {
	Session int                `json:"session"` // of the process
	Call    string             `json:"call,omitempty"`
	Born    bool               `json:"born,omitempty"`
	Event   core.Event         `json:"event"`
	Actions []core.Action      `json:"actions,omitempty"`
	State   core.State         `json:"state"` // after it
	Pairs   map[core.Pair]Pair `json:"pairs,omitempty"`
}

// Pair says what a handle means.
type Pair struct {
	Name      string `json:"name"`
	Owner     string `json:"owner,omitempty"`
	Issued    int64  `json:"issued,omitempty"`
	Renewable bool   `json:"renewable,omitempty"`
}

// Name names the pair that a refresh token belongs to.
func Name(refreshToken string) string {
	if refreshToken == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(refreshToken))
	return hex.EncodeToString(sum[:4])
}

var watcher atomic.Pointer[func(*Step)]

// Watch has f called with each step of the sessions of clients that are made from now on. It must
// be quick, and not use them: their locks are held. Nil: nobody watches.
func Watch(f func(*Step)) { watcher.Store(&f) }

// Watcher gives what [Watch] was given last; nil when nobody watches.
func Watcher() func(*Step) {
	if f := watcher.Load(); f != nil {
		return *f
	}
	return nil
}

// Write adds a line to a file that was opened for appending: in one piece, so that several
// processes can write it. Their order in the file is the order in which things happened.
func Write(w io.Writer, l Line) {
	if text, err := json.Marshal(l); err == nil {
		_, _ = w.Write(append(text, '\n'))
	}
}

// Read gives the lines of a file. The last one of a process that was killed may be cut.
func Read(r io.Reader) (list []Line, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l Line
		//nolint:musttag // the core's types are written by the names of their fields
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			list = append(list, l)
		}
	}
	return list, lines.Err()
}

// MarshalJSON leaves out what is zero.
func (s *Step) MarshalJSON() ([]byte, error) {
	if s.Call != "" {
		return json.Marshal(map[string]any{"session": s.Session, "call": s.Call})
	}
	actions := make([]map[string]any, len(s.Actions))
	for i, a := range s.Actions {
		actions[i] = filled(a)
	}
	return json.Marshal(map[string]any{
		"session": s.Session, "born": s.Born, "event": filled(s.Event), "actions": actions, "state": filled(s.State), "pairs": s.Pairs,
	})
}

func filled(of any) map[string]any {
	v := reflect.ValueOf(of)
	fields := map[string]any{}
	for field, value := range v.Fields() {
		if !value.IsZero() {
			fields[field.Name] = value.Interface()
		}
	}
	return fields
}
