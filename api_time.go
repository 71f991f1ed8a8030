package authos

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Time is a point in time as AuthOS sends it. One API uses four formats: RFC 3339 with "Z", RFC
// 3339 with "+00:00", without a zone (it is UTC), and the database's own text. Null, "" and "N/A"
// are the zero Time.
type Time struct{ time.Time }

// UnmarshalJSON reads each of the four formats. A text in another one is an error.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("authos: time: %w", err)
	}
	if s == nil || *s == "" || *s == "N/A" {
		t.Time = time.Time{}
		return nil
	}
	parsed, ok := parseTime(*s)
	if !ok {
		return fmt.Errorf("authos: time in an unknown format, %d bytes long", len(*s))
	}
	t.Time = parsed
	return nil
}

// MarshalJSON writes RFC 3339 with all fractional digits, and null for the zero Time.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return t.Time.MarshalJSON()
}

// timeLayouts are AuthOS's formats, most frequent first. Each takes any number of fractional
// digits: time.Parse accepts them after the seconds without being asked.
var timeLayouts = []string{
	time.RFC3339,
	"2006-01-02T15:04:05",        // zone-less values of its entities
	time.DateTime,                // the database's text: no zone,
	"2006-01-02 15:04:05Z07:00",  // or one,
	"2006-01-02 15:04:05Z07",     // or one of whole hours,
	"2006-01-02 15:04:05 Z07:00", // or one set apart,
	"2006-01-02 15:04:05 UTC",    // or its name
	time.DateOnly,                // analytics
}

// parseTime reads a time in any of AuthOS's formats. A time without a zone is UTC, and so is the
// result.
func parseTime(s string) (time.Time, bool) {
	const longest = 64
	s = strings.TrimSpace(s)
	if len(s) < len(time.DateOnly) || len(s) > longest {
		return time.Time{}, false
	}
	s = strings.ToUpper(s) // RFC 3339, section 5.6: "t" and "z" may be lower case
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
