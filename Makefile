# The checks themselves are in .ci/run; this file gives them short names.
.DEFAULT_GOAL := help
.PHONY: help test test-short race lint fuzz bench examples generate docs shape ci nightly snapshot release-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## all tests of the root module
	go test ./...

test-short: ## the tests without the long ones
	go test -short ./...

race: ## the tests of all modules under the race detector, the root module without the long ones
	bash .ci/run race nested

lint: ## gofmt, vet, staticcheck and golangci-lint, as pinned in tools/go.mod
	bash .ci/run gofmt vet tidy tools lint staticcheck

fuzz: ## every fuzz target for two seconds
	bash .ci/run fuzz

bench: ## measure everything beside the peers on both Go releases, and write docs/performance.md
	cd bench && go run -tags peers .

examples: ## run every example
	bash .ci/run examples

generate: ## the generated files: route table, docs/api.md, docs/errors.md
	go generate ./...

docs: ## links, commands and Go blocks of the documents
	bash .ci/run docs

shape: ## which files depend on each other in a circle, and the longest functions
	go run ./internal/cmd/shape

ci: ## every check, as a pull request runs it
	bash .ci/run

nightly: ## what takes too long for every pull request
	bash .ci/run nightly

snapshot: ## the binaries of a release with their lists of parts, in dist/; nothing is published
	bash .ci/run snapshot

release-check: ## what RELEASE.md wants before a tag: every check, and no change left behind
	bash .ci/run
	git diff --exit-code
