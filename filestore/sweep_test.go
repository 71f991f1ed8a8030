//go:build unix

package filestore_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/filestore"
	"github.com/authos-go/authos/internal/killtest"
)

// openKilled opens the store of a process that is killed at some step.
func openKilled(path string, step func()) (authos.TokenStore, error) {
	s, err := filestore.New(path)
	if err == nil {
		s.SetQuiet(50 * time.Millisecond)
		s.OnStep(func(string) { step() })
	}
	return s, err
}

func TestKilledAtEveryStep(t *testing.T) {
	dir, n := t.TempDir(), 0
	killtest.Sweep(t, killtest.Store{Open: openKilled, Where: func() string {
		n++
		return filepath.Join(dir, strconv.Itoa(n))
	}}, os.Getenv("AUTHOS_LONG_TESTS") != "")
}
