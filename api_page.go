package authos

import (
	"errors"
	"iter"
	"net/url"
	"reflect"
	"strconv"
	"time"
)

// maxPageSize is the server's own bound of a page. It clamps larger limits in silence; the client
// refuses them.
const maxPageSize = 100

// Page is one page of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// Total is how many items there are in all, as the server counts them; -1 where it does not
	// say.
	Total int64 `json:"total"`
}

// newPage makes a page of what a response held. Nothing is concluded from a total that was not
// sent.
func newPage[T any](items []T, total *int64) *Page[T] {
	p := &Page[T]{Items: items, Total: -1}
	if total != nil {
		p.Total = *total
	}
	return p
}

// byOffset iterates over a list that is paged by limit and offset.
func byOffset[T any](limit, offset int, fetch func(limit, offset int) (*Page[T], error)) iter.Seq2[T, error] {
	if limit == 0 {
		limit = maxPageSize
	}
	next := func(at, got int) int { return at + got }
	return walk(offset, int64(offset), next, func(at int) (*Page[T], error) { return fetch(limit, at) })
}

// byNumber iterates over a list that is paged by number, from 1. Only when it begins with the first
// page can it tell from the total that it has seen everything: the server may have pages smaller
// than the ones asked for.
func byNumber[T any](limit, number int, fetch func(limit, number int) (*Page[T], error)) iter.Seq2[T, error] {
	if limit == 0 {
		limit = maxPageSize
	}
	if number == 0 {
		number = 1
	}
	before := int64(0)
	if number > 1 {
		before = unknownCount
	}
	return walk(number, before, func(at, _ int) int { return at + 1 }, func(at int) (*Page[T], error) { return fetch(limit, at) })
}

// unpaged iterates over a list that comes as a whole. It asks when the iteration begins.
func unpaged[T any](fetch func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		items, err := fetch()
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// AllItems collects what an All ranges over, with its error: items are those before it.
//
//	users, err := authos.AllItems(client.Service.Users.All(ctx, authos.ServiceUserListParams{}))
//
// Ranging over an All without its second value, as in "for u := range All(…)", does not see the
// error: a list that broke off looks like its end.
func AllItems[T any](all iter.Seq2[T, error]) ([]T, error) {
	var items []T
	for item, err := range all {
		if err != nil {
			return items, err
		}
		items = append(items, item)
	}
	return items, nil
}

const unknownCount int64 = -1

var errRepeatedPage = errors.New("the server gives the same page again and again: it does not page")

// maxRepeatedPages is how often in a row a page may come again. Something new at the head of a list
// moves what was on one page to the next, once for each.
const maxRepeatedPages = 3

// walk iterates over pages, fetching one when its first item is asked for. It ends on an empty page
// or when it has seen as many items as there are, before counting those that lie before the first
// page. Totals err on both sides, so an empty page has the last word where one is not trusted. A
// page that comes again is passed over; a server that gives no other is an error and no loop. An
// error is yielded once, as the last pair. fetch fails when its context is done.
func walk[T any](
	at int, before int64, next func(at, got int) int, fetch func(at int) (*Page[T], error),
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		var last []T
		at, seen, repeats := at, before, 0 // ranging again starts again
		for {
			page, err := fetch(at)
			repeated := err == nil && len(last) > 0 && reflect.DeepEqual(page.Items, last)
			if repeats++; !repeated {
				repeats = 0
			}
			if repeats > maxRepeatedPages {
				err = &DecodeError{Err: errRepeatedPage}
			}
			if err != nil {
				yield(none, err)
				return
			}
			if len(page.Items) == 0 {
				return
			}
			at, last = next(at, len(page.Items)), page.Items
			if repeated {
				continue
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if seen == unknownCount {
				continue
			}
			if seen += int64(len(page.Items)); page.Total >= 0 && seen >= page.Total {
				return
			}
		}
	}
}

// paging is the query of a list by limit and offset; zero values are left to the server.
func paging(limit, offset int) url.Values {
	q := url.Values{}
	putInt(q, "limit", limit)
	putInt(q, "offset", offset)
	return q
}

// numbering is the query of a list by limit and page number; zero values are left to the server.
func numbering(limit, number int) url.Values {
	q := url.Values{}
	putInt(q, "limit", limit)
	putInt(q, "page", number)
	return q
}

// put, putInt and putDate add what is not zero to a query.
func put(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func putInt(q url.Values, name string, value int) {
	if value != 0 {
		q.Set(name, strconv.Itoa(value))
	}
}

// putDate adds the day of t in UTC, as the server counts days.
func putDate(q url.Values, name string, t time.Time) {
	if !t.IsZero() {
		q.Set(name, t.UTC().Format(time.DateOnly))
	}
}
