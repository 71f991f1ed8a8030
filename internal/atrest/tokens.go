package atrest

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/authos-go/authos"
)

// record is how tokens are written. The texts are bytes, because JSON changes what is not UTF-8.
type record struct {
	Access  []byte    `json:"access_token,omitempty"`
	Refresh []byte    `json:"refresh_token,omitempty"`
	Expires time.Time `json:"expires_at,omitzero"`
	Origin  []byte    `json:"origin,omitempty"`
}

// maxTokens bounds encoded tokens, in bytes: two tokens are a few KiB.
const maxTokens = 1 << 20

// SealTokens writes tokens, bound to the name of their session and to the record's sequence number.
// Its errors do not repeat them.
func (b Box) SealTokens(name string, seq int64, t authos.Tokens) ([]byte, error) {
	//nolint:gosec // a store writes tokens
	text, err := json.Marshal(record{[]byte(t.AccessToken), []byte(t.RefreshToken), t.ExpiresAt.UTC(), []byte(t.Origin)})
	if err != nil {
		// the error of encoding/json may quote it
		return nil, errors.New("the expiry is not a date that can be written")
	}
	if len(text) > maxTokens {
		return nil, errors.New("the tokens are too large: together they may have some 750 KiB")
	}
	return b.Seal(name, text, strconv.FormatInt(seq, 10))
}

// OpenTokens reads what SealTokens wrote.
func (b Box) OpenTokens(name string, seq int64, stored []byte) (authos.Tokens, error) {
	text, err := b.Open(name, stored, strconv.FormatInt(seq, 10))
	if err != nil {
		return authos.Tokens{}, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return authos.Tokens{}, ErrNotOurs // the error of encoding/json may quote the value
	}
	return authos.Tokens{
		AccessToken: string(r.Access), RefreshToken: string(r.Refresh), ExpiresAt: r.Expires, Origin: string(r.Origin),
	}, nil
}

// ErrBehind says that a store went back. The client knows it by its method Behind.
var ErrBehind error = behind{}

type behind struct{}

func (behind) Error() string {
	return "the record is older than one that was read before: the store was restored, or failed over to a copy that lagged"
}

func (behind) Behind() bool { return true }

// Sequence remembers the newest record of a session that a process has read or written. The zero
// value has seen none.
type Sequence struct {
	mu    sync.Mutex
	seen  int64
	given int64 // by Next
}

// Seen is the sequence number of the newest record so far. A reader asks before it reads.
func (s *Sequence) Seen() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// Read takes note of a record that was read, and refuses one that is older than what had been seen
// before. Who reads it under the lock is told once, puts right what is wrong, and else goes on with
// it.
func (s *Sequence) Read(seq, before int64, locked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq >= before {
		s.seen = max(s.seen, seq)
		return nil
	}
	if locked {
		s.seen = seq
	}
	return ErrBehind
}

// Next is the sequence number of the next record: above the one that is there, the ones that were
// seen, and the store's clock, so that it goes up also where records were deleted or lost. It is
// above all that it gave before, too: a command with one of those may still be on its way.
func (s *Sequence) Next(there int64, clock time.Time) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = max(there, s.seen, s.given, clock.UnixMicro()-1) + 1
	return s.given
}
