package authos_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// The device flow by the bubble's clock: what a scripted server responds to each poll, and when the
// polls come.

const (
	auDevice = "device-code-1"
	auToken  = `{"access_token":"device-token","token_type":"Bearer","expires_in":86400}`
)

var auFlow = authos.DeviceLoginParams{ClientID: auApp, OrgSlug: "acme", ServiceSlug: "app"}

// auCodeStep is the server's response to a request for a code.
func auCodeStep(expiresIn, interval float64) rtStep {
	return rtStep{status: 200, body: fmt.Sprintf(
		`{"device_code":%q,"user_code":"ABCD-EFGH","verification_uri":"https://app.acme.example/activate","expires_in":%g,"interval":%g}`,
		auDevice, expiresIn, interval)}
}

func auPending() rtStep { return rtAPI(400, "DEVICE_CODE_PENDING") }
func auGranted() rtStep { return rtStep{status: 200, body: auToken} }

// auLimited is the limiter's 429, which has no content type and names whole seconds, cut off.
func auLimited(seconds string) rtStep {
	return rtStep{status: 429, header: rtHeader("X-Ratelimit-After", seconds), body: "Too Many Requests! Wait for " + seconds + "s"}
}

func auInvalid(text string) rtStep {
	return rtStep{status: 400, body: fmt.Sprintf(`{"error":%q,"error_code":"BAD_REQUEST","timestamp":"2026-05-20T12:00:00+00:00"}`, text)}
}

func auBody(req *http.Request) string {
	if req.Body == nil {
		return ""
	}
	data, _ := io.ReadAll(req.Body)
	_ = req.Body.Close()
	return string(data)
}

func auShow(authos.DeviceCode) error { return nil }

// auEnd is how a flow ended.
type auEnd struct {
	tokens authos.Tokens
	err    error
	took   time.Duration
	polls  []float64 // when each came, in seconds from the response with the code
}

// auRun runs a flow against a script whose first response is the code, and waits to see that
// nothing is sent afterwards.
func auRun(t *testing.T, rt *rtScript, opts ...authos.Option) auEnd {
	t.Helper()
	c, start := rtClient(t, rt, opts...), time.Now()
	var end auEnd
	end.tokens, end.err = c.Auth.DeviceLogin(t.Context(), auFlow, auShow)
	end.took = time.Since(start)
	sent := rt.count()
	time.Sleep(24 * time.Hour)
	stWant(t, "requests after the end", rt.count()-sent, 0)
	for _, r := range rt.requests() {
		if strings.HasSuffix(r.url, "/auth/token") {
			end.polls = append(end.polls, r.at.Sub(start).Seconds())
		}
	}
	stWant(t, "requests for a code", sent-len(end.polls), 1)
	return end
}

// auAt compares times. Where an outage may have brought devices into step the client adds at most a
// tenth, two seconds at most.
func auAt(t *testing.T, got, want []float64, jitter float64) {
	t.Helper()
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = got[i] >= want[i] && got[i] <= want[i]+jitter
	}
	if !same {
		t.Errorf("polls at %v, want %v (and up to %v later)", got, want, jitter)
	}
}

// Every row of the table of responses to a poll that ends the flow.
func TestDeviceLoginEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		poll rtStep
		want []error
		code authos.Code
	}{
		{"expired", rtAPI(400, "DEVICE_CODE_EXPIRED"), []error{authos.CodeDeviceCodeExpired, authos.ErrInvalid}, "DEVICE_CODE_EXPIRED"},
		{"unknown code", auInvalid("Invalid device code"), []error{authos.ErrInvalid}, "BAD_REQUEST"},
		{"wrong grant type", auInvalid("Invalid grant type"), []error{authos.ErrInvalid}, "BAD_REQUEST"},
		{"another client", rtAPI(401, "UNAUTHORIZED"), []error{authos.ErrUnauthenticated}, "UNAUTHORIZED"},
		{"access lost", rtAPI(403, "FORBIDDEN"), []error{authos.ErrForbidden}, "FORBIDDEN"},
		{"service gone", rtAPI(404, "NOT_FOUND"), []error{authos.ErrNotFound}, "NOT_FOUND"},
		{"route gone", rtEmpty(404), []error{authos.ErrNotFound, authos.CodeRouteNotFound}, "ROUTE_NOT_FOUND"},
		{"framework's 422", rtStep{status: 422, body: "Failed to deserialize"}, []error{authos.ErrInvalid}, "VALIDATION_ERROR"},
		{"framework's 415", rtStep{status: 415, body: "Expected request with"}, []error{authos.ErrInvalid}, "UNSUPPORTED_MEDIA_TYPE"},
		{"documented, nested", rtStep{status: 400, body: `{"error":{"code":"DEVICE_CODE_EXPIRED","message":"expired"}}`}, []error{authos.CodeDeviceCodeExpired}, "DEVICE_CODE_EXPIRED"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				end := auRun(t, rtSteps(auCodeStep(900, 5), auPending(), tc.poll))
				auAt(t, end.polls, []float64{5, 10}, 0)
				auErrors(t, "DeviceLogin", end.err, tc.want, []error{authos.CodeDeviceCodePending, authos.ErrOutcomeUnknown, authos.ErrSessionExpired})
				if e, ok := errors.AsType[*authos.APIError](end.err); !ok || e.Code != tc.code {
					t.Errorf("error = %v, want the server's own with code %s", end.err, tc.code)
				}
				stWant(t, "tokens", stAnywhere(end.tokens), authos.Tokens{})
			})
		})
	}
	t.Run("sent elsewhere", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			end := auRun(t, rtSteps(auCodeStep(900, 5), auPending(), rtEmpty(307, "Location", "https://portal.example/")))
			auAt(t, end.polls, []float64{5, 10}, 0)
			if e, ok := errors.AsType[*authos.NetworkError](end.err); !ok || e.Op != "redirect" {
				t.Errorf("error = %v, want the refused redirect", end.err)
			}
		})
	})
	t.Run("granted", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			start := time.Now()
			end := auRun(t, rtSteps(auCodeStep(900, 5), auPending(), auPending(), auGranted(), auGranted()))
			stMust(t, "DeviceLogin", end.err)
			auAt(t, end.polls, []float64{5, 10, 15}, 0)
			stWant(t, "tokens", stAnywhere(end.tokens), authos.Tokens{AccessToken: "device-token", ExpiresAt: start.Add(15*time.Second + 24*time.Hour)})
		})
	})
}

