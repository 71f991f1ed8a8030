package authostest

import "net/http"

// page reads page and limit, clamped as everywhere in the API.
func (c *call) page(fallback int) (page, limit int, refused *response) {
	if page, refused = c.integer("page", 1); refused == nil {
		limit, refused = c.integer("limit", fallback)
	}
	return max(page, 1), min(max(limit, 1), 100), refused
}

// pageOf is the page of items that page and limit select. Never null.
func pageOf[T any](items []T, page, limit int) []T {
	if (page - 1) > len(items)/limit {
		return []T{}
	}
	return append([]T{}, slice(items, limit, (page-1)*limit)...)
}

// pagination is how the lists with the most to say about their pages say it.
type pagination struct {
	Page       int  `json:"page"`
	Limit      int  `json:"limit"`
	Total      int  `json:"total"`
	TotalPages int  `json:"total_pages"`
	HasNext    bool `json:"has_next"`
	HasPrev    bool `json:"has_prev"`
}

func newPagination(page, limit, total int) pagination {
	pages := (total + limit - 1) / limit
	return pagination{page, limit, total, pages, page < pages, page > 1}
}

// truth reads a query parameter that is a boolean.
func (c *call) truth(name string) (*bool, *response) {
	query := c.r.URL.Query()
	if !query.Has(name) {
		return nil, nil
	}
	switch query.Get(name) {
	case "true":
		return new(true), nil
	case "false":
		return new(false), nil
	}
	if c.documented() {
		a := c.invalid(name, "INVALID_FORMAT", "Invalid query parameter: "+name)
		return nil, &a
	}
	a := typed(http.StatusBadRequest, "text/plain; charset=utf-8",
		[]byte("Failed to deserialize query string: provided string was not `true` or `false`"))
	return nil, &a
}

// null is the response of the routes that have nothing to say and say it in JSON.
func null() response { return typed(http.StatusOK, "application/json", []byte("null")) }
