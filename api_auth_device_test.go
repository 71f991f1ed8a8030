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
	authDevice = "device-code-1"
	authToken  = `{"access_token":"device-token","token_type":"Bearer","expires_in":86400}`
)

var authFlow = authos.DeviceLoginParams{ClientID: authApp, OrgSlug: "acme", ServiceSlug: "app"}

// codeStep is the server's response to a request for a code.
func codeStep(expiresIn, interval float64) reply {
	return reply{status: 200, body: fmt.Sprintf(
		`{"device_code":%q,"user_code":"ABCD-EFGH","verification_uri":"https://app.acme.example/activate","expires_in":%g,"interval":%g}`,
		authDevice, expiresIn, interval)}
}

func authPending() reply { return apiError(400, "DEVICE_CODE_PENDING") }
func authGranted() reply { return reply{status: 200, body: authToken} }

// authOAuth is an error of RFC 8628, section 3.5.
func authOAuth(code string) reply { return reply{status: 400, body: fmt.Sprintf(`{"error":%q}`, code)} }

// authLimited is the limiter's 429, which has no content type and names whole seconds, cut off.
func authLimited(seconds string) reply {
	return reply{status: 429, header: headers("X-Ratelimit-After", seconds), body: "Too Many Requests! Wait for " + seconds + "s"}
}

func authInvalid(text string) reply {
	return reply{status: 400, body: fmt.Sprintf(`{"error":%q,"error_code":"BAD_REQUEST","timestamp":"2026-05-20T12:00:00+00:00"}`, text)}
}

func authBody(req *http.Request) string {
	if req.Body == nil {
		return ""
	}
	data, _ := io.ReadAll(req.Body)
	_ = req.Body.Close()
	return string(data)
}

func authShow(authos.DeviceCode) error { return nil }

// authEnd is how a flow ended.
type authEnd struct {
	tokens authos.Tokens
	err    error
	took   time.Duration
	polls  []float64 // when each came, in seconds from the response with the code
}

// authRun runs a flow against a script whose first response is the code, and waits to see that
// nothing is sent afterwards.
func authRun(t *testing.T, rt *script, opts ...authos.Option) authEnd {
	t.Helper()
	c, start := clientWithoutBreaker(t, rt, opts...), time.Now()
	var end authEnd
	end.tokens, end.err = c.Auth.DeviceLogin(t.Context(), authFlow, authShow)
	end.took = time.Since(start)
	sent := rt.count()
	time.Sleep(24 * time.Hour)
	equal(t, "requests after the end", rt.count()-sent, 0)
	for _, r := range rt.requests() {
		if strings.HasSuffix(r.url, "/auth/token") {
			end.polls = append(end.polls, r.at.Sub(start).Seconds())
		}
	}
	equal(t, "requests for a code", sent-len(end.polls), 1)
	return end
}

// authAt compares times. Where an outage may have brought devices into step the client adds at most
// a tenth, two seconds at most.
func authAt(t *testing.T, got, want []float64, jitter float64) {
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
		poll reply
		want []error
		code authos.Code
	}{
		{"expired", apiError(400, "DEVICE_CODE_EXPIRED"), []error{authos.CodeDeviceCodeExpired, authos.ErrInvalid}, "DEVICE_CODE_EXPIRED"},
		{"unknown code", authInvalid("Invalid device code"), []error{authos.ErrInvalid}, "BAD_REQUEST"},
		{"wrong grant type", authInvalid("Invalid grant type"), []error{authos.ErrInvalid}, "BAD_REQUEST"},
		{"another client", apiError(401, "UNAUTHORIZED"), []error{authos.ErrUnauthenticated}, "UNAUTHORIZED"},
		{"access lost", apiError(403, "FORBIDDEN"), []error{authos.ErrForbidden}, "FORBIDDEN"},
		{"service gone", apiError(404, "NOT_FOUND"), []error{authos.ErrNotFound}, "NOT_FOUND"},
		{"route gone", emptyReply(404), []error{authos.ErrNotFound, authos.CodeRouteNotFound}, "ROUTE_NOT_FOUND"},
		{"framework's 422", reply{status: 422, body: "Failed to deserialize"}, []error{authos.ErrInvalid}, "VALIDATION_ERROR"},
		{"framework's 415", reply{status: 415, body: "Expected request with"}, []error{authos.ErrInvalid}, "UNSUPPORTED_MEDIA_TYPE"},
		{"expired_token", authOAuth("expired_token"), []error{authos.CodeDeviceCodeExpired}, "expired_token"},
		{"access_denied", authOAuth("access_denied"), []error{authos.CodeOAuthAccessDenied, authos.CodeAuthorizationError}, "access_denied"},
		{"documented, nested", reply{status: 400, body: `{"error":{"code":"DEVICE_CODE_EXPIRED","message":"expired"}}`}, []error{authos.CodeDeviceCodeExpired}, "DEVICE_CODE_EXPIRED"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := authRun(t, scripted(codeStep(900, 5), authPending(), tc.poll))
				authAt(t, end.polls, []float64{5, 10}, 0)
				authErrors(t, "DeviceLogin", end.err, tc.want, []error{authos.CodeDeviceCodePending, authos.ErrOutcomeUnknown, authos.ErrSessionExpired})
				if e, ok := errors.AsType[*authos.APIError](end.err); !ok || e.Code != tc.code {
					t.Errorf("error = %v, want the server's own with code %s", end.err, tc.code)
				}
				equal(t, "tokens", anywhere(end.tokens), authos.Tokens{})
			})
		})
	}
	t.Run("sent elsewhere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := authRun(t, scripted(codeStep(900, 5), authPending(), emptyReply(307, "Location", "https://portal.example/")))
			authAt(t, end.polls, []float64{5, 10}, 0)
			if e, ok := errors.AsType[*authos.NetworkError](end.err); !ok || e.Op != "redirect" {
				t.Errorf("error = %v, want the refused redirect", end.err)
			}
		})
	})
	t.Run("granted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			end := authRun(t, scripted(codeStep(900, 5), authPending(), authPending(), authGranted(), authGranted()))
			noError(t, "DeviceLogin", end.err)
			authAt(t, end.polls, []float64{5, 10, 15}, 0)
			equal(t, "tokens", anywhere(end.tokens), authos.Tokens{AccessToken: "device-token", ExpiresAt: start.Add(15*time.Second + 24*time.Hour)})
		})
	})
}