// Every row that does not, and how long the flow then waits. The last response is the token.
func TestDeviceLoginGoesOn(t *testing.T) {
	for _, tc := range []struct {
		name   string
		polls  []rtStep
		want   []float64 // when they come
		jitter float64   // in all
	}{
		{"pending", []rtStep{auPending(), auPending(), auPending()}, []float64{5, 10, 15, 20}, 0},
		{"pending, nested", []rtStep{{status: 400, body: `{"error":{"code":"DEVICE_CODE_PENDING","message":"wait"}}`}}, []float64{5, 10}, 0},
		// Told to wait less than the interval: the interval and 5 s, from then on.
		{"429", []rtStep{auPending(), auLimited("3"), auPending(), auPending()}, []float64{5, 10, 20, 30, 40}, 0},
		{"429 of 0 s", []rtStep{auLimited("0"), auPending()}, []float64{5, 15, 25}, 0},
		// More: "30" is less than 31 s, and 5 s more.
		{"429 of 30 s", []rtStep{auLimited("30"), auPending()}, []float64{5, 41, 77}, 0},
		{"429 twice", []rtStep{auLimited("0"), auLimited("0"), auPending()}, []float64{5, 15, 30, 45}, 0},
		{"429 that names no wait", []rtStep{rtAPI(429, "TOO_MANY_REQUESTS"), auPending()}, []float64{5, 15, 25}, 0},
		{"documented 429", []rtStep{rtAPI(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "60"), auPending()}, []float64{5, 70, 135}, 0},
		{"429 longer than calls obey", []rtStep{rtAPI(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "300")}, []float64{5, 310}, 0},
		// RFC 8628 doubles the interval where there is no response; one brings it back.
		{"500", []rtStep{rtAPI(500, "INTERNAL_SERVER_ERROR"), auPending()}, []float64{5, 15, 20}, 1},
		{"500 that repeating would not help elsewhere", []rtStep{rtAPI(500, "AUDIT_ERROR")}, []float64{5, 15}, 1},
		{"502 page", []rtStep{rtPage(502), rtPage(502), rtPage(502), rtPage(502), rtPage(502)}, []float64{5, 15, 35, 75, 135, 195}, 9},
		{"503 page", []rtStep{rtPage(503), auPending()}, []float64{5, 15, 20}, 1},
		{"503 that names a wait", []rtStep{rtAPI(503, "SERVICE_UNAVAILABLE", "Retry-After", "30"), auPending()}, []float64{5, 35, 40}, 2},
		{"504", []rtStep{rtEmpty(504), auPending()}, []float64{5, 15, 20}, 1},
		{"408", []rtStep{rtEmpty(408), auPending()}, []float64{5, 15, 20}, 1},
		{"reset", []rtStep{{err: rtReset()}, auPending()}, []float64{5, 15, 20}, 1},
		{"refused", []rtStep{{err: rtRefused(), noConn: true}, auPending()}, []float64{5, 15, 20}, 1},
		// 35 s, the attempt's own time, and 10
		{"no response", []rtStep{{hang: true}, auPending()}, []float64{5, 50, 55}, 1},
		{"a second outage", []rtStep{rtPage(502), rtPage(502), auPending(), rtPage(502)}, []float64{5, 15, 35, 40, 50}, 5},
		{"a second outage, after a 429", []rtStep{rtPage(502), rtPage(502), auLimited("0"), rtPage(502)}, []float64{5, 15, 35, 45, 65}, 7},
		{"between 429s", []rtStep{auLimited("0"), rtPage(502), auPending()}, []float64{5, 15, 35, 45}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				end := auRun(t, rtSteps(slices.Concat([]rtStep{auCodeStep(900, 5)}, tc.polls, []rtStep{auGranted(), auGranted()})...))
				stMust(t, "DeviceLogin", end.err)
				auAt(t, end.polls, tc.want, tc.jitter)
				stWant(t, "token", end.tokens.AccessToken, "device-token")
			})
		})
	}
}

// Devices that an outage has brought into step do not come back in step.
func TestDeviceLoginJitter(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		seen := map[float64]bool{}
		for range 20 {
			end := auRun(t, rtSteps(auCodeStep(900, 5), rtPage(502), auGranted()))
			stMust(t, "DeviceLogin", end.err)
			seen[end.polls[1]] = true
		}
		if len(seen) < 10 {
			t.Errorf("20 devices come back at %d moments", len(seen))
		}
	})
}

