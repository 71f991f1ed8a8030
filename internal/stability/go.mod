module github.com/authos-go/authos/internal/stability

go 1.26.0

replace (
	github.com/authos-go/authos => ../../
	github.com/authos-go/authos/pgstore => ../../pgstore
	github.com/authos-go/authos/redisstore => ../../redisstore
	github.com/authos-go/authos/verify => ../../verify
)

require (
	github.com/authos-go/authos v0.0.0-00010101000000-000000000000
	github.com/authos-go/authos/pgstore v0.0.0-00010101000000-000000000000
	github.com/authos-go/authos/redisstore v0.0.0-00010101000000-000000000000
	github.com/authos-go/authos/verify v0.0.0-00010101000000-000000000000
	github.com/jackc/pgx/v5 v5.13.0
	github.com/redis/go-redis/v9 v9.23.0
)

require (
	github.com/cenkalti/backoff/v4 v4.3.0 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-jose/go-jose/v4 v4.1.9 // indirect
	github.com/gofrs/flock v0.13.2 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/sony/gobreaker/v2 v2.4.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)