// Every row that does not, and how long the flow then waits. The last response is the token.
func TestDeviceLoginGoesOn(t *testing.T) {
	for _, tc := range []struct {
		name   string
		polls  []reply
		want   []float64 // when they come
		jitter float64   // in all
	}{
		{"pending", []reply{authPending(), authPending(), authPending()}, []float64{5, 10, 15, 20}, 0},
		{"pending, nested", []reply{{status: 400, body: `{"error":{"code":"DEVICE_CODE_PENDING","message":"wait"}}`}}, []float64{5, 10}, 0},
		// Told to wait less than the interval: the interval and 5 s, from then on.
		{"429", []reply{authPending(), authLimited("3"), authPending(), authPending()}, []float64{5, 10, 20, 30, 40}, 0},
		{"429 of 0 s", []reply{authLimited("0"), authPending()}, []float64{5, 15, 25}, 0},
		// More: "30" is less than 31 s, and 5 s more.
		{"429 of 30 s", []reply{authLimited("30"), authPending()}, []float64{5, 41, 77}, 0},
		{"429 twice", []reply{authLimited("0"), authLimited("0"), authPending()}, []float64{5, 15, 30, 45}, 0},
		{"429 that names no wait", []reply{apiError(429, "TOO_MANY_REQUESTS"), authPending()}, []float64{5, 15, 25}, 0},
		{"documented 429", []reply{apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "60"), authPending()}, []float64{5, 70, 135}, 0},
		{"429 longer than calls obey", []reply{apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "300")}, []float64{5, 310}, 0},
		// RFC 8628's own names: told to slow down, the interval is 5 s longer from then on.
		{"authorization_pending", []reply{authOAuth("authorization_pending"), authPending()}, []float64{5, 10, 15}, 0},
		{"slow_down", []reply{authOAuth("slow_down"), authPending(), authOAuth("slow_down"), authPending()}, []float64{5, 15, 25, 40, 55}, 0},
		{"slow_down as a 429", []reply{{status: 429, body: `{"error":"slow_down"}`}, authPending()}, []float64{5, 15, 25}, 0},
		{"slow_down that names a wait", []reply{{status: 400, header: headers("Retry-After", "30"), body: `{"error":"slow_down"}`}, authPending()}, []float64{5, 35, 45}, 0},
		// RFC 8628 doubles the interval where there is no response; one brings it back.
		{"500", []reply{apiError(500, "INTERNAL_SERVER_ERROR"), authPending()}, []float64{5, 15, 20}, 1},
		{"500 that repeating would not help elsewhere", []reply{apiError(500, "AUDIT_ERROR")}, []float64{5, 15}, 1},
		{"502 page", []reply{proxyPage(502), proxyPage(502), proxyPage(502), proxyPage(502), proxyPage(502)}, []float64{5, 15, 75, 135, 195, 255}, 9},
		{"503 page", []reply{proxyPage(503), authPending()}, []float64{5, 15, 20}, 1},
		{"503 that names a wait", []reply{apiError(503, "SERVICE_UNAVAILABLE", "Retry-After", "30"), authPending()}, []float64{5, 35, 40}, 2},
		{"504", []reply{emptyReply(504), authPending()}, []float64{5, 15, 20}, 1},
		{"408", []reply{emptyReply(408), authPending()}, []float64{5, 15, 20}, 1},
		{"reset", []reply{{err: connectionReset()}, authPending()}, []float64{5, 15, 20}, 1},
		{"refused", []reply{{err: dialRefused(), noConn: true}, authPending()}, []float64{5, 15, 20}, 1},
		// 35 s, the attempt's own time, and 10
		{"no response", []reply{{hang: true}, authPending()}, []float64{5, 50, 55}, 1},
		{"a second outage", []reply{proxyPage(502), proxyPage(502), authPending(), proxyPage(502)}, []float64{5, 15, 75, 80, 90}, 5},
		{"a second outage, after a 429", []reply{proxyPage(502), proxyPage(502), authLimited("0"), proxyPage(502)}, []float64{5, 15, 75, 85, 105}, 7},
		{"between 429s", []reply{authLimited("0"), proxyPage(502), authPending()}, []float64{5, 15, 35, 45}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := authRun(t, scripted(slices.Concat([]reply{codeStep(900, 5)}, tc.polls, []reply{authGranted(), authGranted()})...))
				noError(t, "DeviceLogin", end.err)
				authAt(t, end.polls, tc.want, tc.jitter)
				equal(t, "token", end.tokens.AccessToken, "device-token")
			})
		})
	}
}

