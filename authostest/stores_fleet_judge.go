//go:build unix

package authostest

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/authos-go/authos/internal/runlog"
	"github.com/authos-go/authos/internal/session/replay"
)

// judge compares what the members told with what the server saw.
func (f *fleet) judge(began time.Time, outage [2]time.Time) (summary string) {
	end := time.Now()
	count := map[string]int{}
	inFlight, warned, again := 0, map[string]int{}, map[string]int{}
	for name, told := range f.reports {
		open := 0
		for _, r := range told {
			count[r.What]++
			switch r.What {
			case "start":
				open++
			case "ok", "lost", "out", "other", "wait", "failed":
				open--
			case "warn":
				warned[r.Text]++
			}
			f.judgeReport(name, r)
			if r.What == "again" {
				again[r.Text]++
			}
			if r.What == "wait" && (r.At.Before(outage[0]) || r.At.After(outage[1].Add(5*time.Second))) {
				f.failf("%s: %q at %v, when the store was there (it was away from %v to %v)", name, r.Text, r.At, outage[0], outage[1])
			}
			if r.What == "failed" {
				f.failf("%s: a call failed with %q, %v after its fate", name, r.Text, r.At.Sub(f.thawed[name]))
			}
		}
		if open > 0 && !f.killed[name] || open > fleetWorkers {
			f.failf("%s: %d calls did not end", name, open)
		}
		inFlight += open
	}
	done := count["ok"] + count["lost"] + count["out"] + count["other"] + count["wait"] + count["failed"]
	if done != f.what.Size*f.what.Calls || count["start"] != done+inFlight {
		f.failf("%d calls began, %d ended and %d died with their process; want %d to end",
			count["start"], done, inFlight, f.what.Size*f.what.Calls)
	}

	families, replays := f.families()
	lost, ended := 0, 0
	for i, fam := range families {
		switch {
		case len(fam.refused) > 0 && (fam.ended.IsZero() || fam.refused[0].at.Before(fam.ended)):
			lost++
			if why := f.reason(fam); why == "" {
				first := fam.refused[0]
				f.failf("session %d was lost, though its tokens had been saved: last refreshed by %s at %v (%s for %s), refused to %s at %v (%s)",
					i, fam.last.by, fam.last.at, runlog.Name(fam.last.refreshed), runlog.Name(fam.last.refresh), first.by, first.at, runlog.Name(first.refresh))
			}
			if at := fam.refused[0].at; i == len(families)-1 && end.Sub(at) > 2*FleetLockTTL {
				f.failf("session %d was lost at %v, and nobody signed in again until %v", i, at, end)
			}
		case !fam.ended.IsZero():
			ended++
		}
	}
	for lost, times := range again {
		if times > 1 && lost != "" {
			f.failf("%s was lost, and %d sign-ins replaced it: the store's lock is not one, or it gave old tokens", lost, times)
		}
	}
	if f.wrong > 0 {
		f.failf("%d calls were sent for two users, or returned another's data", f.wrong)
	}
	if server := f.srv.Replays(); server != replays+f.spent {
		f.failf("the server counted %d replays, the refreshes seen show %d, the sign-outs %d", server, replays, f.spent)
	}
	for name, at := range f.thawed {
		goesOn := func(r fleetReport) bool { return r.What == "ok" && r.At.After(at) }
		if !f.killed[name] && !slices.ContainsFunc(f.reports[name], goesOn) {
			f.failf("%s was frozen until %v, and no call of it succeeded afterwards", name, at)
		}
	}
	for _, z := range f.freezes {
		for _, r := range f.refreshes {
			if f.what.LockStays && r.by != z.of && r.at.After(z.from) && r.at.Before(z.till) {
				f.failf("%s refreshed at %v, while %s was frozen and held the lock", r.by, r.at, z.of)
			}
		}
	}
	if len(f.plan) > 0 {
		f.failf("the test ended before its plan; left: %q", f.plan)
	}
	if f.what.Away != nil && outage[1].IsZero() {
		f.failf("the test ended before the store went away")
	}
	return fmt.Sprintf("%v; %d processes, %d killed; %d calls: %d succeeded, %d named a lost session, %d got a 401, %d named another user, %d were told to wait "+
		"for the store, %d died with their process; %d under a wrong principal\n%d refreshes, %d replays; %d sessions lost, %d signed out "+
		"(%d told so), %d sign-ins\nfates: %v; warnings: %v",
		end.Sub(began).Round(time.Second), len(f.reports), len(f.killed), count["start"], count["ok"], count["lost"], count["out"], count["other"], count["wait"],
		inFlight, f.wrong, len(f.refreshes), replays, lost, ended, count["change"], len(families), f.fates, warned)
}

