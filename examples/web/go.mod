module github.com/authos-go/authos/examples/web

go 1.26.0

replace github.com/authos-go/authos => ../../

require (
	github.com/authos-go/authos v0.0.0-00010101000000-000000000000
	github.com/chromedp/chromedp v0.23.0
	github.com/gorilla/securecookie v1.1.2
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/chromedp/cdproto v0.159.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)