// Devices that an outage has brought into step do not come back in step.
func TestDeviceLoginJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[float64]bool{}
		for range 20 {
			end := authRun(t, scripted(codeStep(900, 5), proxyPage(502), authGranted()))
			noError(t, "DeviceLogin", end.err)
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
		response reply
		decoded  bool
	}{
		"page":         {proxyPage(200), true},
		"empty":        {emptyReply(200), true},
		"no content":   {emptyReply(204), true},
		"no token":     {reply{status: 200, body: `{"token_type":"Bearer"}`}, true},
		"cut JSON":     {reply{status: 200, body: authToken[:20]}, true},
		"cut body":     {reply{status: 200, body: authToken[:20], cut: io.ErrUnexpectedEOF}, false},
		"reset inside": {reply{status: 200, body: authToken[:20], cut: connectionReset()}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := authRun(t, scripted(codeStep(900, 5), authPending(), tc.response, authPending()))
				authAt(t, end.polls, []float64{5, 10}, 0)
				if _, ok := errors.AsType[*authos.DecodeError](end.err); ok != tc.decoded || !strings.Contains(fmt.Sprintf("%v", end.err), "it is lost") {
					t.Errorf("error = %v, want one that says so, a DecodeError: %v", end.err, tc.decoded)
				}
				authErrors(t, "DeviceLogin", end.err, nil, []error{authos.CodeDeviceCodePending, authos.CodeDeviceCodeExpired})
				equal(t, "of unknown outcome", errors.Is(end.err, authos.ErrOutcomeUnknown), true)
			})
		})
	}
}

