package atrest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/authos-go/authos/internal/atrest"
)

// A number is above everything that may be there or come, whatever the clock does.
func TestSequenceGoesUp(t *testing.T) {
	var s atrest.Sequence
	now := time.UnixMicro(1000)
	for _, step := range []struct {
		name  string
		there int64
		clock time.Time
		want  int64
	}{
		{"the clock", 0, now, 1000},
		{"the same moment", 0, now, 1001},
		{"the clock was set back", 0, now.Add(-time.Hour), 1002},
		{"a newer one is there", 2000, now, 2001},
		{"it was deleted", 0, now, 2002},
		{"the clock is ahead", 2001, now.Add(time.Second), 1_001_000},
	} {
		if got := s.Next(step.there, step.clock); got != step.want {
			t.Errorf("%s: %d, want %d", step.name, got, step.want)
		}
	}
	if err := s.Read(2_000_000, 0, false); err != nil {
		t.Error(err)
	}
	if got := s.Next(0, now); got != 2_000_001 {
		t.Errorf("below one that was read: %d", got)
	}
}

// What is older than what was seen when the reading began is refused; under the lock it is told
// once.
func TestSequenceTellsWhatWentBack(t *testing.T) {
	var s atrest.Sequence
	for _, step := range []struct {
		name        string
		seq, before int64
		locked      bool
		behind      bool
		seen        int64
	}{
		{"the first", 5, 0, false, false, 5},
		{"the same", 5, 5, false, false, 5},
		{"older", 4, 5, false, true, 5},
		{"older, again", 4, 5, false, true, 5},
		{"a reading that began before the newest", 4, 3, false, false, 5},
		{"older, under the lock", 4, 5, true, true, 4},
		{"it has been told", 4, 4, true, false, 4},
		{"newer", 9, 4, false, false, 9},
	} {
		err := s.Read(step.seq, step.before, step.locked)
		if errors.Is(err, atrest.ErrBehind) != step.behind || s.Seen() != step.seen {
			t.Errorf("%s: %v, seen %d, want behind %t, seen %d", step.name, err, s.Seen(), step.behind, step.seen)
		}
	}
}
