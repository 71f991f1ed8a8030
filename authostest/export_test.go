package authostest

// Covered is one route of a contract, and what the server does about it.
type Covered struct{ Method, Route, How string }

// CoverageOf lists the routes of a contract.
func CoverageOf(contract Contract) []Covered {
	var out []Covered
	for _, c := range coverageOf(contract) {
		out = append(out, Covered{c.method, c.route, string(c.how)})
	}
	return out
}
