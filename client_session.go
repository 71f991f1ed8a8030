package authos

import "context"

// logout ends the session at the server, then forgets it here, in the store and among the cached
// responses. end tells the server; certain is false where it may not have understood.
func (c *Client) logout(ctx context.Context, end func(context.Context, Tokens) (certain bool, err error)) error {
	if ctx == nil {
		return invalid("ctx", CodeRequired, "must not be nil")
	}
	names, err := c.session.signOut(ctx, c.agent, end)
	if err == nil {
		c.forgetPrincipals(ctx, names)
	}
	return err
}

// knowPrincipal reads the tokens from their store before they are given up, where that is the first
// thing a process does: else nobody would know whose cached responses are to be forgotten.
func (c *Client) knowPrincipal(ctx context.Context) {
	if c.cache != nil && c.cache.policy.Store != nil {
		_, _ = c.Tokens(ctx) // a store that fails does not keep anybody from signing out
	}
}

func (c *Client) forgetPrincipals(ctx context.Context, names []string) {
	for _, who := range names {
		if c.cache != nil {
			c.cache.forgetPrincipal(ctx, who)
		}
	}
}
