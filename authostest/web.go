package authostest

import (
	"html"
	"net/http"
)

// webPages are served by the web client that is built into the server. A client
// with a wrong base path ends up here, and is told 200.
var webPages = []string{
	"/", "/app", "/app/*", "/authorize", "/callback", "/register", "/forgot-password", "/reset-password", "/verify-email",
	"/mfa-challenge", "/activate", "/activate/*", "/support", "/bootstrap-login", "/invitations/accept", "/auth/magic-link/verify",
}

func (t *table) webRoutes() {
	for _, path := range webPages {
		t.add("GET", path, public, (*call).webPage)
	}
}

func (c *call) webPage() response {
	if c.october() { // the one path of these that there was: it wanted a parameter that it could not have
		return typed(http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("Wrong number of path arguments for `Path`. Expected 1 but got 0."))
	}
	return page("AuthOS", "This page belongs to the web client.")
}

func page(title, text string) response {
	title, text = html.EscapeString(title), html.EscapeString(text)
	return typed(http.StatusOK, "text/html; charset=utf-8", []byte(
		"<!doctype html>\n<html><head><title>"+title+"</title></head><body><h1>"+title+"</h1><p>"+text+"</p></body></html>\n"))
}
