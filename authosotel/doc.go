// Package authosotel tells OpenTelemetry what an AuthOS client does: a span and a duration for each
// call, a span and a duration for each request it takes, and what the client decides in between.
//
//	tel, err := authosotel.New()
//	client, err := authos.New(baseURL, tel.Options()...)
//	err = tel.Watch(client)
//
// A call is an INTERNAL span, named as the route ("GET /api/user"). Each sending of a request, the
// resend after a token refresh included, is a CLIENT span below it by the HTTP semantic conventions
// (version 1.43.0 of the schema): http.request.method, server.address, server.port, url.full
// without query and fragment, url.template, http.request.resend_count, http.response.status_code,
// network.protocol.version, error.type. The span's context is sent in the headers of the propagator
// (traceparent, by default). A call that the caller canceled is no error.
//
// Metrics, in seconds where they are times:
//
//	http.client.request.duration      each request, by the conventions
//	authos.client.call.duration       each call, waits included; authos.stale where a cached response was served
//	authos.client.call.attempts       attempts of each call; 0 where nothing was sent
//	authos.client.wait.duration       each wait, by authos.wait.reason: retry, gate, lock, refresh in doubt
//	authos.client.refreshes           token refreshes, by authos.refresh.outcome: refreshed, adopted, unsaved, failed
//	authos.client.breaker.state       0 closed, 1 half-open, 2 open, by authos.breaker.group; see [Telemetry.Watch]
//	authos.client.stale.age           age of each stale response that was served
//
// Attributes are bounded: routes are templates, errors are codes and kinds. No attribute holds a
// token, an id of a user, a query or an error's text.
package authosotel
