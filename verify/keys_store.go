package verify

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// storedKeys is a key set as it is stored.
type storedKeys struct {
	Version int             `json:"version"`
	Server  string          `json:"server"`
	Fetched int64           `json:"fetched"` // Unix milliseconds
	Keys    json.RawMessage `json:"keys"`    // a JWK Set, as the server published it
}

const storedVersion = 1

const (
	// storeTimeout bounds one use of a store: callers may be waiting, and a store must not become
	// the outage.
	storeTimeout = time.Second
	// unboundedKeep is the time to live that a store gets where KeepKeys has no bound.
	unboundedKeep = 10 * 365 * 24 * time.Hour
	// maxAhead is how far in the future a stored time may be; clocks get corrected.
	maxAhead = 5 * time.Minute
)

func (s keySource) storeKey() string {
	sum := sha256.Sum256([]byte(s.server))
	return "verify/keys/" + hex.EncodeToString(sum[:])
}

func (s keySource) save(ctx context.Context, raw []byte, fetched moment, ttl time.Duration) error {
	record, err := json.Marshal(storedKeys{storedVersion, s.server, fetched.wall.UnixMilli(), raw})
	if err != nil {
		return fmt.Errorf("writing the key set: %w", err)
	}
	_, err = guarded(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.store.Set(ctx, s.storeKey(), record, ttl)
	})
	return err
}

// keyring is a set of keys and when the server published it.
type keyring struct {
	keys    map[string]*rsa.PublicKey
	fetched time.Time
}

// load gives the stored keys; no keys and no error where nothing is stored.
func (s keySource) load(ctx context.Context) (keyring, error) {
	value, err := guarded(ctx, func(ctx context.Context) ([]byte, error) {
		value, _, err := s.store.Get(ctx, s.storeKey())
		return value, err
	})
	if err != nil || len(value) == 0 {
		return keyring{}, err
	}
	var record storedKeys
	if err := json.Unmarshal(value, &record); err != nil || record.Version != storedVersion {
		return keyring{}, errors.New("what is stored is not a key set of this package")
	}
	if record.Server != s.server {
		return keyring{}, errors.New("the stored key set belongs to another server")
	}
	keys, err := readKeys(record.Keys)
	return keyring{keys, time.UnixMilli(record.Fetched)}, err
}

// load takes over what an earlier process has stored.
func (s *keySet) load(ctx context.Context, land func()) {
	stored, err := s.source.load(ctx)
	now := s.clock()
	if err == nil && stored.fetched.Sub(now.wall) > maxAhead {
		err = errors.New("the stored key set is dated in the future")
	}
	if err != nil {
		s.log.WarnContext(ctx, "verify: cannot use the stored keys", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer land()
	s.loaded = true
	if err == nil && stored.keys != nil {
		s.keys, s.fetched, s.restored = stored.keys, at(stored.fetched, now), true
	}
}

// save stores a key set, unless a newer one has arrived meanwhile. One is stored at a time, so that
// a slow store does not end up with the older of two.
func (s *keySet) save(ctx context.Context, raw []byte, fetched moment) {
	select {
	case s.saving <- struct{}{}:
		defer func() { <-s.saving }()
	case <-ctx.Done():
		return // the next fetch stores its keys
	}
	s.mu.Lock()
	newest := s.fetched == fetched
	s.mu.Unlock()
	if !newest {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ttl := s.keep
	if ttl < 0 {
		ttl = unboundedKeep
	}
	if err := s.source.save(ctx, raw, fetched, ttl); err != nil {
		s.log.WarnContext(ctx, "verify: cannot store the server's keys", "error", err)
	}
}
