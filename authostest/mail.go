package authostest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Mail is a message that the server has sent. It goes nowhere: tests read it with
// [Server.MailFor].
type Mail struct {
	Kind  MailKind
	To    string
	Token string    // what the link in the message carries
	Link  string    // the whole link, to the server's hosted pages
	Sent  time.Time // by the server's clock
}

// MailKind says why a mail was sent.
type MailKind string

const (
	// VerificationMail has a token for GET /auth/verify-email. It lives 24 hours.
	VerificationMail MailKind = "verify-email"
	// PasswordResetMail has a token for POST /api/auth/reset-password. It lives an hour.
	PasswordResetMail MailKind = "reset-password"
	// MagicLinkMail has a token for GET /api/auth/magic-link/verify. It lives 15 minutes.
	MagicLinkMail MailKind = "magic-link"
	// InvitationMail has a token for POST /api/invitations/accept. It lives seven days.
	InvitationMail MailKind = "invitation"
)

// The lives of the mailed tokens, each good for one use.
const (
	verificationLife = 24 * time.Hour
	resetLife        = time.Hour
	magicLinkLife    = 15 * time.Minute
)

// mailLimit is how many mails one address is sent in mailWindow. The four routes
// that send mail share it.
const (
	mailLimit  = 5
	mailWindow = time.Hour
)

// mailbox is what was sent, and what the links in it are good for.
type mailbox struct {
	sent    []Mail
	asked   map[string][]time.Time // by lower-case address
	verify  map[hash]mailedToken
	resets  map[hash]mailedToken
	context map[hash]linkContext // of magic links that were asked for with one
}

type mailedToken struct {
	userID  string
	expires time.Time
	used    bool
}

// linkContext binds a magic link to what it was requested with.
type linkContext struct {
	org, service       string
	redirectURI, state *string
}

func newMailbox() mailbox {
	return mailbox{
		asked:   map[string][]time.Time{},
		verify:  map[hash]mailedToken{},
		resets:  map[hash]mailedToken{},
		context: map[hash]linkContext{},
	}
}

// MailFor returns the mail sent to an address, oldest first. There is none
// without [WithMail].
func (s *Server) MailFor(email string) []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Mail
	for _, m := range s.scene.mail.sent {
		if strings.EqualFold(m.To, email) {
			out = append(out, m)
		}
	}
	return out
}

// post sends a mail with a fresh token and returns the token's hash.
func (c *call) post(kind MailKind, to, page string) hash {
	token := c.s.newID()
	if kind == MagicLinkMail {
		token = segment(c.s.randomBytes(32))
	}
	box := &c.s.scene.mail
	box.sent = append(newest(box.sent, maxMails), Mail{Kind: kind, To: to, Token: token, Link: c.s.URL + page + "?token=" + token, Sent: c.now})
	return hashOf(token)
}

// mailOff refuses what needs mail on a server that has none. It is a lasting
// condition in spite of the status.
func (c *call) mailOff(what string) *response {
	if c.s.config.mail {
		return nil
	}
	a := c.fail(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE",
		"Email delivery is not configured on this instance, so "+what+" is unavailable")
	return &a
}

// mailLimited counts a request for mail, and refuses the sixth within an hour.
// The window slides: only requests that were let through count.
func (c *call) mailLimited(email string) *response {
	if !c.s.config.limiters {
		return nil
	}
	box, key := &c.s.scene.mail, strings.ToLower(email)
	asked := slices.DeleteFunc(box.asked[key], func(at time.Time) bool { return c.now.Sub(at) >= mailWindow })
	if len(asked) < mailLimit {
		box.asked[key] = append(asked, c.now)
		return nil
	}
	box.asked[key] = asked
	if !c.documented() {
		a := c.fail(http.StatusTooManyRequests, "TOO_MANY_REQUESTS", "Too many requests for this email address. Please try again later.")
		return &a
	}
	free := asked[0].Add(mailWindow)
	a := c.quotaExceeded(mailLimit, free, free.Sub(c.now))
	return &a
}
