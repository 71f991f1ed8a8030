package authos

import (
	"iter"
	"net/url"
	"strconv"
)

// maxPageSize is the server's own bound of a page. It clamps larger limits in silence; the client refuses them.
const maxPageSize = 100

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	// Total is how many items there are in all, as the server counts them.
	Total int
}

// pages iterates over a list by limit and offset, fetching a page when its first item is asked for. It stops on an empty page,
// whatever the total says, and yields an error once, as the last pair. fetch fails when its context is done.
func pages[T any](limit, offset int, fetch func(limit, offset int) (*Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		limit, offset := limit, offset // ranging again starts again
		if limit == 0 {
			limit = maxPageSize
		}
		for {
			page, err := fetch(limit, offset)
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			offset += len(page.Items)
			if len(page.Items) == 0 || offset >= page.Total {
				return
			}
		}
	}
}

// paging is the query of a list by limit and offset; zero values are left to the server.
func paging(limit, offset int) url.Values {
	q := url.Values{}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	if offset > 0 {
		q.Set("offset", strconv.Itoa(offset))
	}
	return q
}
