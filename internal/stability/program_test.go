//go:build unix

package stability_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/filestore"
	"github.com/authos-go/authos/pgstore"
	"github.com/authos-go/authos/redisstore"
	"github.com/authos-go/authos/verify"
)

// The program that the test starts: a web backend that reads for its users, keeps their sessions
// and responses in a store, and checks tokens.

var began = time.Now() // when the process began, about

// job is what the test tells the program.
type job struct {
	URL, Issuer string     // of the server, and of its tokens
	Kind, Where string     // of the store: a folder, an address or a database's URL
	Phase       string     // "first": until it is killed; "outage"; "after"
	Users       []signedIn // whose sessions the store has, after the first phase
	Paths       []string   // what each of them reads
	Strange     string     // a token whose key is not known
	Attempts    int        // RetryPolicy.MaxAttempts
}

type signedIn struct{ Name, Access, Refresh string }

// outcome is what the program tells the test.
type outcome struct {
	Good, Stale, Fresh, Wrong int
	Errors                    []string
	// the first good response after the process's begin, the slowest one
	First, Slowest time.Duration
	// tokens that verify accepted, and of those with stored keys
	Checked, CheckedStale int
	Unknown               bool   // a token with an unknown key is told to come back
	SignIn                string // what a new sign-in got, for its user
	SignInUnavailable     bool   // and that it may work later
	SignInTook            time.Duration
}

var key = sha256.Sum256([]byte("a key for this test"))

// stores opens what the program keeps, and the session of a user.
func stores(ctx context.Context, kind, where string) (authos.CacheStore, func(name string) (authos.TokenStore, error), error) {
	switch kind {
	case "files":
		cache, err := filestore.NewCache(filepath.Join(where, "cache"), key[:])
		return cache, func(name string) (authos.TokenStore, error) {
			return filestore.New(filepath.Join(where, "sessions", name, "tokens.json"))
		}, err
	case "Redis":
		rdb := redis.NewClient(&redis.Options{Addr: where})
		cache, err := redisstore.NewCacheStore(rdb, "responses", redisstore.CacheOptions{Key: key[:]})
		return cache, func(name string) (authos.TokenStore, error) {
			return redisstore.NewTokenStore(rdb, name, redisstore.TokenOptions{Key: key[:]})
		}, err
	default:
		pool, err := pgxpool.New(ctx, where)
		if err != nil {
			return nil, nil, err
		}
		if err := pgstore.Migrate(ctx, pool); err != nil {
			return nil, nil, err
		}
		cache, err := pgstore.NewCacheStore(pool, "responses", pgstore.CacheOptions{Key: key[:]})
		return cache, func(name string) (authos.TokenStore, error) {
			return pgstore.NewTokenStore(pool, name, pgstore.TokenOptions{Key: key[:]})
		}, err
	}
}

// program is the process's main.
func program(text string) error {
	ctx := context.Background()
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	cache, session, err := stores(ctx, j.Kind, j.Where)
	if err != nil {
		return err
	}
	base, err := authos.New(j.URL, authos.WithCache(authos.CachePolicy{Store: cache}), authos.WithRetry(authos.RetryPolicy{MaxAttempts: j.Attempts}))
	if err != nil {
		return err
	}
	verifier, err := verify.New(j.URL, verify.Config{Issuer: j.Issuer, Audience: verify.AnyAudience(), KeyStore: cache})
	if err != nil {
		return err
	}
	p := process{job: j, base: base, verifier: verifier, clients: map[string]*authos.Client{}}
	for _, user := range j.Users {
		store, err := session(user.Name)
		if err != nil {
			return err
		}
		if p.clients[user.Name], err = base.With(authos.WithTokenStore(store)); err != nil {
			return err
		}
	}
	if j.Phase == "first" {
		err = p.signIn(ctx)
	}
	if err == nil {
		err = p.work(ctx)
	}
	return err
}

type process struct {
	job

	base     *authos.Client
	verifier *verify.Verifier
	clients  map[string]*authos.Client
	out      outcome
}

func (p *process) signIn(ctx context.Context) error {
	for _, user := range p.Users {
		t := authos.Tokens{AccessToken: user.Access, RefreshToken: user.Refresh}
		if err := p.clients[user.Name].SetTokens(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// work reads and checks everything once, tells what came of it, and goes on until it is killed.
func (p *process) work(ctx context.Context) error {
	p.round(ctx)
	if p.Phase == "outage" {
		p.outage(ctx)
	}
	w := bufio.NewWriter(os.Stdout)
	if err := errors.Join(json.NewEncoder(w).Encode(p.out), w.Flush()); err != nil {
		return err
	}
	for p.Phase == "first" { // it is killed while it writes
		p.round(ctx)
	}
	return nil
}

func (p *process) round(ctx context.Context) {
	for _, user := range p.Users {
		for _, path := range p.Paths {
			p.read(ctx, user.Name, path)
		}
		claims, err := p.verifier.Verify(ctx, user.Access)
		if err != nil {
			p.failed(err)
			continue
		}
		p.out.Checked++
		if claims.StaleKeys {
			p.out.CheckedStale++
		}
	}
}

func (p *process) read(ctx context.Context, name, path string) {
	var r authos.Response
	var got json.RawMessage
	start := time.Now()
	err := p.clients[name].Do(ctx, "GET", path, nil, &got, authos.WithResponse(&r))
	if err != nil {
		p.failed(err)
		return
	}
	if p.out.Good++; p.out.Good == 1 {
		p.out.First = time.Since(began)
	}
	p.out.Slowest = max(p.out.Slowest, time.Since(start))
	if r.Stale {
		p.out.Stale++
	} else {
		p.out.Fresh++
	}
	var user struct{ Email string }
	if path == "/api/user" && (json.Unmarshal(got, &user) != nil || user.Email != name) {
		p.out.Wrong++
	}
}

func (p *process) failed(err error) {
	if len(p.out.Errors) < 5 {
		p.out.Errors = append(p.out.Errors, err.Error())
	}
}

// outage tries what cannot work without the server.
func (p *process) outage(ctx context.Context) {
	_, err := p.verifier.Verify(ctx, p.Strange)
	p.out.Unknown = errors.Is(err, verify.ErrKeysUnavailable)
	start := time.Now()
	_, err = p.base.Auth.Login(ctx, authos.LoginParams{Email: "eve@example.com", Password: "battery staple"})
	p.out.SignInTook = time.Since(start)
	p.out.SignInUnavailable = errors.Is(err, authos.ErrUnavailable) && authos.Retryable(err)
	p.out.SignIn = authos.UserMessage(err, "en")
}