// A good status is the last response, whatever became of its body: the code has been used.
func TestDeviceLoginLosesTheToken(t *testing.T) {
	for name, tc := range map[string]struct {
		response rtStep
		decoded  bool
	}{
		"page":         {rtPage(200), true},
		"empty":        {rtEmpty(200), true},
		"no content":   {rtEmpty(204), true},
		"no token":     {rtStep{status: 200, body: `{"token_type":"Bearer"}`}, true},
		"cut JSON":     {rtStep{status: 200, body: auToken[:20]}, true},
		"cut body":     {rtStep{status: 200, body: auToken[:20], cut: io.ErrUnexpectedEOF}, false},
		"reset inside": {rtStep{status: 200, body: auToken[:20], cut: rtReset()}, false},
	} {
		t.Run(name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				end := auRun(t, rtSteps(auCodeStep(900, 5), auPending(), tc.response, auPending()))
				auAt(t, end.polls, []float64{5, 10}, 0)
				if _, ok := errors.AsType[*authos.DecodeError](end.err); ok != tc.decoded || !strings.Contains(fmt.Sprintf("%v", end.err), "it is lost") {
					t.Errorf("error = %v, want one that says so, a DecodeError: %v", end.err, tc.decoded)
				}
				auErrors(t, "DeviceLogin", end.err, nil, []error{authos.CodeDeviceCodePending, authos.CodeDeviceCodeExpired})
				stWant(t, "of unknown outcome", errors.Is(end.err, authos.ErrOutcomeUnknown), true)
			})
		})
	}
}

// Nobody comes: the code's own time ends the flow, whatever the server goes on saying.
func TestDeviceLoginDeadline(t *testing.T) {
	t.Run("pending", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			end := auRun(t, rtSteps(auCodeStep(900, 5), auPending()))
			stWant(t, "polls", len(end.polls), 180)
			stWant(t, "took", end.took, 15*time.Minute)
			auErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired}, []error{authos.CodeDeviceCodePending, authos.ErrOutcomeUnknown, authos.ErrNetwork})
			if text := end.err.Error(); !strings.Contains(text, "has expired") || !strings.Contains(text, "denied") || strings.Count(text, "authos: ") != 1 {
				t.Errorf("error = %q, want it to say what happened", text)
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
				stWant(t, verb, fmt.Sprintf(verb, end.err), end.err.Error())
			}
			stWant(t, "for the user", authos.UserMessage(end.err), "The sign-in code has expired. Please start again.")
			stWant(t, "may be tried again", authos.Retryable(end.err), false)
		})
	})
	t.Run("responses lost on the way", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			end := auRun(t, rtSteps(auCodeStep(60, 5), rtStep{err: rtReset()}, auPending()))
			auErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired, authos.ErrOutcomeUnknown}, []error{authos.ErrNetwork})
			if !strings.Contains(end.err.Error(), "a response was lost") {
				t.Errorf("error = %v, want it to say that a response was lost", end.err)
			}
		})
	})
	t.Run("outage until the end", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			end := auRun(t, rtSteps(auCodeStep(900, 5), auPending(), rtPage(503)))
			auErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired, authos.ErrUnavailable, authos.ErrServer, authos.ErrOutcomeUnknown}, nil)
			stWant(t, "status of the last response", rtStatus(end.err), 503)
			if len(end.polls) > 20 || end.took > 15*time.Minute || end.took < 13*time.Minute {
				t.Errorf("%d polls in %v, want few, to the end", len(end.polls), end.took)
			}
		})
	})
	t.Run("told to wait longer than the code lives", func(t *testing.T) {
		for _, tc := range []struct {
			poll rtStep
			want error
		}{
			{rtAPI(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "3600"), authos.ErrRateLimited},
			{rtAPI(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "99999999999999999999"), authos.ErrRateLimited},
			{rtAPI(503, "SERVICE_UNAVAILABLE", "Retry-After", "3600"), authos.ErrUnavailable},
			{rtAPI(503, "SERVICE_UNAVAILABLE", "Retry-After", "99999999999999999999"), authos.ErrUnavailable},
		} {
			stBubble(t, func(t *testing.T) {
				end := auRun(t, rtSteps(auCodeStep(900, 5), tc.poll, auGranted()))
				auAt(t, end.polls, []float64{5}, 0)
				auErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired, tc.want}, []error{authos.ErrOutcomeUnknown})
				stWant(t, "took", end.took, 5*time.Second)
			})
		}
	})
	t.Run("a poll that hangs, and no limit on attempts", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			end := auRun(t, rtSteps(auCodeStep(900, 5), auPending(), rtStep{hang: true}), rtRetry(authos.RetryPolicy{AttemptTimeout: -1, MaxElapsed: -1}))
			auAt(t, end.polls, []float64{5, 10}, 0)
			auErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired, authos.ErrNetwork, authos.ErrOutcomeUnknown}, nil)
			stWant(t, "took", end.took, 15*time.Minute+35*time.Second)
		})
	})
	t.Run("a late refusal after a lost response", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			end := auRun(t, rtSteps(auCodeStep(900, 5), rtStep{err: rtReset()}, auPending(), auInvalid("Invalid device code")))
			auErrors(t, "DeviceLogin", end.err, []error{authos.ErrInvalid, authos.ErrOutcomeUnknown}, nil)
		})
	})
	t.Run("an unreadable response after a lost one", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			end := auRun(t, rtSteps(auCodeStep(900, 5), rtStep{err: rtReset()}, rtPage(200)))
			auErrors(t, "DeviceLogin", end.err, []error{authos.ErrOutcomeUnknown}, nil)
		})
	})
}

