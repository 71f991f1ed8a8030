//go:build unix

package authostest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/internal/runlog"
)

// A Fleet is several processes that share one session through one token store, while
// [TestTokenStoreFleet] kills and freezes them. Open and Where must be given.
type Fleet struct {
	// Open opens the store; it is called in the members' processes, and in the test's. Where tells
	// it which one. The lock of a member that dies must end about [FleetLockTTL] after that, in
	// place of the 45 s of a store in production.
	Open  func(where string) (authos.LockingTokenStore, error)
	Where string
	// LockStays says that a member that is frozen keeps the lock: nobody else refreshes meanwhile.
	LockStays bool
	// Away takes the store away for the given time, and returns when it is back. Nil: it stays.
	Away func(d time.Duration)
	// Size and Calls are how many members there are, and how many calls each place makes. 8 and
	// 2000.
	Size, Calls int
	// Fates is how many refreshes have a fate other than to go well: the first ones of a list that
	// is gone through again and again. 7, which is the whole list.
	Fates int
}

// FleetLockTTL is how long the lock of a fleet's store outlives its holder. The fake server is done
// with a refresh much sooner.
const FleetLockTTL = 2 * time.Second

const (
	fleetEnv = "AUTHOS_TEST_MEMBER"

	fleetWorkers = 2 // goroutines of each member
	fleetPace    = 6 * time.Millisecond
	fleetLife    = 200 * time.Millisecond // of an access token
	fleetLogin   = "correct horse"
	// a member signs out, and in again as any of them, once in that many calls
	fleetChange = 300
)

var fleetUsers = []string{"worker@example.com", "other@example.com"}

// TestTokenStoreFleet runs a fleet to its end and judges it: every call of a member that lives ends
// in success, or names the lost session; a session is lost only where the response to a refresh
// died with its process (or came to one that was frozen past its lock's end), and nobody presents a
// refresh token twice. Now and then a member signs out, and in again as the same or another user:
// no call is sent for two users, and each that succeeds returns the data of whom it began for. What
// all sessions did is written to a journal, and replayed in the rules that they follow. It returns
// what happened, in words, and everything that was wrong, joined, which names the journal: then it
// is kept. With the defaults a run takes about half a minute. It is for Unix, where processes can be
// frozen.
func TestTokenStoreFleet(what Fleet) (summary string, err error) {
	what.Size, what.Calls, what.Fates = cmp.Or(what.Size, 8), cmp.Or(what.Calls, 2000), cmp.Or(what.Fates, 7)
	f := &fleet{
		suite: newSuite(nil), what: what, srv: New(InMemory(), WithTokenLife(fleetLife, time.Hour)),
		every:  5,
		owners: map[string]string{}, calls: map[string]fleetSeen{}, revoked: map[string]time.Time{},
		procs: map[string]*os.Process{}, killed: map[string]bool{}, usedBy: map[string]map[string]bool{}, reports: map[string][]fleetReport{},
		fates: map[fleetFate]int{}, thawed: map[string]time.Time{},
	}
	all := []fleetFate{killedUnread, frozenUnread, killedSent, killedRead, frozenSent, killedUnread, killedRead}
	for n := range what.Fates {
		f.plan = append(f.plan, all[n%len(all)])
	}
	defer f.srv.Close()
	for _, user := range fleetUsers {
		f.srv.AddUser(user, fleetLogin)
	}
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return "", err
	}
	defer func() {
		if err == nil { // else somebody wants to read the journal
			_ = os.RemoveAll(dir)
		}
	}()
	f.journal, err = os.OpenFile(filepath.Join(dir, "journal"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return "", err
	}
	defer f.journal.Close()
	web := httptest.NewServer(f)
	defer web.Close()

	// Somebody has signed in.
	first, err := authos.New(web.URL, authos.WithUserAgent("test/1"))
	if err != nil {
		return "", err
	}
	defer first.Close()
	ctx := context.Background()
	fresh, err := first.Auth.Login(ctx, authos.LoginParams{Email: fleetUsers[0], Password: fleetLogin})
	if err != nil {
		return "", err
	}
	store, err := what.Open(what.Where)
	if err == nil {
		f.note(runlog.Line{What: runlog.Puts, Pair: runlog.Name(fresh.RefreshToken)})
		err = store.Save(ctx, fresh)
		f.note(runlog.Line{What: runlog.Put, Pair: runlog.Name(fresh.RefreshToken)})
	}
	if err != nil {
		return "", fmt.Errorf("the first tokens: %w", err)
	}

	start := time.Now()
	ended := make(chan struct{})
	var places, trouble sync.WaitGroup
	for place := range what.Size {
		places.Go(func() { f.slot(web.URL, place) })
	}
	var outage [2]time.Time
	trouble.Go(func() { // the store is away for a while
		if what.Away != nil && pauseUntil(ended, 8*time.Second) {
			outage[0] = time.Now()
			what.Away(FleetLockTTL / 3)
			outage[1] = time.Now()
		}
	})
	trouble.Go(func() { // members die at any moment
		for pauseUntil(ended, time.Second+rand.N(2*time.Second)) {
			f.mu.Lock()
			names := make([]string, 0, len(f.procs))
			for name := range f.procs {
				if name != f.victim {
					names = append(names, name)
				}
			}
			f.mu.Unlock()
			if len(names) > 0 {
				f.kill(names[rand.N(len(names))])
			}
		}
	})
	places.Wait()
	close(ended)
	trouble.Wait()
	summary = f.judge(start, outage) + f.replay()
	if err = f.result(); err != nil {
		err = fmt.Errorf("%w\nthe journal is kept: %s", err, f.journal.Name())
	}
	return summary, err
}