// judgeReport compares what a member tells of a call with what the server saw of it.
func (f *fleet) judgeReport(name string, r fleetReport) {
	seen := f.calls[r.Call]
	switch {
	case r.What == "ok" && seen.served != r.Text:
		f.wrong++
	case r.What == "out" && seen.refused == 0:
		f.failf("%s: %q, which the server did not say", name, r.Text)
	}
}

// replay judges the journal.
func (f *fleet) replay() (summary string) {
	began := time.Now()
	if _, err := f.journal.Seek(0, io.SeekStart); err != nil {
		f.failf("%v", err)
		return ""
	}
	lines, err := runlog.Read(f.journal)
	if err == nil {
		err = replay.Check(replay.Setup{Expires: !f.what.LockStays, LockLife: FleetLockTTL, Slack: 5 * time.Second}, lines)
	}
	if err != nil {
		f.failf("the journal: %v", err)
	}
	return fmt.Sprintf("\njournal: %d lines, replayed in %v", len(lines), time.Since(began).Round(time.Millisecond))
}

// families sorts the refreshes by session, and counts presentations of tokens that had been used.
func (f *fleet) families() (all []*fleetFamily, replays int) {
	slices.SortFunc(f.signIns, func(a, b fleetSignIn) int { return a.at.Compare(b.at) })
	of := map[string]*fleetFamily{}
	for _, s := range f.signIns {
		fam := &fleetFamily{opened: s, last: fleetRefresh{by: s.by, at: s.at, access: s.access}}
		of[s.refresh] = fam
		all = append(all, fam)
	}
	defer func() {
		for token, at := range f.revoked {
			if fam := of[token]; fam != nil && (fam.ended.IsZero() || at.Before(fam.ended)) {
				fam.ended = at
			}
		}
	}()
	used := map[string]bool{}
	presented := map[string]int{}
	for _, r := range f.refreshes {
		fam := of[r.refresh]
		if fam == nil {
			f.failf("%s presented a refresh token that nobody was given", r.by)
			continue
		}
		if r.fate != goesWell {
			fam.fates = append(fam.fates, r.fate)
		}
		if presented[r.by+r.refresh]++; presented[r.by+r.refresh] > 1 {
			f.failf("%s presented the same refresh token %d times", r.by, presented[r.by+r.refresh])
		}
		if used[r.refresh] {
			replays++
		}
		if r.refreshed == "" {
			fam.refused = append(fam.refused, r)
			continue
		}
		used[r.refresh] = true
		of[r.refreshed] = fam
		fam.last = r
	}
	return all, replays
}

// reason says why a session may have been lost; nothing: it may not.
func (f *fleet) reason(fam *fleetFamily) fleetFate {
	for _, course := range fam.fates {
		if course == killedUnread || !f.what.LockStays && (course == frozenSent || course == frozenUnread) {
			return course
		}
	}
	// The response was there, and its process died before anybody else had the tokens.
	if f.killed[fam.last.by] && f.mine(fam.last.access, fam.last.by) {
		return cmp.Or(fam.last.fate, "killed")
	}
	return ""
}

// mine says that an access token worked for nobody but its first owner.
func (f *fleet) mine(access, owner string) bool {
	for name := range f.usedBy[access] {
		if name != owner {
			return false
		}
	}
	return true
}