// The code's own numbers.
func TestDeviceCodeResponses(t *testing.T) {
	const whole = `"device_code":"d","user_code":"ABCD-EFGH","verification_uri":"https://x.example"`
	for _, tc := range []struct {
		name, body     string
		life, interval time.Duration // zero: a DecodeError
	}{
		{"as it is", `{` + whole + `,"expires_in":900,"interval":5}`, 15 * time.Minute, 5 * time.Second},
		{"no interval", `{` + whole + `,"expires_in":900}`, 15 * time.Minute, 5 * time.Second},
		{"null interval", `{` + whole + `,"expires_in":900,"interval":null}`, 15 * time.Minute, 5 * time.Second},
		{"interval 0", `{` + whole + `,"expires_in":900,"interval":0}`, 15 * time.Minute, 5 * time.Second},
		{"negative interval", `{` + whole + `,"expires_in":900,"interval":-5}`, 15 * time.Minute, 5 * time.Second},
		{"half a second", `{` + whole + `,"expires_in":1.5,"interval":0.5}`, 1500 * time.Millisecond, 500 * time.Millisecond},
		{"for ever", `{` + whole + `,"expires_in":1e300,"interval":1e300}`, 100 * 365 * 24 * time.Hour, 100 * 365 * 24 * time.Hour},
		{"no life", `{` + whole + `,"interval":5}`, 0, 0},
		{"no time left", `{` + whole + `,"expires_in":0,"interval":5}`, 0, 0},
		{"life of the wrong type", `{` + whole + `,"expires_in":"900"}`, 0, 0},
		{"no device code", `{"user_code":"ABCD-EFGH","verification_uri":"https://x.example","expires_in":900}`, 0, 0},
		{"no user code", `{"device_code":"d","verification_uri":"https://x.example","expires_in":900}`, 0, 0},
		{"no URI", `{"device_code":"d","user_code":"ABCD-EFGH","expires_in":900}`, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				// The response takes two seconds: the code's time is counted from its arrival.
				c := rtClient(t, rtSteps(rtStep{status: 200, body: tc.body, took: 2 * time.Second}))
				code, err := c.Auth.RequestDeviceCode(t.Context(), authos.DeviceCodeParams{ClientID: auApp, OrgSlug: "acme", ServiceSlug: "app"})
				if tc.life == 0 {
					if _, ok := errors.AsType[*authos.DecodeError](err); !ok {
						t.Errorf("RequestDeviceCode = %+v, %v, want a DecodeError", code, err)
					}
					return
				}
				stMust(t, "RequestDeviceCode", err)
				want := authos.DeviceCode{
					DeviceCode: authos.NewSecret("d"), UserCode: "ABCD-EFGH", VerificationURI: "https://x.example",
					ExpiresAt: time.Now().Add(tc.life), Interval: tc.interval,
				}
				if *code != want {
					t.Errorf("RequestDeviceCode = %+v, want %+v", *code, want)
				}
			})
		})
	}
}

// An interval of the server's own is kept to from the first poll on, and one longer than the code
// lives means none.
func TestDeviceLoginInterval(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		end := auRun(t, rtSteps(auCodeStep(60, 20), auPending(), rtPage(502), auGranted()))
		auAt(t, end.polls, []float64{20, 40}, 0) // doubled, and then some: past the end
		auErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired}, nil)
		end = auRun(t, rtSteps(auCodeStep(60, 1e9)))
		auAt(t, end.polls, nil, 0)
		auErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired}, nil)
		stWant(t, "took", end.took, 0)
	})
}

// The whole flow with the fake's own state, in both contracts and with the limiters of today's
// servers: no poll is refused.
func TestDeviceLogin(t *testing.T) {
	auContracts(t, func(t *testing.T, srv *authostest.Server) {
		c, shown := auNobody(t, srv), 0
		var code authos.DeviceCode
		show := func(d authos.DeviceCode) error {
			code, shown = d, shown+1
			stWant(t, "polls before it is shown", srv.Count("POST", "/auth/token"), 0)
			return nil
		}
		go func() {
			time.Sleep(62 * time.Second)
			page := auNobody(t, srv)
			for _, typed := range []string{code.UserCode, strings.ToLower(code.UserCode), strings.ReplaceAll(code.UserCode, "-", ""), " " + strings.ReplaceAll(code.UserCode, "-", " – ")} {
				what, err := page.Auth.VerifyUserCode(t.Context(), typed)
				if err != nil || what.OrgSlug != "acme" || what.ServiceSlug != "app" {
					t.Errorf("VerifyUserCode(%q) = %+v, %v", typed, what, err)
				}
			}
			srv.ApproveDevice(code.UserCode, stEmail)
			_, err := page.Auth.VerifyUserCode(t.Context(), code.UserCode)
			auErrors(t, "VerifyUserCode of a code that is used", err, []error{authos.CodeBadRequest}, nil)
		}()
		start := time.Now()
		params := auFlow
		params.Install = true
		tokens, err := c.Auth.DeviceLogin(t.Context(), params, show)
		stMust(t, "DeviceLogin", err)
		stWant(t, "took", time.Since(start), 65*time.Second)
		stWant(t, "shown, polls", [2]int{shown, srv.Count("POST", "/auth/token")}, [2]int{1, 13})
		stWant(t, "tokens issued", srv.Applied()["POST /auth/token"], 1)
		if tokens.RefreshToken != "" || !tokens.ExpiresAt.Equal(time.Now().Add(24*time.Hour)) || stHeld(t, c) != stAnywhere(tokens) {
			t.Errorf("tokens until %v, want 24 hours, no refresh token, and them installed", tokens.ExpiresAt)
		}
		stMust(t, "Get", stGet(t, c))
		if code.VerificationURI != "https://app.acme.example/activate" || !code.ExpiresAt.Equal(start.Add(15*time.Minute)) || code.Interval != 5*time.Second {
			t.Errorf("shown %+v", code)
		}
		for _, r := range srv.Requests() {
			stWant(t, r.Path+" refused by the limiter", r.Status == 429, false)
		}
		time.Sleep(time.Hour)
		stWant(t, "polls in all", srv.Count("POST", "/auth/token"), 13)
	}, authostest.WithLimiters())
}

