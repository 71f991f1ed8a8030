package authos

import (
	"context"
	"net/url"
)

// invoke sends one call of a known route and decodes its answer into a T. A typed method is its checks and one call of this.
func invoke[T any](
	ctx context.Context, c *Client, method, template string, args []string, query url.Values, in any, opts []RequestOption,
) (*T, error) {
	out := new(T)
	if err := c.call(ctx, method, template, args, query, in, out, opts); err != nil {
		return nil, err
	}
	return out, nil
}
