package main

import (
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"
)

var naiveStack = peer{
	name:    "the three libraries, stacked",
	modules: []string{"github.com/hashicorp/go-retryablehttp", "github.com/sony/gobreaker/v2", "github.com/cenkalti/backoff/v4"},
	about: "gobreaker around go-retryablehttp with the waits of backoff/v4, each with its defaults " +
		"(more than 5 failed calls in a row, 60 s)",
	breaker: true,
	open: func(s setup) (caller, error) {
		c := newRetrying(s)
		c.Backoff = func(_, _ time.Duration, attempt int, _ *http.Response) time.Duration {
			waits := backoff.NewExponentialBackOff()
			for range attempt {
				waits.NextBackOff()
			}
			return waits.NextBackOff()
		}
		breaker := gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{})
		return &retryingClient{s.base, func(req *retryablehttp.Request) (*http.Response, error) {
			return breaker.Execute(func() (*http.Response, error) { return c.Do(req) })
		}}, nil
	},
}
