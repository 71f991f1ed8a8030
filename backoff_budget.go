package authos

import (
	"sync"
	"time"
)

// RetryBudget keeps a sick server from getting every call several times over. Each call earns Ratio
// of a retry, and Reserve more are at hand from the start and come back within a minute, so that a
// lone call can always be retried. A call's first retry costs nothing where the server asked for
// the wait with 429, as it refused the call unread and said when to come back; and none does where
// the connection was lost together with those of others, 160 at a time at most, as such calls fail
// for one reason. While a quarter of the last thirty outcomes or more are 503, a server that cannot
// take more, a 503 is retried once in ten calls at most, whatever was saved up; that needs the
// breaker, which counts the outcomes, and twenty of them (MinRequests).
type RetryBudget struct {
	// Ratio is retries per call. Default 0.2; negative: no budget, every retry is allowed.
	Ratio float64
	// Reserve is how many retries are free. Default 10; negative: none.
	Reserve int
}

// budget is a stock of retries. Calls add to it by ratio; the reserve comes back with time.
type budget struct {
	ratio, reserve float64
	mu             sync.Mutex
	stock          float64
	scarce         float64 // likewise, of what a crowded server gets
	last           time.Time
}

const (
	// calls whose share may be saved up: a burst of failures after a long healthy time can all be
	// retried
	budgetHistory  = 500
	reserveRefills = time.Minute
	// retries per call into a server that refuses many requests since it cannot take more
	crowdedRatio = 0.1
)

func newBudget(b RetryBudget) *budget {
	reserve := float64(max(b.Reserve, 0))
	return &budget{ratio: b.Ratio, reserve: reserve, stock: reserve, last: time.Now()}
}

func (b *budget) earn() {
	b.mu.Lock()
	b.stock = min(b.stock+b.ratio, b.reserve+b.ratio*budgetHistory)
	b.scarce = min(b.scarce+crowdedRatio, 1)
	b.mu.Unlock()
}

// spend takes a retry out. crowded says that it goes to a server that cannot take more.
func (b *budget) spend(crowded bool) bool {
	if b.ratio < 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if refill := b.reserve * float64(now.Sub(b.last)) / float64(reserveRefills); b.stock < b.reserve {
		b.stock = min(b.stock+refill, b.reserve)
	}
	b.last = now
	if b.stock < 1 || crowded && b.scarce < 1 {
		return false
	}
	if crowded {
		b.scarce--
	}
	b.stock--
	return true
}
