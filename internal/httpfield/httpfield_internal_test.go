package httpfield

import (
	"bufio"
	"math"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// goldenNow is the local clock of these tests.
var goldenNow = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// retryAfterCases reads testdata/retryafter.txt: value, and the wait as time.Duration prints it.
func retryAfterCases(tb testing.TB) map[string]string {
	tb.Helper()
	file, err := os.Open("testdata/retryafter.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	cases := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.LastIndexByte(line, '|')
		cases[line[1:end]] = strings.TrimSpace(line[end+1:])
	}
	return cases
}

func showWait(d time.Duration, ok bool) string {
	switch {
	case !ok:
		return "-"
	case d == math.MaxInt64:
		return "max"
	default:
		return d.String()
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	for value, want := range retryAfterCases(t) {
		if got := showWait(RetryAfter([]string{value}, goldenNow, goldenNow.Add(99*time.Hour))); got != want {
			t.Errorf("RetryAfter(%q) = %s, want %s", value, got, want)
		}
	}
}

func TestParseRetryAfterLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		values []string
		date   time.Time
		want   string
	}{
		{"none", nil, goldenNow, "-"},
		{"the longest", []string{"5", "30", "10"}, goldenNow, "30s"},
		{"the usable", []string{"abc", "5", "-7"}, goldenNow, "5s"},
		{"a date and seconds", []string{"5", "Mon, 15 Jan 2024 10:30:20 GMT"}, goldenNow, "20s"},
		{"none usable", []string{"abc", ""}, goldenNow, "-"},
		{"joined by a proxy", []string{"5, 5"}, goldenNow, "5s"},
		{"joined without a blank", []string{"5,5"}, goldenNow, "5s"},
		{"joined, the longest", []string{"5, 30, 10"}, goldenNow, "30s"},
		{"joined, the usable", []string{"abc, 5, , -7"}, goldenNow, "5s"},
		{"dates joined", []string{"Mon, 15 Jan 2024 10:30:20 GMT, Mon, 15 Jan 2024 10:30:40 GMT"}, goldenNow, "40s"},
		{"a date and seconds joined", []string{"50, Mon, 15 Jan 2024 10:30:20 GMT"}, goldenNow, "50s"},
		{"an old date joined", []string{"Monday, 15-Jan-24 10:30:20 GMT, 5"}, goldenNow, "20s"},
		{"a decimal of another country", []string{"1,5", "2"}, goldenNow, "2s"},
		{"without a Date", []string{"Mon, 15 Jan 2024 10:30:20 GMT"}, time.Time{}, "20s"},
		{"a Date of its own", []string{"Mon, 15 Jan 2024 10:30:20 GMT"}, goldenNow.Add(15 * time.Second), "5s"},
		{"a Date behind the centuries", []string{"Fri, 31 Dec 9999 23:59:59 GMT"}, time.Unix(0, 0), "max"},
	} {
		if got := showWait(RetryAfter(tt.values, tt.date, goldenNow)); got != tt.want {
			t.Errorf("%s: RetryAfter = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

const (
	date   = "Mon, 15 Jan 2024 10:30:00 GMT" // goldenNow
	inHour = "1705318200"                    // an hour later, in Unix seconds
)

func TestAskedWait(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status int
		header http.Header
		body   BodyWaits
		want   string
	}{
		{"nothing", 429, nil, BodyWaits{}, "-"},
		{"Retry-After decides", 429, header("Retry-After", "5", "X-RateLimit-Reset", inHour), BodyWaits{Wait: time.Minute, Asked: true}, "5s"},
		{"Retry-After unusable", 429, header("Retry-After", "soon", "X-RateLimit-Reset", inHour, "Date", date), BodyWaits{Wait: time.Minute, Asked: true}, "1h0m0s"},
		{"Retry-After zero", 503, header("Retry-After", "0"), BodyWaits{Wait: time.Minute, Asked: true}, "0s"},
		{"limiter", 429, header("X-Ratelimit-After", "3"), BodyWaits{}, "4s"},
		{"limiter, less than a second", 429, header("x-ratelimit-after", "0"), BodyWaits{}, "1s"},
		{"limiter, huge", 429, header("x-ratelimit-after", "99999999999999999999"), BodyWaits{}, "max"},
		{"limiter, junk", 429, header("x-ratelimit-after", "-3"), BodyWaits{}, "-"},
		{"reset, nothing remains", 403, header("X-RateLimit-Reset", inHour, "X-RateLimit-Remaining", "0", "Date", date), BodyWaits{}, "1h0m0s"},
		{"reset, some remain", 429, header("X-RateLimit-Reset", inHour, "X-RateLimit-Remaining", "3", "Date", date), BodyWaits{}, "-"},
		{"reset, remaining not sent, 429", 429, header("X-RateLimit-Reset", inHour, "Date", date), BodyWaits{}, "1h0m0s"},
		{"reset, remaining not sent, 500", 500, header("X-RateLimit-Reset", inHour, "Date", date), BodyWaits{}, "-"},
		{"reset in the past", 429, header("X-RateLimit-Reset", "1705310000", "Date", date), BodyWaits{}, "0s"},
		{"reset as seconds left", 429, header("X-RateLimit-Reset", "60", "Date", date), BodyWaits{}, "1m0s"},
		{"reset huge", 429, header("X-RateLimit-Reset", "99999999999999999999", "Date", date), BodyWaits{}, "2088349h17m16.854775807s"},
		{"reset without Date", 429, header("X-RateLimit-Reset", inHour), BodyWaits{}, "1h0m0s"},
		{"server clock ahead", 429, header("X-RateLimit-Reset", inHour, "Date", "Mon, 15 Jan 2024 11:29:00 GMT"), BodyWaits{}, "1m0s"},
		{"ietf", 429, header("RateLimit", `"default";r=0;t=30`), BodyWaits{}, "30s"},
		{"ietf, token", 429, header("RateLimit", `default;r=0;t=30`), BodyWaits{}, "30s"},
		{"ietf, some remain", 429, header("RateLimit", `"default";r=2;t=30`), BodyWaits{}, "-"},
		{"ietf, several", 429, header("RateLimit", `"a";r=0;t=5, "b,c";r=0;t=7;x="d;t=99", "e";r=4;t=60`), BodyWaits{}, "7s"},
		{"ietf, several lines", 429, header("RateLimit", `"a";r=0;t=5`, "RateLimit", `"b";r=0;t=8`), BodyWaits{}, "8s"},
		{"ietf, dictionary", 429, header("RateLimit", `limit=10, remaining=0, reset=30`), BodyWaits{}, "30s"},
		{"ietf, separate", 503, header("RateLimit-Limit", "10", "RateLimit-Remaining", "0", "RateLimit-Reset", "12"), BodyWaits{}, "12s"},
		{"ietf, separate, 429", 429, header("RateLimit-Reset", "12"), BodyWaits{}, "12s"},
		{"ietf, quoted quote", 429, header("RateLimit", `"a\",b";r=0;t=5`), BodyWaits{}, "5s"},
		{"ietf, too many", 429, header("RateLimit", strings.Repeat(`"a";r=0;t=5, `, maxLimits)+`"b";r=0;t=9`), BodyWaits{}, "5s"},
		{"ietf, too many members", 429, header("RateLimit", strings.Repeat(`x=1, `, maxLimits)+`reset=9`), BodyWaits{}, "-"},
		{"ietf, separate junk", 429, header("RateLimit-Reset", "soon"), BodyWaits{}, "-"},
		{"ietf, no time", 429, header("RateLimit", `"default";r=0`), BodyWaits{}, "-"},
		{"body", 503, nil, BodyWaits{Wait: 90 * time.Second, Asked: true}, "1m30s"},
		{"body, zero", 503, nil, BodyWaits{Asked: true}, "0s"},
		{"body, until", 503, header("Date", date), BodyWaits{Until: goldenNow.Add(time.Minute)}, "1m0s"},
		{"body, until in the past", 503, header("Date", date), BodyWaits{Until: goldenNow.Add(-time.Minute)}, "0s"},
		{"the longest", 429, header("x-ratelimit-after", "3", "RateLimit", `"d";r=0;t=30`, "X-RateLimit-Reset", "20"), BodyWaits{Wait: 10 * time.Second, Asked: true}, "30s"},
	} {
		if got := showWait(AskedWait(tt.header, tt.status, tt.body, goldenNow)); got != tt.want {
			t.Errorf("%s: AskedWait = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestParseRateLimit(t *testing.T) {
	t.Parallel()
	at := goldenNow.Add
	for _, tt := range []struct {
		name   string
		header http.Header
		want   *RateLimit
	}{
		{"none", header("Content-Type", "application/json"), nil},
		{"all", header("X-RateLimit-Limit", "100", "X-RateLimit-Remaining", "99", "X-RateLimit-Reset", inHour), &RateLimit{100, 99, at(time.Hour)}},
		{"limit only", header("X-RateLimit-Limit", "100"), &RateLimit{100, -1, time.Time{}}},
		{"remaining only", header("X-RateLimit-Remaining", " 0 "), &RateLimit{-1, 0, time.Time{}}},
		{"reset only", header("X-RateLimit-Reset", inHour), &RateLimit{-1, -1, at(time.Hour)}},
		{"junk", header("X-RateLimit-Limit", "many", "X-RateLimit-Remaining", "-1", "X-RateLimit-Reset", "soon"), nil},
		{"too large", header("X-RateLimit-Limit", "99999999999999999999"), nil},
		{"with windows", header("X-RateLimit-Limit", "100, 100;w=60"), &RateLimit{100, -1, time.Time{}}},
		{"ietf", header("RateLimit", `"default";r=5;t=30`, "RateLimit-Policy", `"other";q=7, "default";q=50;w=60`, "Date", date), &RateLimit{50, 5, at(30 * time.Second)}},
		{"ietf, the tightest", header("RateLimit", `"a";r=5;t=30, "b";r=1;t=60`, "Date", date), &RateLimit{-1, 1, at(time.Minute)}},
		{"ietf, separate", header("RateLimit-Limit", "10", "RateLimit-Remaining", "4", "RateLimit-Reset", "2.5", "Date", date), &RateLimit{10, 4, at(2500 * time.Millisecond)}},
		{"ietf before the rest", header("RateLimit", `limit=10, remaining=4`, "X-RateLimit-Limit", "100"), &RateLimit{10, 4, time.Time{}}},
		{"ietf unusable", header("RateLimit", `?1`, "X-RateLimit-Limit", "100"), &RateLimit{100, -1, time.Time{}}},
		{"ietf, no r", header("RateLimit", `"a";t=30`, "Date", date), nil},
		{"ietf, negative r", header("RateLimit", `"a";r=-1;t=30`, "Date", date), nil},
		{"ietf, decimal r", header("RateLimit", `"a";r=0.0;t=30`, "Date", date), nil},
		{"ietf, text r", header("RateLimit", `"a";r="0";t=30`, "Date", date), nil},
		{"ietf, r of 16 digits", header("RateLimit", `"a";r=0000000000000000;t=30`, "Date", date), nil},
		{"ietf, an inner list", header("RateLimit", `("a");r=0;t=30`, "Date", date), nil},
		{"ietf, no name", header("RateLimit", `;r=0;t=30`, "Date", date), nil},
		{"ietf, negative t", header("RateLimit", `"a";r=0;t=-30`, "Date", date), nil},
		{"ietf, decimal t", header("RateLimit", `"a";r=0;t=1.5`, "Date", date), nil},
		{"ietf, empty t", header("RateLimit", `"a";r=0;t`, "Date", date), nil},
		{"ietf, one of two malformed", header("RateLimit", `"a";r=-1;t=30, "b";r=1;t=60`, "Date", date), &RateLimit{-1, 1, at(time.Minute)}},
	} {
		if got := ParseRateLimit(tt.header); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: ParseRateLimit = %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestParseChallenges(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("A x=1, ", 40)
	params := "Bearer " + strings.Repeat("p", 1)
	for i := range 60 {
		params += strings.Repeat("q", i+1) + "=1, "
	}
	for _, tt := range []struct {
		name   string
		values []string
		want   []Challenge
	}{
		{"none", nil, nil},
		{"empty", []string{"", " , ,"}, nil},
		{"scheme", []string{"Bearer"}, []Challenge{{Scheme: "Bearer"}}},
		{"the guide's", []string{`Bearer realm="api", error="invalid_token"`}, []Challenge{{"Bearer", map[string]string{"realm": "api", "error": "invalid_token"}}}},
		{"RFC 9110", []string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`}, []Challenge{
			{"Basic", map[string]string{"realm": "simple"}},
			{"Newauth", map[string]string{"realm": "apps", "type": "1", "title": `Login to "apps"`}},
		}},
		{"two lines", []string{`Basic realm="a"`, `Digest REALM=b`}, []Challenge{{"Basic", map[string]string{"realm": "a"}}, {"Digest", map[string]string{"realm": "b"}}}},
		{"token68", []string{`Negotiate YWJj==, Basic realm="x"`}, []Challenge{{"Negotiate", map[string]string{"": "YWJj=="}}, {"Basic", map[string]string{"realm": "x"}}}},
		{"schemes only", []string{`Negotiate, NTLM`}, []Challenge{{Scheme: "Negotiate"}, {Scheme: "NTLM"}}},
		{"comma in quotes", []string{`Bearer scope="a, b=c", realm="d"`}, []Challenge{{"Bearer", map[string]string{"scope": "a, b=c", "realm": "d"}}}},
		{"blanks around =", []string{`Bearer realm = "a" , error = b`}, []Challenge{{"Bearer", map[string]string{"realm": "a", "error": "b"}}}},
		{"comma forgotten", []string{`Bearer realm="a" error="b"`}, []Challenge{{"Bearer", map[string]string{"realm": "a", "error": "b"}}}},
		{"name twice", []string{`Bearer realm="a", realm="b"`}, []Challenge{{"Bearer", map[string]string{"realm": "a"}}}},
		{"quote not closed", []string{`Bearer realm="a\`}, []Challenge{{"Bearer", map[string]string{"realm": `a\`}}}},
		{"no scheme", []string{`realm="api", error="invalid_token"`}, nil},
		{"parameters before a scheme", []string{`realm="api", Bearer error=a`}, []Challenge{{"Bearer", map[string]string{"error": "a"}}}},
		{"junk", []string{`=, "x", @@ Bearer realm=a`}, []Challenge{{"Bearer", map[string]string{"realm": "a"}}}},
	} {
		if got := ParseChallenges(tt.values); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: ParseChallenges(%q) = %+v, want %+v", tt.name, tt.values, got, tt.want)
		}
	}
	if got := ParseChallenges([]string{many, many}); len(got) != maxChallenges {
		t.Errorf("%d challenges kept, want %d", len(got), maxChallenges)
	}
	if got := ParseChallenges([]string{params}); len(got) != 1 || len(got[0].Params) != maxChallengeParams {
		t.Errorf("%d challenges with %d parameters kept, want 1 with %d", len(got), len(got[0].Params), maxChallengeParams)
	}
}

// What is malformed asks for no wait either.
func TestMalformedRateLimitAsksNothing(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		`"a";r=0;t=30`: 30 * time.Second, `"a";r=1;t=30`: 0, `"a";t=30`: 0, `"a";r=-1;t=30`: 0, `"a";r=0.0;t=30`: 0, `"a";r="0";t=30`: 0, `"a";r=0;t=-3`: 0,
	} {
		if got, ok := AskedWait(header("RateLimit", value), 429, BodyWaits{}, goldenNow); got != want || ok != (want > 0) {
			t.Errorf("%s asks for %s, %v, want %s", value, got, ok, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for value := range retryAfterCases(f) {
		f.Add(value, "5", int64(0))
	}
	f.Fuzz(func(t *testing.T, a, b string, date int64) {
		d, ok := RetryAfter([]string{a, b}, time.Unix(date, 0), goldenNow)
		one, okOne := RetryAfter([]string{a}, time.Unix(date, 0), goldenNow)
		switch {
		case d < 0 || one < 0:
			t.Fatalf("RetryAfter(%q, %q) = %s", a, b, d)
		case okOne && (!ok || d < one):
			t.Fatalf("RetryAfter(%q, %q) = %s %t, but %s without the second", a, b, d, ok, one)
		case !ok && d != 0:
			t.Fatalf("RetryAfter(%q, %q) = %s, not usable", a, b, d)
		}
	})
}

func FuzzRateLimit(f *testing.F) {
	f.Add("RateLimit", `"default";r=0;t=30`, `"default";q=10;w=60`, 429)
	f.Add("RateLimit", `limit=10, remaining=0, reset=30`, "", 200)
	f.Add("X-RateLimit-Reset", inHour, "", 429)
	f.Add("X-RateLimit-After", "0", "", 429)
	f.Add("RateLimit-Limit", "10, 10;w=1", "", 503)
	f.Fuzz(func(t *testing.T, name, value, policy string, status int) {
		h := http.Header{http.CanonicalHeaderKey(name): {value}, "Ratelimit-Policy": {policy}}
		if d, ok := AskedWait(h, status, BodyWaits{}, goldenNow); d < 0 || !ok && d != 0 {
			t.Fatalf("AskedWait = %s %t", d, ok)
		}
		if r := ParseRateLimit(h); r != nil && (r.Limit < -1 || r.Remaining < -1 || r.Limit < 0 && r.Remaining < 0 && r.Reset.IsZero()) {
			t.Fatalf("ParseRateLimit = %+v", r)
		}
	})
}

func FuzzChallenges(f *testing.F) {
	f.Add(`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`, "Negotiate YWJj==")
	f.Add(`Bearer realm="a\`, `=, "x", @@`)
	f.Fuzz(func(t *testing.T, a, b string) {
		all := ParseChallenges([]string{a, b})
		if len(all) > maxChallenges {
			t.Fatalf("%d challenges", len(all))
		}
		for _, c := range all {
			if c.Scheme == "" || strings.ContainsAny(c.Scheme, " \t,\"") || len(c.Params) > maxChallengeParams {
				t.Fatalf("challenge %+v", c)
			}
			for name := range c.Params {
				if name != strings.ToLower(name) || name == "" && len(c.Params) > 1 {
					t.Fatalf("challenge %+v", c)
				}
			}
		}
	})
}