// The platform's own tool: somebody who is no platform owner is told so at once.
func TestDeviceLoginAdminCLI(t *testing.T) {
	auContracts(t, func(t *testing.T, srv *authostest.Server) {
		srv.AddPlatformOwner("root@example.com", "")
		for _, tc := range []struct {
			email string
			want  error
		}{{"root@example.com", nil}, {stEmail, authos.ErrForbidden}} {
			c := auNobody(t, srv)
			params := authos.DeviceLoginParams{ClientID: authos.AdminCLIClientID, OrgSlug: authos.AdminCLIOrgSlug, ServiceSlug: authos.AdminCLIServiceSlug, Install: true}
			_, err := c.Auth.DeviceLogin(t.Context(), params, func(code authos.DeviceCode) error {
				what, err := c.Auth.VerifyUserCode(t.Context(), code.UserCode)
				if err != nil || what.OrgSlug != authos.AdminCLIOrgSlug || what.ServiceSlug != authos.AdminCLIServiceSlug || len(what.AvailableProviders) == 0 {
					t.Errorf("VerifyUserCode = %+v, %v", what, err)
				}
				srv.ApproveDevice(code.UserCode, tc.email)
				return nil
			})
			if !errors.Is(err, tc.want) {
				t.Errorf("%s: %v, want %v", tc.email, err, tc.want)
			}
			if tc.want == nil {
				u, err := c.User.Get(t.Context())
				stMust(t, "Get", err)
				stWant(t, "platform owner", u.IsPlatformOwner != nil && *u.IsPlatformOwner, true)
			}
		}
	})
}

// A user who says no, and a token whose response was lost: the server calls both pending to the
// end.
func TestDeviceLoginNotTold(t *testing.T) {
	for name, tc := range map[string]struct {
		meet func(srv *authostest.Server, userCode string)
		lost bool
	}{
		"denied": {func(srv *authostest.Server, userCode string) { srv.DenyDevice(userCode) }, false},
		"lost": {func(srv *authostest.Server, userCode string) {
			srv.ApproveDevice(userCode, stEmail)
			srv.Fault(authostest.Fault{Path: "/auth/token", Times: 1, Kind: authostest.ResetAfter})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			auContracts(t, func(t *testing.T, srv *authostest.Server) {
				start := time.Now()
				_, err := auNobody(t, srv).Auth.DeviceLogin(t.Context(), auFlow, func(code authos.DeviceCode) error {
					tc.meet(srv, code.UserCode)
					return nil
				})
				auErrors(t, "DeviceLogin", err, []error{authos.CodeDeviceCodeExpired}, []error{authos.CodeDeviceCodePending})
				stWant(t, "of unknown outcome", errors.Is(err, authos.ErrOutcomeUnknown), tc.lost)
				stWant(t, "tokens issued", srv.Applied()["POST /auth/token"], map[bool]int{true: 1}[tc.lost])
				if took := time.Since(start); took > 15*time.Minute || took < 14*time.Minute {
					t.Errorf("took %v, want to the end of the code", took)
				}
			})
		})
	}
}

// auOldLimiter is the limiter of servers of 2025 on the device routes: ten at once, then one a
// minute.
type auOldLimiter struct {
	next http.RoundTripper

	mu      sync.Mutex
	full    time.Time
	refused int
}

func (l *auOldLimiter) RoundTrip(req *http.Request) (*http.Response, error) {
	const burst, every = 10, time.Minute
	l.mu.Lock()
	full := l.full
	if now := time.Now(); full.Before(now) {
		full = now
	}
	wait := time.Until(full.Add(every)) - burst*every
	if wait > 0 {
		l.refused++
	} else {
		l.full = full.Add(every)
	}
	l.mu.Unlock()
	if wait > 0 {
		_ = auBody(req)
		return auLimited(fmt.Sprint(int(wait / time.Second))).response(req), nil
	}
	return l.next.RoundTrip(req)
}

// Polling at the advertised interval is refused there after the tenth request. The flow slows down
// instead of collecting refusals, and gets its token.
func TestDeviceLoginOldLimiter(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		limiter := &auOldLimiter{next: srv.Transport()}
		c := stClient(t, limiter)
		start := time.Now()
		tokens, err := c.Auth.DeviceLogin(t.Context(), auFlow, func(code authos.DeviceCode) error {
			time.AfterFunc(10*time.Minute, func() { srv.ApproveDevice(code.UserCode, stEmail) })
			return nil
		})
		stMust(t, "DeviceLogin", err)
		stMust(t, "the session", auBearer(t, srv, tokens))
		if took := time.Since(start); took < 10*time.Minute || took > 12*time.Minute {
			t.Errorf("took %v, want little more than the user", took)
		}
		if limiter.refused > 5 { // at the advertised interval it would be 110
			t.Errorf("%d polls were refused: the flow does not slow down", limiter.refused)
		}
	})
}

// Several devices behind one address, in one process: they share a limiter, and each gets its
// token.
func TestDeviceLoginTogether(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t, authostest.WithLimiters())
		c := auNobody(t, srv)
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				tokens, err := c.Auth.DeviceLogin(t.Context(), auFlow, func(code authos.DeviceCode) error {
					time.AfterFunc(3*time.Minute, func() { srv.ApproveDevice(code.UserCode, fmt.Sprintf("u%d@example.com", i)) })
					return nil
				})
				if err != nil || tokens.AccessToken == "" {
					t.Errorf("device %d: %v", i, err)
				}
			})
		}
		all.Wait()
		refused := 0
		for _, r := range srv.Requests() {
			if r.Status == 429 {
				refused++
			}
		}
		t.Logf("%d of %d requests were refused", refused, len(srv.Requests()))
		if refused > 40 {
			t.Errorf("%d of %d requests were refused: nobody slows down", refused, len(srv.Requests()))
		}
	})
}

