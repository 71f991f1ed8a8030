package authos

import (
	"sync"
	"time"
)

// budget is a token bucket of retries. Calls fill it by ratio; the reserve fills by time.
type budget struct {
	ratio, reserve float64
	mu             sync.Mutex
	tokens         float64
	last           time.Time
}

const (
	// calls whose share may be saved up: a burst of failures after a long healthy time can all be
	// retried
	budgetHistory  = 500
	reserveRefills = time.Minute
)

func newBudget(b RetryBudget) *budget {
	reserve := float64(max(b.Reserve, 0))
	return &budget{ratio: b.Ratio, reserve: reserve, tokens: reserve, last: time.Now()}
}

func (b *budget) earn() {
	if b.ratio < 0 {
		return
	}
	b.mu.Lock()
	b.tokens = min(b.tokens+b.ratio, b.reserve+b.ratio*budgetHistory)
	b.mu.Unlock()
}

func (b *budget) spend() bool {
	if b.ratio < 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if refill := b.reserve * float64(now.Sub(b.last)) / float64(reserveRefills); b.tokens < b.reserve {
		b.tokens = min(b.tokens+refill, b.reserve)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
