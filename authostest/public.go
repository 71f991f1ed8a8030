package authostest

import "net/http"

func (t *table) publicRoutes() {
	t.add("GET", "/health", public, (*call).health)
	t.add("GET", "/.well-known/jwks.json", public, (*call).jwks)
}

// version is that of the server whose behavior this package follows.
const version = "0.1.40"

func (c *call) health() answer {
	return jsonAnswer(http.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version"`
	}{"healthy", version})
}
