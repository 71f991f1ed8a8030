package authos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
)

// The platform's own command-line tool: whoever signs in as it gets a session that is bound to no
// organization, and must be a platform owner.
const (
	AdminCLIOrgSlug     = "platform"
	AdminCLIServiceSlug = "admin-cli"
	AdminCLIClientID    = "platform-admin-cli"
)

const (
	devicePollPath  = "/auth/token"
	deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"
)

// DeviceCodeParams say who wants to sign in. Each is of letters, digits, - and _.
type DeviceCodeParams struct {
	ClientID    string `json:"client_id"` // the service's, at most 500 bytes
	OrgSlug     string `json:"org"`       // at most 100 bytes
	ServiceSlug string `json:"service"`   // at most 100 bytes
}

// DeviceCode is the beginning of a sign-in on a device (RFC 8628): show the user code and the URI,
// and poll with the device code.
type DeviceCode struct {
	// DeviceCode is the device's own secret. It prints redacted; Reveal gives the text.
	DeviceCode Secret
	// UserCode is what the user types at VerificationURI, such as "WDJB-MJHT".
	UserCode        string
	VerificationURI string
	// ExpiresAt is when both codes end: 15 minutes after the response arrived, unless the server
	// says otherwise.
	ExpiresAt time.Time
	// Interval is how long to wait before each poll: 5 s where the server names none (RFC 8628,
	// section 3.2), and never less than 1 s, whatever it names.
	Interval time.Duration
}

// LogValue implements [slog.LogValuer]; it leaves both codes out.
func (c DeviceCode) LogValue() slog.Value {
	return slog.GroupValue(slog.String("verification_uri", c.VerificationURI), slog.Time("expires_at", c.ExpiresAt))
}

type deviceCodeBody struct {
	DeviceCode      string  `json:"device_code"`
	UserCode        string  `json:"user_code"`
	VerificationURI string  `json:"verification_uri"`
	ExpiresIn       seconds `json:"expires_in"`
	Interval        seconds `json:"interval"`
}

func (b *deviceCodeBody) missing() string {
	switch {
	case b.DeviceCode == "":
		return "device_code"
	case b.UserCode == "":
		return "user_code"
	case b.VerificationURI == "":
		return "verification_uri"
	case b.ExpiresIn <= 0:
		return "expires_in"
	}
	return ""
}

const (
	pollInterval    = 5 * time.Second // where the server names none: RFC 8628, section 3.2
	minPollInterval = time.Second     // RFC 8628 counts in whole seconds
	pollSlowDown    = 5 * time.Second // what being told to slow down adds: RFC 8628, section 3.5
	// The wait after failures in a row, unless twice the interval is longer: with it a server that
	// is down sees two polls of a device in any minute at most.
	pollOutage  = time.Minute
	longestWait = 100 * 365 * 24 * time.Hour
)

// deviceSeconds keeps far below what overflows when two are added up.
func deviceSeconds(n seconds) time.Duration {
	return time.Duration(min(float64(n), longestWait.Seconds()) * float64(time.Second))
}

func (c *checks) deviceClient(clientID, org, service string) {
	c.deviceName("client_id", clientID, 500)
	c.deviceName("org", org, 100)
	c.deviceName("service", service, 100)
}

// deviceName is the server's rule for what a device says of itself.
func (c *checks) deviceName(field, value string, longest int) {
	switch {
	case value == "":
		c.add(field, CodeRequired, "must not be empty")
	case len(value) > longest:
		c.add(field, CodeOutOfRange, fmt.Sprintf("must be at most %d bytes", longest))
	case strings.ContainsFunc(value, func(r rune) bool { return r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r) }):
		c.add(field, CodeInvalidFormat, "must be of letters, digits, - and _")
	}
}