// Nobody comes: the code's own time ends the flow, whatever the server goes on saying.
func TestDeviceLoginDeadline(t *testing.T) {
	t.Run("pending", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := authRun(t, scripted(codeStep(900, 5), authPending()))
			equal(t, "polls", len(end.polls), 180)
			equal(t, "took", end.took, 15*time.Minute)
			authErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired}, []error{authos.CodeDeviceCodePending, authos.ErrOutcomeUnknown, authos.ErrNetwork})
			if text := end.err.Error(); !strings.Contains(text, "has expired") || !strings.Contains(text, "denied") || strings.Count(text, "authos: ") != 1 {
				t.Errorf("error = %q, want it to say what happened", text)
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
				equal(t, verb, fmt.Sprintf(verb, end.err), end.err.Error())
			}
			equal(t, "for the user", authos.UserMessage(end.err), "The sign-in code has expired. Please start again.")
			equal(t, "may be tried again", authos.Retryable(end.err), false)
		})
	})
	t.Run("responses lost on the way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := authRun(t, scripted(codeStep(60, 5), reply{err: connectionReset()}, authPending()))
			authErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired, authos.ErrOutcomeUnknown}, []error{authos.ErrNetwork})
			if !strings.Contains(end.err.Error(), "a response was lost") {
				t.Errorf("error = %v, want it to say that a response was lost", end.err)
			}
		})
	})
	t.Run("outage until the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := authRun(t, scripted(codeStep(900, 5), authPending(), proxyPage(503)))
			authErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired, authos.ErrUnavailable, authos.ErrServer, authos.ErrOutcomeUnknown}, nil)
			equal(t, "status of the last response", statusOf(end.err), 503)
			if len(end.polls) > 20 || end.took > 15*time.Minute || end.took < 13*time.Minute {
				t.Errorf("%d polls in %v, want few, to the end", len(end.polls), end.took)
			}
		})
	})
	t.Run("told to wait longer than the code lives", func(t *testing.T) {
		for _, tc := range []struct {
			poll reply
			want error
		}{
			{apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "3600"), authos.ErrRateLimited},
			{apiError(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "99999999999999999999"), authos.ErrRateLimited},
			{apiError(503, "SERVICE_UNAVAILABLE", "Retry-After", "3600"), authos.ErrUnavailable},
			{apiError(503, "SERVICE_UNAVAILABLE", "Retry-After", "99999999999999999999"), authos.ErrUnavailable},
		} {
			synctest.Test(t, func(t *testing.T) {
				end := authRun(t, scripted(codeStep(900, 5), tc.poll, authGranted()))
				authAt(t, end.polls, []float64{5}, 0)
				authErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired, tc.want}, []error{authos.ErrOutcomeUnknown})
				equal(t, "took", end.took, 5*time.Second)
			})
		}
	})
	t.Run("a poll that hangs, and no limit on attempts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := authRun(t, scripted(codeStep(900, 5), authPending(), reply{hang: true}), authos.WithRetry(authos.RetryPolicy{AttemptTimeout: -1, MaxElapsed: -1}))
			authAt(t, end.polls, []float64{5, 10}, 0)
			authErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired, authos.ErrNetwork, authos.ErrOutcomeUnknown}, nil)
			equal(t, "took", end.took, 15*time.Minute+35*time.Second)
		})
	})
	t.Run("a late refusal after a lost response", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := authRun(t, scripted(codeStep(900, 5), reply{err: connectionReset()}, authPending(), authInvalid("Invalid device code")))
			authErrors(t, "DeviceLogin", end.err, []error{authos.ErrInvalid, authos.ErrOutcomeUnknown}, nil)
		})
	})
	t.Run("an unreadable response after a lost one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			end := authRun(t, scripted(codeStep(900, 5), reply{err: connectionReset()}, proxyPage(200)))
			authErrors(t, "DeviceLogin", end.err, []error{authos.ErrOutcomeUnknown}, nil)
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
		{"half a second", `{` + whole + `,"expires_in":1.5,"interval":0.5}`, 1500 * time.Millisecond, time.Second},
		{"for ever", `{` + whole + `,"expires_in":1e300,"interval":1e300}`, 100 * 365 * 24 * time.Hour, 100 * 365 * 24 * time.Hour},
		{"no life", `{` + whole + `,"interval":5}`, 0, 0},
		{"no time left", `{` + whole + `,"expires_in":0,"interval":5}`, 0, 0},
		{"numbers as text", `{` + whole + `,"expires_in":"900","interval":"7"}`, 15 * time.Minute, 7 * time.Second},
		{"no number", `{` + whole + `,"expires_in":"NaN","interval":"NaN"}`, 0, 0},
		{"life of the wrong type", `{` + whole + `,"expires_in":true}`, 0, 0},
		{"no device code", `{"user_code":"ABCD-EFGH","verification_uri":"https://x.example","expires_in":900}`, 0, 0},
		{"no user code", `{"device_code":"d","verification_uri":"https://x.example","expires_in":900}`, 0, 0},
		{"no URI", `{"device_code":"d","user_code":"ABCD-EFGH","expires_in":900}`, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// The response takes two seconds: the code's time is counted from its arrival.
				c := clientWithoutBreaker(t, scripted(reply{status: 200, body: tc.body, took: 2 * time.Second}))
				code, err := c.Auth.RequestDeviceCode(t.Context(), authos.DeviceCodeParams{ClientID: authApp, OrgSlug: "acme", ServiceSlug: "app"})
				if tc.life == 0 {
					if _, ok := errors.AsType[*authos.DecodeError](err); !ok {
						t.Errorf("RequestDeviceCode = %+v, %v, want a DecodeError", code, err)
					}
					return
				}
				noError(t, "RequestDeviceCode", err)
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
	synctest.Test(t, func(t *testing.T) {
		end := authRun(t, scripted(codeStep(60, 20), authPending(), proxyPage(502), authGranted()))
		authAt(t, end.polls, []float64{20, 40}, 0) // doubled, and then some: past the end
		authErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired}, nil)
		end = authRun(t, scripted(codeStep(60, 1e9)))
		authAt(t, end.polls, nil, 0)
		authErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired}, nil)
		equal(t, "took", end.took, 0)
	})
	for _, interval := range []float64{1e-9, 0.001, 0.5, 0.999} { // none makes a device spin
		synctest.Test(t, func(t *testing.T) {
			end := authRun(t, scripted(codeStep(10, interval), authPending()))
			authAt(t, end.polls, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0)
		})
	}
}

// However an outage shows, a device asks at most twice in any minute of it, whatever the interval
// is.
func TestDeviceLoginOutage(t *testing.T) {
	for name, down := range map[string]reply{
		"502 page": proxyPage(502), "503 without a wait": apiError(503, "SERVICE_UNAVAILABLE"), "500": apiError(500, "DATABASE_ERROR"),
		"503 of a second": apiError(503, "SERVICE_UNAVAILABLE", "Retry-After", "1"), "reset": {err: connectionReset()},
		"refused": {err: dialRefused(), noConn: true}, "hang": {hang: true}, "408": emptyReply(408),
	} {
		for _, interval := range []float64{0.001, 1, 5, 20} {
			for _, breaker := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					rt := scripted(codeStep(900, interval), authPending(), down)
					end := authRun(t, rt, authos.WithBreaker(authos.BreakerPolicy{Disabled: !breaker}))
					authErrors(t, "DeviceLogin", end.err, []error{authos.CodeDeviceCodeExpired}, nil)
					polls := end.polls[1:] // from the first that met the outage
					for i := 2; i < len(polls); i++ {
						if polls[i]-polls[i-2] < 60 {
							t.Errorf("%s, interval %v, breaker %t: three polls within a minute: %v", name, interval, breaker, polls)
							break
						}
					}
					if len(polls) < 8 || len(polls) > 17 {
						t.Errorf("%s, interval %v, breaker %t: %d polls in 15 minutes", name, interval, breaker, len(polls))
					}
				})
			}
		}
	}
}

