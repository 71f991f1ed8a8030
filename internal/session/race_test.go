//go:build race

package session

// The searches have one goroutine each; the race detector only makes them ten times slower.
const raceDetector = true
