package authos_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authos-go/authos"
	"github.com/authos-go/authos/authostest"
)

// A deprecated route is reported once, whatever the form of the field; what is no deprecation is
// not.
func TestDeprecation(t *testing.T) {
	since, sunset := time.Unix(1688169599, 0).UTC(), time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name   string
		header http.Header
		want   *authos.DeprecationEvent
	}{
		{"nothing", http.Header{}, nil},
		{"RFC 9745", http.Header{"Deprecation": {"@1688169599"}}, &authos.DeprecationEvent{Since: since}},
		{"with a sunset", http.Header{"Deprecation": {"@1688169599"}, "Sunset": {sunset.Format(http.TimeFormat)}}, &authos.DeprecationEvent{Since: since, Sunset: sunset}},
		{"a sunset alone", http.Header{"Sunset": {sunset.Format(http.TimeFormat)}}, &authos.DeprecationEvent{Sunset: sunset}},
		{"the drafts' true", http.Header{"Deprecation": {"true"}}, &authos.DeprecationEvent{}},
		{"the drafts' date", http.Header{"Deprecation": {since.Format(http.TimeFormat)}}, &authos.DeprecationEvent{Since: since}},
		{"false", http.Header{"Deprecation": {"false"}}, nil},
		{"junk", http.Header{"Deprecation": {"@soon"}, "Sunset": {"later"}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv := authostest.New()
			defer srv.Close()
			srv.Fault(authostest.Fault{
				Path: "/api/service/info", Status: http.StatusOK, Header: tt.header,
				Body: `{"id":"s1","name":"App","slug":"app","service_type":"web","created_at":"2025-01-01T00:00:00Z"}`,
			})
			var got []authos.DeprecationEvent
			var log strings.Builder
			c, err := authos.New(srv.URL, authos.WithAPIKey(srv.AddAPIKey()), authos.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
				authos.WithObserver(&authos.Observer{Deprecation: func(_ context.Context, e authos.DeprecationEvent) { got = append(got, e) }}))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 3 {
				if _, err := c.Service.Info(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if tt.want == nil {
				if len(got) > 0 || log.Len() > 0 {
					t.Errorf("reported %+v, logged %s", got, log.String())
				}
				return
			}
			tt.want.Method, tt.want.Route = "GET", "/api/service/info"
			if len(got) != 1 || got[0] != *tt.want || strings.Count(log.String(), "level=WARN") != 1 {
				t.Errorf("reported %+v, want %+v once; logged %s", got, *tt.want, log.String())
			}
		})
	}
}