// The whole flow with the fake's own state, in both contracts and with the limiters of today's
// servers: no poll is refused.
func TestDeviceLogin(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		c, shown := authNobody(t, srv), 0
		var code authos.DeviceCode
		show := func(d authos.DeviceCode) error {
			code, shown = d, shown+1
			equal(t, "polls before it is shown", srv.Count("POST", "/auth/token"), 0)
			return nil
		}
		go func() {
			time.Sleep(62 * time.Second)
			page := authNobody(t, srv)
			for _, typed := range []string{code.UserCode, strings.ToLower(code.UserCode), strings.ReplaceAll(code.UserCode, "-", ""), " " + strings.ReplaceAll(code.UserCode, "-", " – ")} {
				what, err := page.Auth.VerifyUserCode(t.Context(), typed)
				if err != nil || what.OrgSlug != "acme" || what.ServiceSlug != "app" {
					t.Errorf("VerifyUserCode(%q) = %+v, %v", typed, what, err)
				}
			}
			srv.ApproveDevice(code.UserCode, adaEmail)
			_, err := page.Auth.VerifyUserCode(t.Context(), code.UserCode)
			authErrors(t, "VerifyUserCode of a code that is used", err, []error{authos.CodeBadRequest}, nil)
		}()
		start := time.Now()
		params := authFlow
		params.Install = true
		tokens, err := c.Auth.DeviceLogin(t.Context(), params, show)
		noError(t, "DeviceLogin", err)
		equal(t, "took", time.Since(start), 65*time.Second)
		equal(t, "shown, polls", [2]int{shown, srv.Count("POST", "/auth/token")}, [2]int{1, 13})
		equal(t, "tokens issued", srv.Applied()["POST /auth/token"], 1)
		if tokens.RefreshToken != "" || !tokens.ExpiresAt.Equal(time.Now().Add(24*time.Hour)) || heldTokens(t, c) != anywhere(tokens) {
			t.Errorf("tokens until %v, want 24 hours, no refresh token, and them installed", tokens.ExpiresAt)
		}
		noError(t, "Get", getUser(t, c))
		if code.VerificationURI != "https://app.acme.example/activate" || !code.ExpiresAt.Equal(start.Add(15*time.Minute)) || code.Interval != 5*time.Second {
			t.Errorf("shown %+v", code)
		}
		for _, r := range srv.Requests() {
			equal(t, r.Path+" refused by the limiter", r.Status == 429, false)
		}
		time.Sleep(time.Hour)
		equal(t, "polls in all", srv.Count("POST", "/auth/token"), 13)
	}, authostest.WithLimiters())
}

// The platform's own tool: somebody who is no platform owner is told so at once.
func TestDeviceLoginAdminCLI(t *testing.T) {
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		srv.AddPlatformOwner("root@example.com", "")
		for _, tc := range []struct {
			email string
			want  error
		}{{"root@example.com", nil}, {adaEmail, authos.ErrForbidden}} {
			c := authNobody(t, srv)
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
				noError(t, "Get", err)
				equal(t, "platform owner", u.IsPlatformOwner != nil && *u.IsPlatformOwner, true)
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
			srv.ApproveDevice(userCode, adaEmail)
			srv.Fault(authostest.Fault{Path: "/auth/token", Times: 1, Kind: authostest.ResetAfter})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
				start := time.Now()
				_, err := authNobody(t, srv).Auth.DeviceLogin(t.Context(), authFlow, func(code authos.DeviceCode) error {
					tc.meet(srv, code.UserCode)
					return nil
				})
				authErrors(t, "DeviceLogin", err, []error{authos.CodeDeviceCodeExpired}, []error{authos.CodeDeviceCodePending})
				equal(t, "of unknown outcome", errors.Is(err, authos.ErrOutcomeUnknown), tc.lost)
				equal(t, "tokens issued", srv.Applied()["POST /auth/token"], map[bool]int{true: 1}[tc.lost])
				if took := time.Since(start); took > 15*time.Minute || took < 14*time.Minute {
					t.Errorf("took %v, want to the end of the code", took)
				}
			})
		})
	}
}

// oldLimiter is the limiter of servers of 2025 on the device routes: ten at once, then one a
// minute.
type oldLimiter struct {
	next http.RoundTripper

	mu      sync.Mutex
	full    time.Time
	refused int
}

func (l *oldLimiter) RoundTrip(req *http.Request) (*http.Response, error) {
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
		_ = authBody(req)
		return authLimited(fmt.Sprint(int(wait / time.Second))).response(req), nil
	}
	return l.next.RoundTrip(req)
}

