package authos

import "context"

// TokenStoreAcquirer is a [LockingTokenStore] that tells more about its lock. The client uses
// Acquire in place of Lock where a store has it.
//
// Acquire waits for the lock as Lock does. clean reports whether the last holder released it: one
// that died, or whose lock ran out, may have spent the stored refresh token without saving what it
// got for it. release(true) is Lock's unlock. release(false) gives the lock up as the death of its
// holder does, because something that was sent under it may still be at work: the next holder gets
// it no sooner than 45 s after this one did, and is told. Only the first call of release counts.
//
// A store whose lock would be given away although new tokens cannot be saved, as on a full disk,
// fails instead, so that no refresh token is spent.
//
// A store that can tell that it went back (restored, or failed over to a copy that lagged) lets
// Load fail with an error that has a method Behind() bool, which returns true; under the lock, it
// gives what is there together with the error. A client that holds newer tokens does not present
// what is there, and puts its own back.
type TokenStoreAcquirer interface {
	LockingTokenStore
	Acquire(ctx context.Context) (release func(clean bool), clean bool, err error)
}
