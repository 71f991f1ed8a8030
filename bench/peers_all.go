//go:build peers

package main

// large are the SDKs of many routes. It takes minutes to compile them, so that "go test" leaves
// them out unless it is given the tag "peers", as "make bench" does.
var large = []peer{goGitHub, openAI}
