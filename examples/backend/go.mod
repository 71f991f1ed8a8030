module github.com/authos-go/authos/examples/backend

go 1.26.0

replace (
	github.com/authos-go/authos => ../../
	github.com/authos-go/authos/verify => ../../verify
)

require (
	github.com/authos-go/authos v0.0.0-00010101000000-000000000000
	github.com/authos-go/authos/verify v0.0.0-00010101000000-000000000000
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)