// Polling at the advertised interval is refused there after the tenth request. The flow slows down
// instead of collecting refusals, and gets its token.
func TestDeviceLoginOldLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		limiter := &oldLimiter{next: srv.Transport()}
		c := localClient(t, limiter)
		start := time.Now()
		tokens, err := c.Auth.DeviceLogin(t.Context(), authFlow, func(code authos.DeviceCode) error {
			time.AfterFunc(10*time.Minute, func() { srv.ApproveDevice(code.UserCode, adaEmail) })
			return nil
		})
		noError(t, "DeviceLogin", err)
		noError(t, "the session", authBearer(t, srv, tokens))
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
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t, authostest.WithLimiters())
		c := authNobody(t, srv)
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				tokens, err := c.Auth.DeviceLogin(t.Context(), authFlow, func(code authos.DeviceCode) error {
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
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c, start := authNobody(t, srv), time.Now()
		_, err := c.Auth.DeviceLogin(t.Context(), authFlow, func(code authos.DeviceCode) error {
			srv.ApproveDevice(code.UserCode, adaEmail)
			srv.Fault(authostest.Fault{Path: "/auth/device/verify", Times: 1, Status: 429, Header: http.Header{"Retry-After": {"30"}}})
			_, err := c.Auth.VerifyUserCode(t.Context(), code.UserCode, authos.WithoutRetry())
			authErrors(t, "VerifyUserCode", err, []error{authos.ErrRateLimited}, nil)
			return nil
		})
		noError(t, "DeviceLogin", err)
		equal(t, "polls", srv.Count("POST", "/auth/token"), 1)
		// At 5 s the gate holds for 25 s more. The interval stays: it was not this flow that was
		// told.
		equal(t, "took", time.Since(start), 30*time.Second)
	})
}

// An open circuit is waited out, and the probe is one of the polls.
func TestDeviceLoginOpenCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(codeStep(900, 5), authPending(), proxyPage(502), proxyPage(502), authGranted())
		var states []string
		end := authRun(t, rt, authos.WithBreaker(authos.BreakerPolicy{FailureThreshold: 2, OpenTimeout: 3 * time.Minute,
			OnStateChange: func(_ string, _, to authos.BreakerState) { states = append(states, string(to)) }}))
		noError(t, "DeviceLogin", end.err)
		equal(t, "states", fmt.Sprint(states), "[open half-open closed]")
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
		steps []reply
		op    string
		acted bool
	}{
		// the request was on its way, and may have made a code
		{"in the request for a code", time.Second, 0, []reply{{hang: true}}, "send", true},
		{"in the first wait", 3 * time.Second, 0, []reply{codeStep(900, 5)}, "wait", false},
		{"between polls", 12 * time.Second, 2, []reply{codeStep(900, 5), authPending()}, "wait", false},
		{"in a poll", 7 * time.Second, 1, []reply{codeStep(900, 5), {hang: true}}, "send", true},
		{"in a wait after a failure", 12 * time.Second, 1, []reply{codeStep(900, 5), proxyPage(502)}, "wait", true},
		{"in a wait after no response", 12 * time.Second, 1, []reply{codeStep(900, 5), {err: connectionReset()}}, "wait", true},
		{"in the wait for a limiter", 12 * time.Second, 1, []reply{codeStep(900, 5), authLimited("30")}, "wait", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt, start := scripted(tc.steps...), time.Now()
				ctx, cancel := context.WithCancelCause(t.Context())
				timer := time.AfterFunc(tc.after, func() { cancel(boom) })
				defer timer.Stop()
				tokens, err := clientWithoutBreaker(t, rt).Auth.DeviceLogin(ctx, authFlow, authShow)
				equal(t, "took", time.Since(start), tc.after)
				authErrors(t, "DeviceLogin", err, []error{context.Canceled, boom}, []error{authos.ErrNetwork, authos.CodeDeviceCodeExpired})
				equal(t, "of unknown outcome", errors.Is(err, authos.ErrOutcomeUnknown), tc.acted)
				if e, ok := errors.AsType[*authos.NetworkError](err); !ok || e.Op != tc.op {
					t.Errorf("error = %v, want it to have happened in %q", err, tc.op)
				}
				equal(t, "tokens", tokens, authos.Tokens{})
				equal(t, "polls", max(rt.count()-1, 0), tc.polls)
				time.Sleep(time.Hour)
				equal(t, "polls afterwards", max(rt.count()-1, 0), tc.polls)
			})
		})
	}
	t.Run("ended already", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			rt := scripted(codeStep(900, 5), authPending())
			_, err := clientWithoutBreaker(t, rt).Auth.DeviceLogin(ctx, authFlow, func(authos.DeviceCode) error { cancel(); return nil })
			authErrors(t, "DeviceLogin", err, []error{context.Canceled}, nil)
			equal(t, "requests", rt.count(), 1)
		})
	})
	t.Run("deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 18*time.Second)
			defer cancel()
			rt, start := scripted(codeStep(900, 5), authPending()), time.Now()
			_, err := clientWithoutBreaker(t, rt).Auth.DeviceLogin(ctx, authFlow, authShow)
			authErrors(t, "DeviceLogin", err, []error{context.DeadlineExceeded, authos.CodeDeviceCodePending}, []error{authos.CodeDeviceCodeExpired, authos.ErrOutcomeUnknown})
			equal(t, "polls", rt.count()-1, 3)
			equal(t, "took", time.Since(start), 15*time.Second) // no poll fits any more
		})
	})
	t.Run("deadline after the code's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 62*time.Second)
			defer cancel()
			_, err := clientWithoutBreaker(t, scripted(codeStep(60, 5), authPending())).Auth.DeviceLogin(ctx, authFlow, authShow)
			authErrors(t, "DeviceLogin", err, []error{authos.CodeDeviceCodeExpired}, []error{context.DeadlineExceeded})
		})
	})
}