// RequestDeviceCode begins a sign-in on a device that has no browser. [AuthService.DeviceLogin]
// does the whole of it. POST /auth/device/code; public; may be repeated: each makes another code.
//
// A client, organization or service that does not exist, and a service without a device activation
// URI, are 400 BAD_REQUEST.
func (s *AuthService) RequestDeviceCode(ctx context.Context, p DeviceCodeParams, opts ...RequestOption) (*DeviceCode, error) {
	var in checks
	in.deviceClient(p.ClientID, p.OrgSlug, p.ServiceSlug)
	body, err := invoke[deviceCodeBody](ctx, s.c, request{
		method: http.MethodPost, template: "/auth/device/code", body: p, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	code := &DeviceCode{
		DeviceCode: NewSecret(body.DeviceCode), UserCode: body.UserCode, VerificationURI: body.VerificationURI,
		ExpiresAt: time.Now().Add(deviceSeconds(body.ExpiresIn)), Interval: pollInterval,
	}
	if body.Interval > 0 {
		code.Interval = max(deviceSeconds(body.Interval), minPollInterval)
	}
	return code, nil
}

// userCodeAlphabet are the letters and digits of user codes; those that are easily misread are left
// out. Only servers of October 2025 have L among them.
const userCodeAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

// userCode brings what a user has typed into the form that the server takes, eight characters in
// capitals with a dash in the middle, and refuses what can be none.
func (c *checks) userCode(typed string) string {
	code := strings.Map(func(r rune) rune {
		// RFC 8628, section 6.1: they are no part of a code
		if unicode.IsPunct(r) || unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToUpper(r)
	}, typed)
	switch {
	case code == "":
		c.add("user_code", CodeRequired, "must not be empty")
	case len(code) != 8 || strings.Trim(code, userCodeAlphabet) != "":
		c.add("user_code", CodeInvalidFormat, "must be 8 letters and digits, without I, O, 0 and 1")
	default:
		return code[:4] + "-" + code[4:]
	}
	return ""
}

func (c *checks) optionalUserCode(typed string) string {
	if typed == "" {
		return ""
	}
	return c.userCode(typed)
}

// DeviceActivation is what a user code is for, as the page shows it where the code is typed.
type DeviceActivation struct {
	OrgSlug     string `json:"org_slug"`
	ServiceSlug string `json:"service_slug"`
	// AvailableProviders are where the user may sign in, such as github: see
	// [AuthService.LoginURL].
	AvailableProviders []string `json:"available_providers"`
}

func (a *DeviceActivation) missing() string {
	switch {
	case a.OrgSlug == "":
		return "org_slug"
	case a.ServiceSlug == "":
		return "service_slug"
	case a.AvailableProviders == nil:
		return "available_providers"
	}
	return ""
}

// VerifyUserCode tells an activation page what a user code is for. The page then sends the browser
// to [AuthService.LoginURL] with the code, for the platform's own tool to
// [AuthService.AdminLoginURL]; the device has its token when the user has signed in. POST
// /auth/device/verify; public; may be repeated.
//
// Capitals, spaces and dashes do not matter. A code that is wrong, used or expired is 400
// BAD_REQUEST, always the same one.
func (s *AuthService) VerifyUserCode(ctx context.Context, userCode string, opts ...RequestOption) (*DeviceActivation, error) {
	var in checks
	code := in.userCode(userCode)
	in.argument("user_code")
	body := map[string]string{"user_code": code}
	return invoke[DeviceActivation](ctx, s.c, request{
		method: http.MethodPost, template: "/auth/device/verify", body: body, checks: in,
	}, opts)
}

// ExchangeDeviceCodeParams are one poll.
type ExchangeDeviceCodeParams struct {
	// DeviceCode and ClientID are those of [AuthService.RequestDeviceCode].
	DeviceCode Secret
	ClientID   string
	// Resource is an absolute URI that is registered with the service, of another server that the
	// token is for (RFC 8707).
	Resource string
	// Install puts the returned token in use, as [Client.SetTokens] does. Not with Resource: AuthOS
	// itself refuses such a token.
	Install bool
}

// ExchangeDeviceCode asks once whether the user has approved a device, and returns its token if so;
// [AuthService.DeviceLogin] asks at the right times. POST /auth/token; public; never repeated once
// it may have arrived.
//
// There is no refresh token: the session ends with its access token. 400 [CodeDeviceCodePending] is
// a code that has not been approved, or was denied, or has been used already: the server does not
// tell these apart. 400 [CodeDeviceCodeExpired] is one whose time is over; one that does not exist
// 400 BAD_REQUEST; another client's 401 UNAUTHORIZED; 403 FORBIDDEN a user without access, and 404
// NOT_FOUND a service that is gone. Never ask again after a good status: the server gives a token
// out once. When installing the token fails, it is returned together with the error.
func (s *AuthService) ExchangeDeviceCode(ctx context.Context, p ExchangeDeviceCodeParams, opts ...RequestOption) (Tokens, error) {
	var in checks
	in.required("device_code", p.DeviceCode.Reveal())
	in.required("client_id", p.ClientID)
	in.deviceResource(p.Resource, p.Install)
	if err := in.err(opts); err != nil {
		return Tokens{}, err
	}
	tokens, err := s.pollDevice(ctx, p, opts)
	if err == nil && p.Install {
		err = s.c.install(ctx, tokens)
	}
	return tokens, err
}

func (c *checks) deviceResource(resource string, install bool) {
	if resource == "" {
		return
	}
	c.absoluteURI("resource", resource)
	if install {
		c.add("install", CodeInvalidFormat, "is not for a token of another resource: AuthOS itself would refuse it")
	}
}

// pollDevice sends one poll.
func (s *AuthService) pollDevice(ctx context.Context, p ExchangeDeviceCodeParams, opts []RequestOption) (Tokens, error) {
	form := map[string]string{"grant_type": deviceGrantType, "device_code": p.DeviceCode.Reveal(), "client_id": p.ClientID}
	if p.Resource != "" {
		form["resource"] = p.Resource
	}
	body, err := invoke[tokenBody](ctx, s.c, request{
		method: http.MethodPost, template: devicePollPath, body: form,
	}, opts)
	switch {
	case err == nil:
		// never a pre-auth token: the code is pending until the second factor is given, too
		t := body.tokens()
		t.Origin = s.c.fam.origin
		return t, nil
	case responseLost(err):
		return Tokens{}, &deviceError{
			text: "authos: device sign-in: the server accepted the device code, but its response cannot be read; if the token was in it, " +
				"it is lost: begin again",
			err: err,
		}
	}
	return Tokens{}, err
}

// responseLost reports whether a good status came with a body that cannot be read. The code has
// been used then.
func responseLost(err error) bool {
	if ne, ok := errors.AsType[*NetworkError](err); ok {
		return ne.Op == "read body" // of an error its status is response enough
	}
	de, ok := errors.AsType[*DecodeError](err)
	return ok && de.StatusCode/100 == 2
}

// deviceError says what became of a sign-in on a device, besides the error of its last poll.
type deviceError struct {
	text string
	err  error // of the last poll; nil when it is no part of the story
	code Code  // what it comes to; empty when err says that
	callEnd
}

// Error is one line without secrets.
func (e *deviceError) Error() string {
	text := e.text
	if e.err != nil {
		text += ": " + strings.TrimPrefix(e.err.Error(), "authos: ")
	}
	if e.unknown {
		text += "; a response was lost on the way, which may have been the one with the token"
	}
	return text
}

// Format implements [fmt.Formatter]: every verb prints Error.
func (e *deviceError) Format(s fmt.State, _ rune) { formatError(s, e) }

// Unwrap gives the last poll's error and the code.
func (e *deviceError) Unwrap() []error {
	if e.code == "" {
		return e.join(e.err)
	}
	return e.join(e.err, e.code)
}

// Is matches [ErrOutcomeUnknown] when a response was lost.
func (e *deviceError) Is(target error) bool { return target == ErrOutcomeUnknown && e.unknown }

// DeviceLoginParams are a sign-in on a device.
type DeviceLoginParams struct {
	// ClientID, OrgSlug and ServiceSlug are those of [DeviceCodeParams]; for the platform's own
	// tool [AdminCLIClientID], [AdminCLIOrgSlug] and [AdminCLIServiceSlug].
	ClientID, OrgSlug, ServiceSlug string
	// Resource is an absolute URI that is registered with the service, of another server that the
	// token is for (RFC 8707).
	Resource string
	// Install puts the returned token in use, as [Client.SetTokens] does. Not with Resource: AuthOS
	// itself refuses such a token.
	Install bool
}

// DeviceLogin signs in on a device that has no browser, such as a command-line tool (RFC 8628). It
// gets a code, calls show with it once, then polls until the user has approved the code in a
// browser, and returns the token. There is no refresh token: the session ends with its access
// token, and the user signs in again.
//
// show tells the user where to type which code, and returns soon: polling begins after it. An error
// of it ends the sign-in and is returned as it is. opts apply to every request; a [Response] is
// that of the last one.
//
// It waits the server's interval before each poll. A 429 or slow_down makes that longer, by what
// the server asks for and 5 s more (section 3.5). After a 5xx, no response or an open circuit it
// waits twice the interval, then a minute each time: a server that is down sees at most two polls a
// minute. That ends when the code does, with an error that matches [CodeDeviceCodeExpired]: a user
// who denies looks like one who does not come back, since the server does not tell. If a response
// got lost before, which may have been the one with the token, the error matches
// [ErrOutcomeUnknown] too: all there is to do is begin again. Every other response ends it at once
// with that error, as [AuthService.ExchangeDeviceCode] has them; so does ctx, or closing the
// client. It never polls after a good status, even one whose body cannot be read: then the token is
// lost. When installing the token fails, it is returned together with the error.
func (s *AuthService) DeviceLogin(
	ctx context.Context, p DeviceLoginParams, show func(DeviceCode) error, opts ...RequestOption,
) (Tokens, error) {
	var in checks
	in.deviceClient(p.ClientID, p.OrgSlug, p.ServiceSlug)
	in.deviceResource(p.Resource, p.Install)
	if show == nil {
		in.add("show", CodeRequired, "must not be nil")
		in.argument("show")
	}
	if err := in.err(opts); err != nil {
		return Tokens{}, err
	}
	code, err := s.RequestDeviceCode(ctx, DeviceCodeParams{ClientID: p.ClientID, OrgSlug: p.OrgSlug, ServiceSlug: p.ServiceSlug}, opts...)
	if err != nil {
		return Tokens{}, err
	}
	if err := show(*code); err != nil {
		return Tokens{}, err
	}
	poll := ExchangeDeviceCodeParams{DeviceCode: code.DeviceCode, ClientID: p.ClientID, Resource: p.Resource}
	// the waits between polls are decided here, and not those of the gate either
	opts = append(slices.Clip(opts), WithoutRetry())
	wait, pace := code.Interval, devicePace{c: s.c, interval: code.Interval, expires: code.ExpiresAt}
	// Where the policy bounds no attempt, a poll that hangs ends here: soon after the code, but it
	// may be bringing the token.
	bounded, cancel := context.WithDeadlineCause(ctx, code.ExpiresAt.Add(defaultAttemptTimeout), errAttemptTimeout)
	defer cancel()
	for {
		if err := pace.pause(ctx, wait); err != nil {
			return Tokens{}, err
		}
		tokens, err := s.pollDevice(bounded, poll, opts)
		if err == nil {
			if p.Install {
				err = s.c.install(ctx, tokens)
			}
			return tokens, err
		}
		if wait, err = pace.after(ctx, err); err != nil {
			return Tokens{}, err
		}
	}
}

// devicePace decides when a device polls, and when it stops.
type devicePace struct {
	c        *Client
	interval time.Duration // the server's, and what being told to slow down has added
	backoff  time.Duration // the last wait after a failure; zero after a response
	expires  time.Time     // of the code
	polls    int
	unknown  bool      // a response was lost that may have been the one with the token
	failed   error     // why the last poll has told nothing about the code; nil when it has
	last     *APIError // the server's last response to a poll
}

// after says how long to wait after a poll that ended with err, or gives the error that ends the
// sign-in.
func (d *devicePace) after(ctx context.Context, err error) (time.Duration, error) {
	d.polls++
	d.unknown = d.unknown || errors.Is(err, ErrOutcomeUnknown)
	if api, ok := errors.AsType[*APIError](err); ok {
		d.last = api
	}
	limited, isLimited := errors.AsType[*RateLimitError](err)
	switch {
	case errors.Is(err, CodeOAuthSlowDown):
		d.interval += pollSlowDown
		d.backoff, d.failed = 0, nil
		return max(d.interval, min(d.last.RetryAfter, longestWait)), nil
	case errors.Is(err, CodeDeviceCodePending), d.polls == 1 && isNotYetThere(err):
		d.backoff, d.failed = 0, nil
		return d.interval, nil
	case isLimited:
		asked := min(limited.RetryAfter, longestWait)
		// else another call was told to wait, and this one was held back here
		if limited.API != nil {
			d.interval = max(d.interval, asked) + pollSlowDown
		}
		d.backoff, d.failed = 0, err
		return max(d.interval, asked), nil
	case ctx.Err() == nil && passes(err):
		// RFC 8628, section 3.5, has the interval doubled when there is no response. The jitter
		// keeps devices apart that an outage has brought into step.
		if d.backoff > 0 {
			d.backoff = pollOutage
		}
		d.backoff = max(d.backoff, 2*d.interval)
		d.failed = err
		wait := max(d.backoff, min(askedOfRefresh(err), longestWait))
		return wait + spread(nil, wait), nil
	}
	if e, ok := err.(interface{ end() *callEnd }); ok && d.unknown {
		e.end().unknown = true
	}
	return 0, err
}

// isNotYetThere recognizes what a server of October 2025 says to a first poll that comes before it
// has committed the code.
func isNotYetThere(err error) bool {
	e, ok := errors.AsType[*APIError](err)
	return ok && e.Code == CodeBadRequest && e.Message == "Invalid device code"
}

// passes reports whether a failure says nothing about the code and may pass: no response, a 5xx, an
// open circuit.
func passes(err error) bool {
	if ne, ok := errors.AsType[*NetworkError](err); ok {
		return ne.Op != "redirect" && !responseLost(err)
	}
	return errors.Is(err, ErrServer) || errors.Is(err, ErrUnavailable)
}

// pause waits for the next poll. It fails at once when the code, or the caller, has less time than
// that.
func (d *devicePace) pause(ctx context.Context, wait time.Duration) error {
	next := time.Now().Add(wait)
	deadline, limited := ctx.Deadline()
	switch {
	case limited && deadline.Before(d.expires) && !next.Before(deadline):
		return d.ended(context.DeadlineExceeded)
	case next.After(d.expires):
		return d.expired()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return d.ended(contextEnd(ctx))
	case <-d.c.fam.closing.ctx.Done():
		return d.ended(errClosed)
	case <-d.c.ended():
		return d.ended(errClosed)
	}
}

// ended is the error of a sign-in that was ended between two polls.
func (d *devicePace) ended(why error) error {
	return &NetworkError{
		Op: "wait", Method: http.MethodPost, Path: devicePollPath, Err: why, Attempts: d.polls, unsent: true,
		callEnd: callEnd{unknown: d.unknown, last: d.last},
	}
}

// expired is the error of a sign-in for which nobody has approved the code in time. The last poll's
// error is in it when it was none about the code, such as no response.
func (d *devicePace) expired() error {
	text := "authos: device sign-in: the code has expired, nobody has approved it, or it was denied"
	if d.failed != nil {
		text = "authos: device sign-in: the code expires before the server may be asked again"
	}
	return &deviceError{text: text, err: d.failed, code: CodeDeviceCodeExpired, callEnd: callEnd{unknown: d.unknown}}
}
