package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authos-go/authos"
	"github.com/go-jose/go-jose/v4"
)

// Config is how a [Verifier] decides. Only Audience is required; the zero value of every other
// field is its default.
type Config struct {
	// Audience is whom tokens must be meant for. There is no default: every token of every tenant
	// has the same issuer and keys.
	Audience Audience
	// Issuer is the iss claim: the server's own BASE_URL without a trailing slash. Default: the
	// base URL given to [New]. Set it where this program reaches the server under another name than
	// browsers do.
	Issuer string
	// AllowImpersonation accepts sessions that a platform owner has opened in somebody else's name.
	// [Claims.Actor] then says who it is. The session's organization must be that of an accepted
	// audience, and its service, where it has one, that of the audience.
	AllowImpersonation bool
	// AllowLegacy accepts tokens that do not declare their use (typ "JWT", no token_use), as
	// servers did from October 2025 until token_use came. The oldest have no iss, aud and jti
	// either; those that are there must be right, and org and service must name an accepted
	// audience in any case. Such a token cannot be told from one that was made for another use, so
	// allow it only while such a server is in use.
	AllowLegacy bool
	// Online asks the server about each token besides. Nil: tokens are checked here alone, and a
	// sign-out is noticed when the token expires (after 24 hours by default).
	Online *Online

	// ClockTolerance is how far the clocks may differ, for exp, iat and nbf. Default 60 s, as in
	// the server; negative: none; at most 5 min.
	ClockTolerance time.Duration
	// KeyTTL is how old the keys may be before they are fetched anew, in the background. Default 1
	// h, between 1 min and 24 h.
	KeyTTL time.Duration
	// KeepKeys is how old the keys may be at all while the server cannot be reached. Default 24 h,
	// the life of the server's tokens, at least KeyTTL; negative: no bound. A key that was
	// withdrawn because it leaked is trusted no longer than this by a program that is cut off from
	// the server.
	KeepKeys time.Duration
	// FetchTimeout bounds one fetch of the keys, its retries included. Default 10 s, between 1 s
	// and 1 min. Only tokens whose key is not at hand wait for it.
	FetchTimeout time.Duration

	// KeyStore keeps the server's keys across restarts, so that a program that starts while the
	// server is down verifies tokens with the keys that an earlier one has fetched, within
	// KeepKeys. Any [authos.CacheStore] will do, also one that is shared. Who can write to it can
	// plant keys of his own, and so be anybody: use a store that encrypts with a key, or guard it
	// as you guard a secret. Nil: a restart forgets the keys.
	KeyStore authos.CacheStore
	// Revocations says how tokens are remembered that [Verifier.Revoke] and [Verifier.HandleEvent]
	// end.
	Revocations Revocations

	// Client fetches the keys and asks the server. Default: a client of the verifier's own, made
	// with ClientOptions and closed by [Verifier.Close], whose attempts take at most 3 s. A client
	// of yours must be one of the server at the base URL; its own tokens are not used.
	Client        *authos.Client
	ClientOptions []authos.Option

	// Preflight makes the handler that gets CORS preflights (OPTIONS with Origin and
	// Access-Control-Request-Method and without Authorization: browsers never send a token with
	// one) from the handler behind the middleware. By default a preflight gets 204 without CORS
	// fields and reaches no handler, so that a proxy or a CORS handler in front can add them;
	// without them the browser stays with its refusal. A CORS library's wrapper fits here. To let
	// preflights through, return next; it must then act on nothing but the method, since nobody is
	// authenticated.
	Preflight func(next http.Handler) http.Handler
	// Logger gets warnings of keys that cannot be fetched and stores that fail. It never sees a
	// token. Nil: silent.
	Logger *slog.Logger
	// OnError writes the response to a request that the middleware refuses. Default: [WriteError].
	// Set it to log the reason, or to respond in your own format.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

const (
	defaultTolerance = 60 * time.Second
	maxTolerance     = 5 * time.Minute
	defaultKeyTTL    = time.Hour
	defaultKeepKeys  = 24 * time.Hour
	defaultFetch     = 10 * time.Second
	attemptTimeout   = 3 * time.Second

	// maxToken bounds a token in bytes. The server's own have less than one KiB, and net/http takes
	// headers of up to 1 MiB.
	maxToken = 16 << 10
)

// Verifier checks the tokens of one AuthOS server. It is safe for concurrent use; make one and keep
// it.
type Verifier struct {
	cfg     Config
	keys    *keySet
	asks    *asker
	revoked *revocations
	work    *background
	own     *authos.Client // to be closed with the verifier; nil when the caller brought one
}

// New makes a verifier of tokens of the AuthOS server at baseURL. It checks everything and sends
// nothing: the keys are fetched when the first token comes.
func New(baseURL string, cfg Config) (*Verifier, error) {
	server := canonicalURL(baseURL)
	cfg.Issuer = cmp.Or(strings.TrimRight(cfg.Issuer, "/"), server)
	cfg, err := cfg.withDefaults()
	client, own := cfg.Client, (*authos.Client)(nil)
	if client == nil {
		// A short attempt leaves time for another one within FetchTimeout.
		options := append([]authos.Option{authos.WithRetry(authos.RetryPolicy{AttemptTimeout: attemptTimeout})}, cfg.ClientOptions...)
		var newErr error
		own, newErr = authos.New(baseURL, options...)
		client, err = own, errors.Join(err, newErr)
	}
	if err != nil {
		return nil, err
	}
	work := newBackground()
	return &Verifier{
		cfg: cfg, work: work, own: own,
		keys: newKeySet(client, work, cfg, server),
		asks: newAsker(client, work, cfg.Online), revoked: newRevocations(work, cfg),
	}, nil
}

func (c Config) withDefaults() (Config, error) {
	errs := []error{c.Audience.check()}
	if u, err := url.Parse(c.Issuer); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		errs = append(errs, errors.New("verify: Issuer: must be an http or https URL without credentials"))
	}
	bounded := func(name string, d *time.Duration, standard, least, most time.Duration) {
		if *d == 0 {
			*d = standard
		}
		if *d < least || *d > most {
			errs = append(errs, fmt.Errorf("verify: %s: must be between %s and %s", name, least, most))
		}
	}
	if c.ClockTolerance < 0 {
		c.ClockTolerance = 0
	} else {
		bounded("ClockTolerance", &c.ClockTolerance, defaultTolerance, 0, maxTolerance)
	}
	bounded("KeyTTL", &c.KeyTTL, defaultKeyTTL, time.Minute, 24*time.Hour)
	bounded("FetchTimeout", &c.FetchTimeout, defaultFetch, time.Second, time.Minute)
	c.KeepKeys = cmp.Or(c.KeepKeys, defaultKeepKeys)
	if c.KeepKeys >= 0 && c.KeepKeys < c.KeyTTL {
		errs = append(errs, errors.New("verify: KeepKeys: must be at least KeyTTL, or negative for no bound"))
	}
	if c.Client != nil && c.ClientOptions != nil {
		errs = append(errs, errors.New("verify: ClientOptions: are for a client of the verifier's own, and Client is given"))
	}
	if c.Online != nil {
		online := *c.Online
		c.Online = &online
		bounded("Online.For", &online.For, defaultOnlineFor, time.Second, time.Minute)
		bounded("Online.Timeout", &online.Timeout, defaultOnlineTimeout, time.Second, time.Minute)
		if len(c.Audience.resources) > 0 {
			errs = append(errs, errors.New("verify: Online: the server refuses resource tokens at its own API, so they cannot be checked "+
				"there: use a verifier of its own for ResourceAudience"))
		}
	}
	bounded("Revocations.Keep", &c.Revocations.Keep, defaultRevocationKeep, time.Minute, maxRevocationKeep)
	if c.Revocations.FailClosed && c.Revocations.Store == nil {
		errs = append(errs, errors.New("verify: Revocations.FailClosed: is about Store, and there is none"))
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnError == nil {
		c.OnError = func(w http.ResponseWriter, _ *http.Request, err error) { WriteError(w, err) }
	}
	return c, errors.Join(errs...)
}

// Verify checks a token, which is the Authorization field's value without "Bearer ", and returns
// what it says.
//
// The signature is checked before anything in the token is believed: only RS256, only with one of
// the server's keys, chosen by kid; whatever else the header says about keys is never followed.
// Then use, issuer, completeness, audience and clock, and last, with [Config.Online], the server.
//
// The error is an [*Error]: of [ErrInvalidToken], or, when keys or server cannot be reached, of
// [ErrUnavailable]. ctx bounds the waiting for keys and for the online check; a token whose key is
// at hand waits for neither.
func (v *Verifier) Verify(ctx context.Context, token string) (Claims, error) {
	c, err := v.local(ctx, token)
	if err != nil {
		return Claims{}, err
	}
	revoked, named, err := v.revoked.named(ctx, c)
	switch {
	case err != nil:
		return Claims{}, err
	case v.cfg.Online != nil:
		return v.ask(ctx, token, c, revoked.learned, v.cfg.Online.FailOpen && !named)
	case named:
		return Claims{}, refuse(ErrRevoked, "issued before its user's tokens were ended")
	}
	return c, nil
}

// local is what the token and the keys alone say.
func (v *Verifier) local(ctx context.Context, token string) (Claims, error) {
	jws, header, err := parse(token)
	if err != nil {
		return Claims{}, err
	}
	if header.KeyID == "" {
		return Claims{}, refuse(ErrUnknownKey, "the token names none")
	}
	raw, key, err := v.signature(ctx, jws, header.KeyID)
	if err != nil {
		return Claims{}, err
	}
	p, err := decode(raw)
	if err != nil {
		return Claims{}, err
	}
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	c, err := v.claims(typ, p, time.Now())
	c.KeysFetchedAt, c.StaleKeys = key.fetched, key.stale
	return c, err
}

// signature checks a token's signature and gives the payload. Where it does not match, the server
// may have a new key under the old id.
func (v *Verifier) signature(ctx context.Context, jws *jose.JSONWebSignature, kid string) ([]byte, foundKey, error) {
	key, err := v.keys.find(ctx, kid)
	if err != nil {
		return nil, foundKey{}, err
	}
	raw, err := jws.Verify(key.rsa)
	if err == nil {
		return raw, key, nil
	}
	key, err = v.keys.replacement(ctx, kid, key.rsa, issuedAt(jws.UnsafePayloadWithoutVerification()))
	if err != nil {
		return nil, foundKey{}, err
	}
	if key.rsa != nil {
		if raw, err = jws.Verify(key.rsa); err == nil {
			return raw, key, nil
		}
	}
	return nil, foundKey{}, &Error{Reason: ErrSignature}
}

// issuedAt is what a payload says of its age, of which nothing is proven; zero where it says
// nothing. It only chooses between two ways to refuse the token.
func issuedAt(payload []byte) time.Time {
	p, err := decode(payload)
	if err != nil || p.IssuedAt == nil {
		return time.Time{}
	}
	return time.Unix(*p.IssuedAt, 0)
}

var onlyRS256 = []jose.SignatureAlgorithm{jose.RS256}

// parse takes a token apart. Nothing in it is to be believed yet. No text of go-jose's errors is
// passed on: they quote the token.
func parse(token string) (*jose.JSONWebSignature, *jose.Header, error) {
	if len(token) > maxToken {
		return nil, nil, refuse(ErrMalformed, "longer than %d bytes", maxToken)
	}
	if !canonical(token) {
		return nil, nil, refuse(ErrMalformed, "not three parts of base64url")
	}
	jws, err := jose.ParseSignedCompact(token, onlyRS256)
	if err != nil {
		if _, wrong := errors.AsType[*jose.ErrUnexpectedSignatureAlgorithm](err); wrong {
			return nil, nil, refuse(ErrAlgorithm, "only RS256 is accepted")
		}
		return nil, nil, refuse(ErrMalformed, "the header is not a JOSE header")
	}
	header := &jws.Signatures[0].Header
	// AuthOS sends none of these. A key in the token proves nothing, and "crit" demands that what
	// it lists is understood (RFC 7515, section 4.1.11); go-jose would understand b64.
	if header.JSONWebKey != nil {
		return nil, nil, refuse(ErrMalformed, "brings its own key")
	}
	for _, name := range []jose.HeaderKey{"crit", "b64", "jku", "x5u"} {
		if _, has := header.ExtraHeaders[name]; has {
			return nil, nil, refuse(ErrMalformed, "has the header %s", name)
		}
	}
	return jws, header, nil
}

// canonical reports whether a token is three parts in the one spelling that base64url has for their
// bytes (RFC 4648, section 3.5), the last of which may be empty. Go's decoder skips line breaks and
// ignores unused bits, and go-jose encodes anew what it verifies, so that without this a token
// would have many spellings that are all accepted.
func canonical(token string) bool {
	parts := 0
	for part := range strings.SplitSeq(token, ".") {
		parts++
		if part == "" && parts < 3 || len(part)%4 == 1 {
			return false
		}
		var last byte
		for i := range len(part) {
			value, ok := sextet(part[i])
			if !ok {
				return false
			}
			last = value
		}
		if last&unusedBits[len(part)%4] != 0 {
			return false
		}
	}
	return parts == 3
}

// unusedBits masks the bits of a part's last character that stand for no byte, by the part's length
// modulo 4.
var unusedBits = [4]byte{2: 0x0f, 3: 0x03}

func sextet(c byte) (byte, bool) {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A', true
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26, true
	case '0' <= c && c <= '9':
		return c - '0' + 52, true
	case c == '-':
		return 62, true
	case c == '_':
		return 63, true
	default:
		return 0, false
	}
}

// Close ends the verifier: fetches that are under way are given up, and the verifier's own client
// is closed. Nothing of it runs afterwards. Tokens whose key is at hand are still checked, but no
// new keys come and the online check gives [ErrCheckUnavailable]. It always returns nil, so that it
// can be deferred.
func (v *Verifier) Close() error {
	v.work.close()
	if v.own != nil {
		return v.own.Close()
	}
	return nil
}