// A closed client does not go on polling, neither from the wait nor by taking its refusal for a
// network that may come back.
func TestDeviceLoginClose(t *testing.T) {
	for name, after := range map[string]time.Duration{"in a wait": 7 * time.Second, "in a poll": 11 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				slow := proxyPage(502)
				slow.took = 2 * time.Second
				rt := scripted(codeStep(900, 5), authPending(), slow)
				c, start := clientWithoutBreaker(t, rt), time.Now()
				timer := time.AfterFunc(after, func() { _ = c.Close() })
				defer timer.Stop()
				_, err := c.Auth.DeviceLogin(t.Context(), authFlow, authShow)
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
		synctest.Test(t, func(t *testing.T) {
			rt, broken := scripted(codeStep(900, 5), authPending()), errors.New("no terminal")
			_, err := clientWithoutBreaker(t, rt).Auth.DeviceLogin(t.Context(), authFlow, func(authos.DeviceCode) error { return broken })
			equal(t, "error", err, broken)
			time.Sleep(time.Hour)
			equal(t, "requests", rt.count(), 1)
		})
	})
	t.Run("slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rt := scripted(codeStep(900, 5), authGranted())
			c, start := clientWithoutBreaker(t, rt), time.Now()
			_, err := c.Auth.DeviceLogin(t.Context(), authFlow, func(authos.DeviceCode) error { time.Sleep(time.Minute); return nil })
			noError(t, "DeviceLogin", err)
			equal(t, "took", time.Since(start), 65*time.Second)
		})
	})
	t.Run("slower than the code", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rt := scripted(codeStep(900, 5), authGranted())
			_, err := clientWithoutBreaker(t, rt).Auth.DeviceLogin(t.Context(), authFlow, func(authos.DeviceCode) error { time.Sleep(time.Hour); return nil })
			authErrors(t, "DeviceLogin", err, []error{authos.CodeDeviceCodeExpired}, nil)
			equal(t, "requests", rt.count(), 1)
		})
	})
	t.Run("no code, nothing to show", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := fakeServer(t)
			params := authFlow
			params.ClientID = "somebody"
			_, err := authNobody(t, srv).Auth.DeviceLogin(t.Context(), params, func(authos.DeviceCode) error { t.Error("shown"); return nil })
			authErrors(t, "DeviceLogin", err, []error{authos.CodeBadRequest}, nil)
		})
	})
}

// A caller's options reach every request, and are not changed.
func TestDeviceLoginOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := scripted(codeStep(900, 5), authPending(), authGranted())
		var resp authos.Response
		opts := make([]authos.RequestOption, 0, 8)
		opts = append(opts, authos.WithHeader("X-Tool", "cli"), authos.WithResponse(&resp), authos.WithIdempotent())
		params := authFlow
		params.Resource = "https://api.example.com"
		_, err := clientWithoutBreaker(t, rt).Auth.DeviceLogin(t.Context(), params, authShow, opts...)
		noError(t, "DeviceLogin", err)
		equal(t, "response", resp.StatusCode, 200)
		for _, r := range rt.requests() {
			equal(t, r.url+" with the option's header", r.header.Get("X-Tool"), "cli")
			equal(t, r.url+" with a credential", r.header.Get("Authorization"), "")
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
	authContracts(t, newerContracts, func(t *testing.T, srv *authostest.Server) {
		c, ctx := authNobody(t, srv), t.Context()
		code := deviceCode(t, srv)
		exchange := func(p authos.ExchangeDeviceCodeParams) error {
			_, err := c.Auth.ExchangeDeviceCode(ctx, p)
			return err
		}
		p := authos.ExchangeDeviceCodeParams{DeviceCode: code.DeviceCode, ClientID: authApp}
		authErrors(t, "a code nobody has approved", exchange(p), []error{authos.CodeDeviceCodePending, authos.ErrInvalid}, []error{authos.ErrOutcomeUnknown})
		authErrors(t, "another client's", exchange(authos.ExchangeDeviceCodeParams{DeviceCode: code.DeviceCode, ClientID: "other"}), []error{authos.ErrUnauthenticated}, []error{authos.ErrSessionExpired})
		authErrors(t, "an unknown code", exchange(authos.ExchangeDeviceCodeParams{DeviceCode: authos.NewSecret("x"), ClientID: authApp}), []error{authos.CodeBadRequest}, []error{authos.CodeDeviceCodePending})
		srv.ApproveDevice(code.UserCode, adaEmail)
		srv.SuspendOrg("acme")
		authErrors(t, "of a suspended organization", exchange(p), []error{authos.CodeOrganizationNotActive}, nil)
		srv.ActivateOrg("acme")
		before := srv.Count("POST", "/auth/token")
		remove := srv.Fault(authostest.Fault{Path: "/auth/token", Kind: authostest.ResetBefore})
		_, err := c.Auth.ExchangeDeviceCode(ctx, p, authos.WithIdempotent())
		remove()
		authErrors(t, "no response", err, []error{authos.ErrNetwork, authos.ErrOutcomeUnknown}, nil)
		equal(t, "sent", srv.Count("POST", "/auth/token")-before, 1)
		noError(t, "an approved code", exchange(p))
		authErrors(t, "a used code", exchange(p), []error{authos.CodeDeviceCodePending}, nil)
		late := deviceCode(t, srv)
		time.Sleep(15*time.Minute + time.Second)
		authErrors(t, "a code from before", exchange(authos.ExchangeDeviceCodeParams{DeviceCode: late.DeviceCode, ClientID: authApp}), []error{authos.CodeDeviceCodeExpired}, nil)
	})
}