// A poll is not sent while another call of the same limiter has been told to wait, and is none of
// its waits.
func TestDeviceLoginAtTheGate(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		c, start := auNobody(t, srv), time.Now()
		_, err := c.Auth.DeviceLogin(t.Context(), auFlow, func(code authos.DeviceCode) error {
			srv.ApproveDevice(code.UserCode, stEmail)
			srv.Fault(authostest.Fault{Path: "/auth/device/verify", Times: 1, Status: 429, Header: http.Header{"Retry-After": {"30"}}})
			_, err := c.Auth.VerifyUserCode(t.Context(), code.UserCode, authos.WithoutRetry())
			auErrors(t, "VerifyUserCode", err, []error{authos.ErrRateLimited}, nil)
			return nil
		})
		stMust(t, "DeviceLogin", err)
		stWant(t, "polls", srv.Count("POST", "/auth/token"), 1)
		// At 5 s the gate holds for 25 s more. The interval stays: it was not this flow that was
		// told.
		stWant(t, "took", time.Since(start), 30*time.Second)
	})
}

// An open circuit is waited out, and the probe is one of the polls.
func TestDeviceLoginOpenCircuit(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		rt := rtSteps(auCodeStep(900, 5), auPending(), rtPage(502), rtPage(502), auGranted())
		var states []string
		end := auRun(t, rt, authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 2, OpenTimeout: 3 * time.Minute,
			OnStateChange: func(_ string, _, to authos.BreakerState) { states = append(states, string(to)) }}))
		stMust(t, "DeviceLogin", end.err)
		stWant(t, "states", fmt.Sprint(states), "[open half-open closed]")
		if n := len(end.polls); n != 4 || end.polls[3]-end.polls[2] < 0.8*180 {
			t.Errorf("polls at %v, want the last after the circuit's time", end.polls)
		}
	})
}

// Whatever the flow is doing, its caller can leave.
func TestDeviceLoginCancel(t *testing.T) {
	boom := errors.New("the user has pressed ^C")
	for _, tc := range []struct {
		name  string
		after time.Duration
		polls int
		steps []rtStep
		op    string
		acted bool
	}{
		// the request was on its way, and may have made a code
		{"in the request for a code", time.Second, 0, []rtStep{{hang: true}}, "send", true},
		{"in the first wait", 3 * time.Second, 0, []rtStep{auCodeStep(900, 5)}, "wait", false},
		{"between polls", 12 * time.Second, 2, []rtStep{auCodeStep(900, 5), auPending()}, "wait", false},
		{"in a poll", 7 * time.Second, 1, []rtStep{auCodeStep(900, 5), {hang: true}}, "send", true},
		{"in a wait after a failure", 12 * time.Second, 1, []rtStep{auCodeStep(900, 5), rtPage(502)}, "wait", true},
		{"in a wait after no response", 12 * time.Second, 1, []rtStep{auCodeStep(900, 5), {err: rtReset()}}, "wait", true},
		{"in the wait for a limiter", 12 * time.Second, 1, []rtStep{auCodeStep(900, 5), auLimited("30")}, "wait", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				rt, start := rtSteps(tc.steps...), time.Now()
				ctx, cancel := context.WithCancelCause(t.Context())
				timer := time.AfterFunc(tc.after, func() { cancel(boom) })
				defer timer.Stop()
				tokens, err := rtClient(t, rt).Auth.DeviceLogin(ctx, auFlow, auShow)
				stWant(t, "took", time.Since(start), tc.after)
				auErrors(t, "DeviceLogin", err, []error{context.Canceled, boom}, []error{authos.ErrNetwork, authos.CodeDeviceCodeExpired})
				stWant(t, "of unknown outcome", errors.Is(err, authos.ErrOutcomeUnknown), tc.acted)
				if e, ok := errors.AsType[*authos.NetworkError](err); !ok || e.Op != tc.op {
					t.Errorf("error = %v, want it to have happened in %q", err, tc.op)
				}
				stWant(t, "tokens", tokens, authos.Tokens{})
				stWant(t, "polls", max(rt.count()-1, 0), tc.polls)
				time.Sleep(time.Hour)
				stWant(t, "polls afterwards", max(rt.count()-1, 0), tc.polls)
			})
		})
	}
	t.Run("ended already", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			rt := rtSteps(auCodeStep(900, 5), auPending())
			_, err := rtClient(t, rt).Auth.DeviceLogin(ctx, auFlow, func(authos.DeviceCode) error { cancel(); return nil })
			auErrors(t, "DeviceLogin", err, []error{context.Canceled}, nil)
			stWant(t, "requests", rt.count(), 1)
		})
	})
	t.Run("deadline", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 18*time.Second)
			defer cancel()
			rt, start := rtSteps(auCodeStep(900, 5), auPending()), time.Now()
			_, err := rtClient(t, rt).Auth.DeviceLogin(ctx, auFlow, auShow)
			auErrors(t, "DeviceLogin", err, []error{context.DeadlineExceeded, authos.CodeDeviceCodePending}, []error{authos.CodeDeviceCodeExpired, authos.ErrOutcomeUnknown})
			stWant(t, "polls", rt.count()-1, 3)
			stWant(t, "took", time.Since(start), 15*time.Second) // no poll fits any more
		})
	})
	t.Run("deadline after the code's", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 62*time.Second)
			defer cancel()
			_, err := rtClient(t, rtSteps(auCodeStep(60, 5), auPending())).Auth.DeviceLogin(ctx, auFlow, auShow)
			auErrors(t, "DeviceLogin", err, []error{authos.CodeDeviceCodeExpired}, []error{context.DeadlineExceeded})
		})
	})
}

