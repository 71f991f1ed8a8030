package authos

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What of an error may be shown: to a person, in a log, in JSON.

// record is what slog and JSON say of an error. It has the same members for every error type of
// this package, so that one query of a log finds them all.
type record struct {
	RequestID string    `json:"request_id,omitempty"`
	Method    string    `json:"method,omitempty"`
	Route     string    `json:"route,omitempty"`
	Status    int       `json:"status"`
	Code      string    `json:"error_code,omitempty"`
	Message   string    `json:"message"`
	Timestamp time.Time `json:"timestamp,omitzero"`
	Attempts  int       `json:"attempts,omitempty"`
}

func (r record) value() slog.Value {
	return slog.GroupValue(
		slog.String("request_id", r.RequestID), slog.String("method", r.Method), slog.String("route", r.Route),
		slog.Int("status", r.Status), slog.String("error_code", r.Code), slog.String("message", r.Message),
		slog.Time("timestamp", r.Timestamp), slog.Int("attempts", r.Attempts),
	)
}

// record is what an error knows of its call, with the code that names the failure and the error's
// own line. The status is that of the last response to this call.
func (e *callEnd) record(code Code, line error) record {
	r := record{
		RequestID: safeText(e.requestID), Method: e.method, Route: e.path, Code: safeText(string(code)),
		Message: strings.TrimPrefix(line.Error(), "authos: "), Attempts: e.attempts,
	}
	if e.last != nil {
		r.Status, r.Timestamp = e.last.StatusCode, e.last.Timestamp
	}
	return r
}

// formatError writes err.Error() whatever the verb is: %d and %#v would print its fields.
func formatError(s fmt.State, err error) { _, _ = io.WriteString(s, err.Error()) }

// Error is one line: method, route, status, code, the server's message and the request id. It holds
// no secrets, query strings, field values or raw bodies.
func (e *APIError) Error() string {
	var b strings.Builder
	b.WriteString("authos: ")
	if e.Method != "" {
		b.WriteString(e.Method + " " + e.Path + ": ")
	}
	b.WriteString(strconv.Itoa(e.StatusCode))
	if e.Code != "" {
		b.WriteString(" " + e.shownCode())
	}
	if message := e.shownMessage(); message != "" {
		b.WriteString(": " + message)
	}
	b.WriteString(e.shownFields())
	if e.Attempts > 1 {
		b.WriteString(" after " + strconv.Itoa(e.Attempts) + " attempts")
	}
	b.WriteString(e.noMoreText())
	if e.unknown {
		b.WriteString("; the server may have acted")
	}
	if e.note != "" {
		b.WriteString(" (" + e.note + ")")
	}
	if id := e.RequestID; id != "" {
		b.WriteString(" (request " + safeText(id) + ")")
	}
	return b.String()
}

// shownMessage is the message without secrets, values that failed and values that were sent; and
// instead of everything else (a proxy's page, a framework's plain text that may quote input) the
// status in words.
func (e *APIError) shownMessage() string {
	if e.Message == "" || e.fromText {
		return strings.ToLower(http.StatusText(e.StatusCode))
	}
	return safeText(e.hide.hide(e.Message))
}

// shownCode is the code. One that this package does not know may be any text of the server's.
func (e *APIError) shownCode() string { return e.hide.code(e.Code) }

func (h *hider) code(c Code) string {
	if _, known := catalog[c]; known {
		return string(c)
	}
	return safeText(h.hide(string(c)))
}

// shownFields are the first findings, for the end of a line.
func (e *APIError) shownFields() string {
	var b strings.Builder
	for i, f := range e.Fields {
		if i == 3 {
			b.WriteString("; …")
			break
		}
		if f.Message == e.Message {
			f.Message = "" // said already
		}
		b.WriteString("; " + f.text())
	}
	return b.String()
}

// Format implements [fmt.Formatter]: every verb prints [APIError.Error], so that %d and %#v do not
// print the body, nor does a copy of the error.
func (e APIError) Format(s fmt.State, _ rune) { formatError(s, &e) }

// LogValue implements [slog.LogValuer] with request id, method, route, status, error code, message,
// timestamp and attempts, as every error type of this package does.
func (e *APIError) LogValue() slog.Value {
	if e == nil {
		return slog.Value{}
	}
	return e.record(e.shownMessage()).value()
}

// MarshalJSON writes what [APIError.LogValue] says, so that no log in JSON has more than one in
// text.
func (e APIError) MarshalJSON() ([]byte, error) {
	return json.Marshal(e.record(e.shownMessage() + e.shownFields()))
}

