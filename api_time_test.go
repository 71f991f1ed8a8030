package authos_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/authos-go/authos"
)

func TestTimeFormats(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		// RFC 3339 with an offset, 0, 3, 6 and 9 digits
		`"2026-05-20T12:00:00+00:00"`:           at,
		`"2026-05-20T12:00:00.123+00:00"`:       at.Add(123 * time.Millisecond),
		`"2026-05-20T12:00:00.123456+00:00"`:    at.Add(123456 * time.Microsecond),
		`"2026-05-20T12:00:00.123456789+00:00"`: at.Add(123456789),
		`"2026-05-20T14:00:00+02:00"`:           at,
		// with Z
		`"2026-05-20T12:00:00Z"`:        at,
		`"2026-05-20T12:00:00.123456Z"`: at.Add(123456 * time.Microsecond),
		`"2026-05-20t12:00:00z"`:        at,
		// without a zone
		`"2026-05-20T12:00:00"`:        at,
		`"2026-05-20T12:00:00.123456"`: at.Add(123456 * time.Microsecond),
		// the database's text
		`"2026-05-20 12:00:00"`:           at,
		`"2026-05-20 12:00:00.5"`:         at.Add(500 * time.Millisecond),
		`"2026-05-20 12:00:00+00"`:        at,
		`"2026-05-20 12:00:00.5+02:00"`:   at.Add(-2*time.Hour + 500*time.Millisecond),
		`"2026-05-20 12:00:00 +00:00"`:    at,
		`"2026-05-20 12:00:00.25 UTC"`:    at.Add(250 * time.Millisecond),
		`" 2026-05-20T12:00:00Z "`:        at,
		`"2026-05-20"`:                    at.Add(-12 * time.Hour),
		`"\u0032026-05-20T12:00:00Z"`:     at,
		`""`:                              {},
		`"N/A"`:                           {},
		`null`:                            {},
		`"0001-01-01T00:00:00Z"`:          {},
		`"2026-05-20T12:00:00.000000000"`: at,
	} {
		got := authos.Time{Time: time.Unix(1, 0)}
		if err := json.Unmarshal([]byte(in), &got); err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("Unmarshal(%s) = %v, %v, want %v", in, got, err, want)
		}
	}
}

func TestTimeRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`"yesterday"`, `"12:00:00"`, `1716206400`, `true`, `{}`, `[]`, `"2026-13-20T12:00:00Z"`, `"2026-05-20T12:00:00Z and more"`, `"n/a"`, `" "`} {
		var got authos.Time
		if err := json.Unmarshal([]byte(in), &got); err == nil {
			t.Errorf("Unmarshal(%s) = %v, want an error", in, got)
		}
	}
}

func TestTimeMarshal(t *testing.T) {
	t.Parallel()
	in := struct {
		A, B authos.Time
		C    authos.Time `json:",omitzero"`
	}{A: authos.Time{Time: time.Date(2026, 5, 20, 12, 0, 0, 123456789, time.UTC)}}
	got, err := json.Marshal(in)
	if want := `{"A":"2026-05-20T12:00:00.123456789Z","B":null}`; err != nil || string(got) != want {
		t.Errorf("Marshal = %s, %v, want %s", got, err, want)
	}
}

func FuzzTime(f *testing.F) {
	for _, in := range []string{
		`"2026-05-20T12:00:00.123456789+00:00"`, `"2026-05-20T12:00:00.123456"`, `"2026-05-20 12:00:00"`, `"2026-05-20"`, `"N/A"`, `null`, `""`, `7`,
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var first, second authos.Time
		if json.Unmarshal(in, &first) != nil {
			return
		}
		out, err := json.Marshal(first)
		if err != nil {
			t.Fatalf("%s is read as %v, but not written: %v", in, first, err)
		}
		if err := json.Unmarshal(out, &second); err != nil || !second.Equal(first.Time) {
			t.Fatalf("%s became %s, then %v, %v", in, out, second, err)
		}
	})
}