// A closed client does not go on polling, neither from the wait nor by taking its refusal for a
// network that may come back.
func TestDeviceLoginClose(t *testing.T) {
	for name, after := range map[string]time.Duration{"in a wait": 7 * time.Second, "in a poll": 11 * time.Second} {
		t.Run(name, func(t *testing.T) {
			stBubble(t, func(t *testing.T) {
				slow := rtPage(502)
				slow.took = 2 * time.Second
				rt := rtSteps(auCodeStep(900, 5), auPending(), slow)
				c, start := rtClient(t, rt), time.Now()
				timer := time.AfterFunc(after, func() { _ = c.Close() })
				defer timer.Stop()
				_, err := c.Auth.DeviceLogin(t.Context(), auFlow, auShow)
				if err == nil || !strings.Contains(err.Error(), "the client is closed") {
					t.Errorf("DeviceLogin = %v, want the closed client", err)
				}
				if took := time.Since(start); took > after+2*time.Second {
					t.Errorf("took %v, want an end soon after %v", took, after)
				}
			})
		})
	}
}

func TestDeviceLoginShow(t *testing.T) {
	t.Run("error", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			rt, broken := rtSteps(auCodeStep(900, 5), auPending()), errors.New("no terminal")
			_, err := rtClient(t, rt).Auth.DeviceLogin(t.Context(), auFlow, func(authos.DeviceCode) error { return broken })
			stWant(t, "error", err, broken)
			time.Sleep(time.Hour)
			stWant(t, "requests", rt.count(), 1)
		})
	})
	t.Run("slow", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			rt := rtSteps(auCodeStep(900, 5), auGranted())
			c, start := rtClient(t, rt), time.Now()
			_, err := c.Auth.DeviceLogin(t.Context(), auFlow, func(authos.DeviceCode) error { time.Sleep(time.Minute); return nil })
			stMust(t, "DeviceLogin", err)
			stWant(t, "took", time.Since(start), 65*time.Second)
		})
	})
	t.Run("slower than the code", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			rt := rtSteps(auCodeStep(900, 5), auGranted())
			_, err := rtClient(t, rt).Auth.DeviceLogin(t.Context(), auFlow, func(authos.DeviceCode) error { time.Sleep(time.Hour); return nil })
			auErrors(t, "DeviceLogin", err, []error{authos.CodeDeviceCodeExpired}, nil)
			stWant(t, "requests", rt.count(), 1)
		})
	})
	t.Run("no code, nothing to show", func(t *testing.T) {
		stBubble(t, func(t *testing.T) {
			srv := stServer(t)
			params := auFlow
			params.ClientID = "somebody"
			_, err := auNobody(t, srv).Auth.DeviceLogin(t.Context(), params, func(authos.DeviceCode) error { t.Error("shown"); return nil })
			auErrors(t, "DeviceLogin", err, []error{authos.CodeBadRequest}, nil)
		})
	})
}

// A caller's options reach every request, and are not changed.
func TestDeviceLoginOptions(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		rt := rtSteps(auCodeStep(900, 5), auPending(), auGranted())
		var resp authos.Response
		opts := make([]authos.RequestOption, 0, 8)
		opts = append(opts, authos.WithHeader("X-Tool", "cli"), authos.WithResponse(&resp), authos.WithIdempotent())
		params := auFlow
		params.Resource = "https://api.example.com"
		_, err := rtClient(t, rt).Auth.DeviceLogin(t.Context(), params, auShow, opts...)
		stMust(t, "DeviceLogin", err)
		stWant(t, "response", resp.StatusCode, 200)
		for _, r := range rt.requests() {
			stWant(t, r.url+" with the option's header", r.header.Get("X-Tool"), "cli")
			stWant(t, r.url+" with a credential", r.header.Get("Authorization"), "")
		}
		if poll := rt.requests()[2].body; !typedSameJSON(poll, `{"grant_type":"urn:ietf:params:oauth:grant-type:device_code","device_code":"device-code-1","client_id":"acme_app","resource":"https://api.example.com"}`) {
			t.Errorf("poll %s", poll)
		}
		if rest := opts[:cap(opts)][len(opts):]; fmt.Sprint(rest[0]) != fmt.Sprint(authos.RequestOption{}) {
			t.Error("the caller's options were written to")
		}
	})
}

// ExchangeDeviceCode by itself is one poll: it says what the server says, and is not repeated once
// it may have arrived.
func TestExchangeDeviceCode(t *testing.T) {
	auContracts(t, func(t *testing.T, srv *authostest.Server) {
		c, ctx := auNobody(t, srv), t.Context()
		code := auDeviceCode(t, srv)
		exchange := func(p authos.ExchangeDeviceCodeParams) error {
			_, err := c.Auth.ExchangeDeviceCode(ctx, p)
			return err
		}
		p := authos.ExchangeDeviceCodeParams{DeviceCode: code.DeviceCode, ClientID: auApp}
		auErrors(t, "a code nobody has approved", exchange(p), []error{authos.CodeDeviceCodePending, authos.ErrInvalid}, []error{authos.ErrOutcomeUnknown})
		auErrors(t, "another client's", exchange(authos.ExchangeDeviceCodeParams{DeviceCode: code.DeviceCode, ClientID: "other"}), []error{authos.ErrUnauthenticated}, []error{authos.ErrSessionExpired})
		auErrors(t, "an unknown code", exchange(authos.ExchangeDeviceCodeParams{DeviceCode: authos.NewSecret("x"), ClientID: auApp}), []error{authos.CodeBadRequest}, []error{authos.CodeDeviceCodePending})
		srv.ApproveDevice(code.UserCode, stEmail)
		srv.SuspendOrg("acme")
		auErrors(t, "of a suspended organization", exchange(p), []error{authos.CodeOrganizationNotActive}, nil)
		srv.ActivateOrg("acme")
		before := srv.Count("POST", "/auth/token")
		remove := srv.Fault(authostest.Fault{Path: "/auth/token", Kind: authostest.ResetBefore})
		_, err := c.Auth.ExchangeDeviceCode(ctx, p, authos.WithIdempotent())
		remove()
		auErrors(t, "no response", err, []error{authos.ErrNetwork, authos.ErrOutcomeUnknown}, nil)
		stWant(t, "sent", srv.Count("POST", "/auth/token")-before, 1)
		stMust(t, "an approved code", exchange(p))
		auErrors(t, "a used code", exchange(p), []error{authos.CodeDeviceCodePending}, nil)
		late := auDeviceCode(t, srv)
		time.Sleep(15*time.Minute + time.Second)
		auErrors(t, "a code from before", exchange(authos.ExchangeDeviceCodeParams{DeviceCode: late.DeviceCode, ClientID: auApp}), []error{authos.CodeDeviceCodeExpired}, nil)
	})
}