func (e *APIError) record(message string) record {
	return record{safeText(e.RequestID), e.Method, e.Path, e.StatusCode, e.shownCode(), message, e.Timestamp, e.Attempts}
}

// Format implements [fmt.Formatter] for every verb, so that no verb prints the value.
func (f FieldError) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, f.text()) }

// LogValue implements [slog.LogValuer]; it leaves the value out.
func (f FieldError) LogValue() slog.Value { return slog.StringValue(f.text()) }

// MarshalJSON writes the finding without the value and without what was sent, also where the
// message or a constraint quotes them.
func (f FieldError) MarshalJSON() ([]byte, error) {
	hide := f.hider()
	shown := struct {
		Field       string         `json:"field,omitempty"`
		GoField     string         `json:"go_field,omitempty"`
		Fields      []string       `json:"fields,omitempty"`
		Code        string         `json:"code,omitempty"`
		Message     string         `json:"message,omitempty"`
		Constraints map[string]any `json:"constraints,omitempty"`
	}{Field: hide.hide(f.Field), GoField: f.GoField, Code: hide.code(f.Code), Message: safeText(hide.hide(f.Message))}
	for _, name := range f.Fields {
		shown.Fields = append(shown.Fields, hide.hide(name))
	}
	if f.Constraints != nil {
		shown.Constraints, _ = hide.value(f.Constraints).(map[string]any)
	}
	return json.Marshal(shown)
}

// text is the finding in a line: where, and what.
func (f FieldError) text() string {
	hide := f.hider()
	name := safeText(hide.hide(cmp.Or(f.Field, strings.Join(f.Fields, ", ")))) // the server's too
	if f.GoField != "" && f.GoField != f.Field {
		name = f.GoField + " (" + name + ")"
	}
	message := safeText(hide.hide(f.Message))
	switch {
	case message != "" && name != "":
		return name + ": " + message
	case message != "":
		return message
	default:
		return name + ": " + hide.code(f.Code)
	}
}

// hider is that of the response, or for a finding that belongs to none one of its own value.
func (f FieldError) hider() *hider {
	if f.hide != nil {
		return f.hide
	}
	return newHider(appendTexts(nil, f.Value), []string{f.Field, strings.Join(f.Fields, ", "), f.Message, string(f.Code)})
}

// value is a decoded JSON value without what is to be hidden in its texts.
func (h *hider) value(v any) any {
	switch v := v.(type) {
	case string:
		return safeText(h.hide(v))
	case []any:
		all := make([]any, len(v))
		for i, each := range v {
			all[i] = h.value(each)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, each := range v {
			all[name] = h.value(each)
		}
		return all
	default:
		return v
	}
}

// Format implements [fmt.Formatter]: every verb prints status, title and detail as an error's line
// would, never the extensions.
func (p Problem) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, p.text()) }

// LogValue implements [slog.LogValuer] like Format.
func (p Problem) LogValue() slog.Value { return slog.StringValue(p.text()) }

func (p Problem) text() string {
	parts := []string{strconv.Itoa(p.Status)}
	for _, part := range []string{p.Title, p.Detail} {
		if part = safeText(p.hide.hide(part)); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// hideValues keeps values out of what is printed of a response: those given, and those that its own
// findings repeat.
func (e *APIError) hideValues(values []string) {
	var texts []string
	e.eachText(func(text *string) { texts = append(texts, *text) })
	for _, f := range e.Fields {
		values = appendTexts(values, f.Value)
		texts = appendTexts(texts, f.Constraints)
	}
	e.hide = newHider(values, texts)
	for i := range e.Fields {
		e.Fields[i].hide = e.hide
	}
	if e.Problem != nil {
		e.Problem.hide = e.hide
	}
}

// eachText calls f with every text of the server's that an error holds and that is not empty,
// except for the raw Body and Details.
func (e *APIError) eachText(f func(*string)) {
	each := func(texts ...*string) {
		for _, text := range texts {
			if *text != "" {
				f(text)
			}
		}
	}
	each((*string)(&e.Code), &e.Message, &e.RequestID, &e.DocumentationURL, &e.Language)
	for i := range e.Fields {
		field := &e.Fields[i]
		each(&field.Field, (*string)(&field.Code), &field.Message)
		for j := range field.Fields {
			each(&field.Fields[j])
		}
	}
	if p := e.Problem; p != nil {
		each(&p.Type, &p.Title, &p.Detail, &p.Instance)
	}
	for _, c := range e.Challenges {
		for name, text := range c.Params {
			each(&text)
			c.Params[name] = text
		}
	}
}
