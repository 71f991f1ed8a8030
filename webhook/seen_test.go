package webhook_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos/webhook"
)

func isSeen(t *testing.T, m *webhook.MemorySeen, id string) bool {
	t.Helper()
	seen, err := m.Seen(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// remembered lists those of the ids that were seen.
func remembered(t *testing.T, m *webhook.MemorySeen, ids ...string) string {
	t.Helper()
	return strings.Join(slices.DeleteFunc(ids, func(id string) bool { return !isSeen(t, m, id) }), " ")
}

func recordID(t *testing.T, m *webhook.MemorySeen, id string, ttl time.Duration) {
	t.Helper()
	if err := m.Record(t.Context(), id, ttl); err != nil {
		t.Fatal(err)
	}
}

func TestMemorySeenForgetsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m webhook.MemorySeen
		if isSeen(t, &m, "a") {
			t.Error("seen before it was recorded")
		}
		recordID(t, &m, "a", time.Hour)
		recordID(t, &m, "b", time.Minute)
		time.Sleep(time.Minute)
		if !isSeen(t, &m, "a") || !isSeen(t, &m, "b") {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if !isSeen(t, &m, "a") || isSeen(t, &m, "b") {
			t.Error("b should be forgotten after its minute, and a remembered")
		}
		time.Sleep(30 * time.Minute)
		recordID(t, &m, "a", time.Hour) // again
		time.Sleep(time.Hour)
		if !isSeen(t, &m, "a") {
			t.Error("recording again did not extend the time")
		}
		recordID(t, &m, "c", -time.Second)
		if isSeen(t, &m, "c") {
			t.Error("c was over when it was recorded")
		}
		var empty webhook.MemorySeen
		recordID(t, &empty, "c", -time.Second)
		if isSeen(t, &empty, "c") {
			t.Error("c was over when it was recorded, as the only one")
		}
	})
}

func TestMemorySeenIsBounded(t *testing.T) {
	m := webhook.MemorySeen{MaxEntries: 3}
	for i := range 4 {
		recordID(t, &m, strconv.Itoa(i), time.Hour)
		recordID(t, &m, "1", time.Hour) // known ones take no room
	}
	if got := remembered(t, &m, "0", "1", "2", "3"); got != "1 2 3" {
		t.Errorf("remembered: %s, want all but the oldest", got)
	}

	again := webhook.MemorySeen{MaxEntries: 2}
	for _, id := range []string{"a", "b", "a", "c"} {
		recordID(t, &again, id, time.Hour)
	}
	if got := remembered(t, &again, "a", "b", "c"); got != "a c" {
		t.Errorf("remembered: %s, want the two recorded last", got)
	}

	var standard webhook.MemorySeen
	for i := range 100_001 {
		recordID(t, &standard, strconv.Itoa(i), time.Hour)
	}
	if isSeen(t, &standard, "0") || !isSeen(t, &standard, "1") {
		t.Error("the standard bound is not 100,000")
	}
}

// A memory that the program gives is the only one, so that its bound holds.
func TestHandlerKeepsToTheGivenMemory(t *testing.T) {
	p := &program{}
	h := webhook.Verifier{Secrets: webhook.Secrets{testSecret}, Seen: &webhook.MemorySeen{MaxEntries: 1}}.Handler(p.handle)
	for _, body := range []string{testBody, testBody + " ", testBody} {
		wantResponse(t, deliver(t.Context(), h, body), 200, "handled")
	}
	p.wantCalls(t, 3)
}

func TestMemorySeenConcurrently(t *testing.T) {
	m := webhook.MemorySeen{MaxEntries: 50}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				id := strconv.Itoa(g*1000 + i%100)
				_ = m.Record(t.Context(), id, time.Hour)
				_, _ = m.Seen(t.Context(), id)
			}
		})
	}
	wg.Wait()
}

func BenchmarkMemorySeen(b *testing.B) {
	b.ReportAllocs()
	m := webhook.MemorySeen{MaxEntries: 1 << 30}
	i := 0
	for b.Loop() {
		i++
		_ = m.Record(b.Context(), fmt.Sprintf("%064d", i), time.Hour)
	}
}
