package verify

import "context"

// Answers is how many answers of the online check are kept.
func Answers(v *Verifier) int {
	v.asks.mu.Lock()
	defer v.asks.mu.Unlock()
	return len(v.asks.answers)
}

// Ask is the online check alone.
func Ask(ctx context.Context, v *Verifier, token string) error {
	_, err := v.asks.about(ctx, token)
	return err
}
