package main

import (
	"net/http"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
)

var failsafeGo = peer{
	name:    "failsafe-go",
	modules: []string{"github.com/failsafe-go/failsafe-go"},
	about: "its default HTTP retry policy (2 retries without a wait) around a breaker for errors and 5xx; that opens after 5 " +
		"failures in a row, for its default minute, since its default is the first failure",
	breaker: true,
	open: func(s setup) (caller, error) {
		breaker := circuitbreaker.NewBuilder[*http.Response]().HandleIf(func(resp *http.Response, err error) bool {
			return err != nil || resp.StatusCode >= 500
		}).WithFailureThreshold(5).Build()
		policies := []failsafe.Policy[*http.Response]{failsafehttp.NewRetryPolicyBuilder().Build(), breaker}
		if s.once {
			policies = policies[1:]
		}
		hc := s.client()
		hc.Transport = failsafehttp.NewRoundTripper(s.transport, policies...)
		return &plain{s.base, hc}, nil
	},
}
