package authostest

// What a long run would pile up is bounded. Each bound is far above what a test looks
// at, and the server behaves the same beyond it but for what is said here.
const (
	maxIssued     = 20_000 // access tokens that no session has any more: revoked, like a token that was never known
	maxConsumed   = 50_000 // refresh tokens whose replay costs the session
	maxLogins     = 20_000 // sign-ins for the analytics
	maxAudits     = 10_000 // audit records, for each organization and for the platform
	maxDispatches = 1_000  // deliveries, for each webhook
	maxMails      = 10_000
)

// newest drops the older half of a list that has become twice as long as it may be, so
// that forgetting costs little for each element.
func newest[T any](list []T, most int) []T {
	if len(list) < 2*most {
		return list
	}
	kept := copy(list, list[len(list)-most:])
	clear(list[kept:])
	return list[:kept]
}

// tokenOrder is the order in which tokens came, of those that may be forgotten.
type tokenOrder struct {
	issued   []hash
	consumed []hash
}

// issue remembers the access token of a session.
func (sc *scene) issue(row *session, key int) {
	sc.issued[row.access] = &issuedToken{sessionID: row.id, expires: row.accessExpires, key: key}
	sc.order.issued = append(sc.order.issued, row.access)
	if len(sc.order.issued) < 2*maxIssued {
		return
	}
	var kept []hash
	old := len(sc.order.issued) - maxIssued
	for _, h := range sc.order.issued[:old] {
		if row := sc.sessions[sc.issued[h].sessionID]; row != nil && row.access == h {
			kept = append(kept, h)
		} else {
			delete(sc.issued, h)
		}
	}
	sc.order.issued = append(kept, sc.order.issued[old:]...)
}

// consume remembers that a refresh token has been exchanged.
func (sc *scene) consume(token hash, sessionID string) {
	sc.consumed[token] = sessionID
	sc.order.consumed = append(sc.order.consumed, token)
	if len(sc.order.consumed) < 2*maxConsumed {
		return
	}
	old := len(sc.order.consumed) - maxConsumed
	for _, h := range sc.order.consumed[:old] {
		delete(sc.consumed, h)
	}
	sc.order.consumed = newest(sc.order.consumed, maxConsumed)
}