// A token that lives five minutes and has no refresh token is one all the same: on this route there
// is no second factor to ask for.
func TestExchangeDeviceCodeShortLife(t *testing.T) {
	c := rtClient(t, rtSteps(rtStep{status: 200, body: `{"access_token":"opaque","token_type":"Bearer","expires_in":300}`}))
	tokens, err := c.Auth.ExchangeDeviceCode(t.Context(), authos.ExchangeDeviceCodeParams{DeviceCode: authos.NewSecret(auDevice), ClientID: auApp})
	stMust(t, "ExchangeDeviceCode", err)
	stWant(t, "token", tokens.AccessToken, "opaque")
}

func TestVerifyUserCode(t *testing.T) {
	for _, tc := range []struct{ typed, want string }{
		{"WDJB-MJHT", "WDJB-MJHT"}, {"wdjb-mjht", "WDJB-MJHT"}, {"WDJBMJHT", "WDJB-MJHT"}, {" wdjb mjht\n", "WDJB-MJHT"}, {"WD-JB-MJ-HT", "WDJB-MJHT"},
		{"2345–6789", "2345-6789"}, {"ABCD-EFG", ""}, {"ABCD-EFGHJ", ""}, {"ABCD-EFGI", ""}, {"ABCD-EFGL", "ABCD-EFGL"}, {"ABCD-EFGO", ""}, {"ABCD-EFG0", ""},
		{"ABCD-EFG1", ""}, {"1BCD-EFGH", ""}, {"ABCD-EFGÉ", ""}, {"ABC+-EFGH", ""}, {"", ""}, {"-", ""},
	} {
		rt := rtSteps(rtStep{status: 200, body: `{"org_slug":"acme","service_slug":"app","available_providers":["github"]}`})
		_, err := rtClient(t, rt).Auth.VerifyUserCode(t.Context(), tc.typed)
		switch {
		case tc.want == "":
			if _, ok := errors.AsType[*authos.ValidationError](err); !ok || rt.count() != 0 {
				t.Errorf("VerifyUserCode(%q) = %v after %d requests, want a ValidationError", tc.typed, err, rt.count())
			}
			if code := strings.TrimSpace(tc.typed); len(code) > 4 && strings.Contains(fmt.Sprint(err), code) {
				t.Errorf("%v repeats the code", err)
			}
		case err != nil || rt.requests()[0].body != `{"user_code":"`+tc.want+`"}`:
			t.Errorf("VerifyUserCode(%q) = %v, sent %v, want %s", tc.typed, err, rt.requests(), tc.want)
		}
	}
}

// The whole way: the device, the activation page, the provider and back, with the URLs that
// LoginURL makes.
func TestDeviceActivation(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		srv := stServer(t)
		c, browser := auNobody(t, srv), srv.Transport()
		open := func(target string, err error) string {
			stMust(t, "the URL", err)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			stMust(t, "the request", err)
			resp, err := browser.RoundTrip(req)
			stMust(t, target, err)
			stWant(t, "status", resp.StatusCode, 303)
			return resp.Header.Get("Location")
		}
		tokens, err := c.Auth.DeviceLogin(t.Context(), auFlow, func(code authos.DeviceCode) error {
			what, err := c.Auth.VerifyUserCode(t.Context(), code.UserCode)
			if err != nil {
				return err
			}
			provider := open(c.Auth.LoginURL("github", authos.LoginURLParams{OrgSlug: what.OrgSlug, ServiceSlug: what.ServiceSlug, UserCode: strings.ToLower(code.UserCode)}))
			_, state, _ := strings.Cut(provider, "state=")
			open("http://127.0.0.1/auth/github/callback?code="+stEmail+"&state="+state, nil)
			return nil
		})
		stMust(t, "DeviceLogin", err)
		synctest.Wait()
		u, err := stClient(t, srv.Transport(), authos.WithTokens(stAnywhere(tokens))).User.Get(t.Context())
		stMust(t, "Get", err)
		stWant(t, "who", u.Email, stEmail)
	})
}

// A server of October 2025 may not know a code yet that it has just given out: the first poll does
// not end the flow, the second does.
func TestDeviceLoginBeforeTheCodeIsThere(t *testing.T) {
	stBubble(t, func(t *testing.T) {
		end := auRun(t, rtSteps(auCodeStep(900, 5), auInvalid("Invalid device code"), auInvalid("Invalid device code")))
		auAt(t, end.polls, []float64{5, 10}, 0)
		auErrors(t, "DeviceLogin", end.err, []error{authos.ErrInvalid}, nil)
	})
}