// A token that lives five minutes and has no refresh token is one all the same: on this route there
// is no second factor to ask for.
func TestExchangeDeviceCodeShortLife(t *testing.T) {
	c := clientWithoutBreaker(t, scripted(reply{status: 200, body: `{"access_token":"opaque","token_type":"Bearer","expires_in":300}`}))
	tokens, err := c.Auth.ExchangeDeviceCode(t.Context(), authos.ExchangeDeviceCodeParams{DeviceCode: authos.NewSecret(authDevice), ClientID: authApp})
	noError(t, "ExchangeDeviceCode", err)
	equal(t, "token", tokens.AccessToken, "opaque")
}

func TestVerifyUserCode(t *testing.T) {
	for _, tc := range []struct{ typed, want string }{
		{"WDJB-MJHT", "WDJB-MJHT"}, {"wdjb-mjht", "WDJB-MJHT"}, {"WDJBMJHT", "WDJB-MJHT"}, {" wdjb mjht\n", "WDJB-MJHT"}, {"WD-JB-MJ-HT", "WDJB-MJHT"},
		{"2345–6789", "2345-6789"}, {"ABCD-EFG", ""}, {"ABCD-EFGHJ", ""}, {"ABCD-EFGI", ""}, {"ABCD-EFGL", "ABCD-EFGL"}, {"ABCD-EFGO", ""}, {"ABCD-EFG0", ""},
		{"ABCD-EFG1", ""}, {"1BCD-EFGH", ""}, {"ABCD-EFGÉ", ""}, {"ABC+-EFGH", ""}, {"", ""}, {"-", ""},
	} {
		rt := scripted(reply{status: 200, body: `{"org_slug":"acme","service_slug":"app","available_providers":["github"]}`})
		_, err := clientWithoutBreaker(t, rt).Auth.VerifyUserCode(t.Context(), tc.typed)
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
	synctest.Test(t, func(t *testing.T) {
		srv := fakeServer(t)
		c, browser := authNobody(t, srv), srv.Transport()
		open := func(target string, err error) string {
			noError(t, "the URL", err)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			noError(t, "the request", err)
			resp, err := browser.RoundTrip(req)
			noError(t, target, err)
			equal(t, "status", resp.StatusCode, 303)
			return resp.Header.Get("Location")
		}
		tokens, err := c.Auth.DeviceLogin(t.Context(), authFlow, func(code authos.DeviceCode) error {
			what, err := c.Auth.VerifyUserCode(t.Context(), code.UserCode)
			if err != nil {
				return err
			}
			provider := open(c.Auth.LoginURL("github", authos.LoginURLParams{OrgSlug: what.OrgSlug, ServiceSlug: what.ServiceSlug, UserCode: strings.ToLower(code.UserCode)}))
			_, state, _ := strings.Cut(provider, "state=")
			open("http://127.0.0.1/auth/github/callback?code="+adaEmail+"&state="+state, nil)
			return nil
		})
		noError(t, "DeviceLogin", err)
		synctest.Wait()
		u, err := localClient(t, srv.Transport(), authos.WithTokens(anywhere(tokens))).User.Get(t.Context())
		noError(t, "Get", err)
		equal(t, "who", u.Email, adaEmail)
	})
}

// A server of October 2025 may not know a code yet that it has just given out: the first poll does
// not end the flow, the second does.
func TestDeviceLoginBeforeTheCodeIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := authRun(t, scripted(codeStep(900, 5), authInvalid("Invalid device code"), authInvalid("Invalid device code")))
		authAt(t, end.polls, []float64{5, 10}, 0)
		authErrors(t, "DeviceLogin", end.err, []error{authos.ErrInvalid}, nil)
	})
}
