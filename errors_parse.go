package authos

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/authos-go/authos/internal/httpfield"
	"github.com/authos-go/authos/internal/jsonscan"
)

const (
	maxMessage = 1 << 10 // bytes of a plain text that become the Message
)

// parseError makes an *APIError of a response, whatever its body is: AuthOS's flat object, the
// nested one, problem+json, OAuth, plain text, HTML, nothing, or any of these cut short. The status
// is always kept, a member of the wrong JSON type is ignored alone, and it never fails.
func parseError(status int, h http.Header, body []byte, now time.Time) *APIError {
	if len(body) > maxErrorBody {
		body = bytes.Clone(body[:maxErrorBody])
	}
	e := &APIError{
		StatusCode: status,
		received:   now,
		Language:   strings.TrimSpace(h.Get("Content-Language")),
		Challenges: challengesOf(httpfield.ParseChallenges(h["Www-Authenticate"])),
		RateLimit:  rateLimitOf(httpfield.RateLimitAt(h, now)),
		Body:       body,
	}
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	contentType := strings.ToLower(h.Get("Content-Type"))
	var o object
	switch {
	case len(text) == 0:
	case text[0] == '{' && repeatsAName(text, false):
		// Two codes, or two messages: nothing in it can be relied on.
	case text[0] == '{':
		o = e.readObject(parseObject(text), strings.HasPrefix(contentType, "application/problem+json"))
	case text[0] == '<' || strings.Contains(contentType, "html"):
		// A proxy's page: nothing in it is meant for a program.
	default:
		e.readText(text, strings.Contains(contentType, "json"))
	}
	e.coded = e.Code != ""
	if !e.coded {
		e.Code = codeForStatus(status, len(text) == 0)
	}
	details := parseObject(o["details"])
	e.readDetails(details)
	for _, name := range []string{"X-Request-Id", "Request-Id", "X-Correlation-Id"} {
		if id := strings.TrimSpace(h.Get(name)); id != "" {
			e.RequestID = id
			break
		}
	}
	waits := readWaits(o, details)
	e.RetryAfter, e.waitAsked = httpfield.AskedWait(h, e.effectiveStatus(), waits, now)
	_, inHeader := httpfield.RetryAfter(h["Retry-After"], now, now)
	e.waitNamed = inHeader || waits.Asked || !waits.Until.IsZero()
	if len(e.Fields) > 0 {
		e.hideValues(nil)
	}
	return e
}

func rateLimitOf(r *httpfield.RateLimit) *RateLimit { return (*RateLimit)(r) }

func challengesOf(list []httpfield.Challenge) []Challenge {
	if len(list) == 0 {
		return nil
	}
	all := make([]Challenge, 0, len(list))
	for _, c := range list {
		all = append(all, Challenge(c))
	}
	return all
}

// errorInSuccess reports whether the JSON body of a good response is an error all the same: its
// "error" is a text and its "error_code" a text that is not empty, or its "error" is an object with
// the texts "code" and "message". Only the outermost object counts. It runs on every good response
// and allocates nothing.
func errorInSuccess(body []byte) bool {
	if !bytes.Contains(body, []byte(`"error"`)) {
		return false
	}
	var isText, hasCode, nested bool
	for s := jsonscan.Over(body); s.Next(); {
		switch string(s.Key) {
		case "error":
			isText = isString(s.Value)
			nested = !isText && isNestedError(s.Value)
		case "error_code":
			hasCode = isString(s.Value) && len(s.Value) > len(`""`)
		}
	}
	return nested || isText && hasCode
}

func isNestedError(value []byte) bool {
	var hasCode, hasMessage bool
	for s := jsonscan.Over(value); s.Next(); {
		switch string(s.Key) {
		case "code":
			hasCode = isString(s.Value)
		case "message":
			hasMessage = isString(s.Value)
		}
	}
	return hasCode && hasMessage
}

func isString(value []byte) bool { return len(value) > 0 && value[0] == '"' }

// object holds the members of a JSON object, each still to be decoded, so that one of the wrong
// type harms no other.
type object map[string]json.RawMessage

// parseObject reads as many members as there are. It is nil for anything that does not begin as an
// object.
func parseObject(data []byte) object {
	s := jsonscan.Over(data)
	if !s.Open() {
		return nil
	}
	o := object{}
	for s.Next() {
		if key, ok := s.Name(); ok {
			o[key] = s.Value
		}
	}
	return o
}

// unnest lays a nested error open: the members of "error", and those beside it where they do not
// hide one. It reports whether there was one.
func (o object) unnest() (object, bool) {
	inner := parseObject(o["error"])
	if inner == nil {
		return o, false
	}
	for name, value := range o {
		if _, both := inner[name]; !both && name != "error" {
			inner[name] = value
		}
	}
	return inner, true
}

// readObject takes over what a JSON error body says, and gives the object that says it: the body,
// or the error nested in it.
func (e *APIError) readObject(body object, isProblem bool) object {
	o, nested := body.unnest()
	switch {
	case nested:
		e.Code, e.Message = o.code("code", "error_code"), o.text("message", "detail")
		e.shaped = e.Code != "" || e.Message != ""
	case isProblem || o.looksLikeProblem():
		e.Code, e.Message = o.code("code", "error_code"), o.text("detail", "title", "message", "error")
		e.Problem = o.problem()
		e.shaped = true
		if e.Code == "" {
			e.Code = registeredProblem(e.Problem.Type)
		}
	case o.isOAuth():
		e.Code, e.Message = o.code("error"), o.text("error_description")
		e.shaped = true
	default:
		e.Code, e.Message = o.code("error_code", "code"), o.text("error", "message", "error_description", "detail", "title")
		_, dated := o["timestamp"]
		_, coded := o["error_code"]
		e.shaped = e.Code != "" || o.text("error") != "" && (dated || coded)
	}
	e.RequestID = o.text("request_id")
	e.DocumentationURL = o.text("documentation_url")
	if t, ok := parseTime(o.text("timestamp")); ok {
		e.Timestamp = t
	}
	if details := o["details"]; json.Valid(details) && string(details) != "null" {
		e.Details = details
	}
	e.Fields = fieldErrors(jsonscan.Elements(o["details"]))
	if len(e.Fields) == 0 {
		// RFC 9457 and RFC 7807, section 3
		for _, name := range []string{"errors", "invalid-params", "invalid_params"} {
			e.Fields = append(e.Fields, fieldErrors(jsonscan.Elements(o[name]))...)
		}
	}
	e.readHint(parseObject(o["retry"]))
	return o
}

// readHint reads the "retry" object; nil when there is none.
func (e *APIError) readHint(retry object) {
	if retry == nil {
		return
	}
	e.Hint = &RetryHint{Backoff: retry.text("backoff")}
	var retryable bool
	if isBool(retry["retryable"]) && json.Unmarshal(retry["retryable"], &retryable) == nil {
		e.Hint.Retryable = &retryable
	}
	if n, ok := retry.count("max_retries"); ok {
		e.Hint.MaxRetries = &n
	}
	e.Hint.RetryAfter, _ = retry.seconds("retry_after")
}

func isBool(value []byte) bool { return len(value) > 0 && (value[0] == 't' || value[0] == 'f') }

// readDetails makes a finding of details that name a field, and completes RateLimit from the
// details of a 429.
func (e *APIError) readDetails(details object) {
	if f := fieldError(details); details.text("field") != "" || len(f.Fields) > 0 {
		if f.Code == "" {
			f.Code = e.Code
		}
		if f.Message == "" {
			f.Message = e.Message
		}
		e.Fields = append(e.Fields, f)
	}
	if e.effectiveStatus() != http.StatusTooManyRequests && !e.Code.means(CodeRateLimitExceeded) {
		return
	}
	limit, hasLimit := details.count("limit")
	remaining, hasRemaining := details.count("remaining")
	reset, hasReset := parseTime(details.text("reset_at"))
	if !hasLimit && !hasRemaining && !hasReset {
		return
	}
	if e.RateLimit == nil {
		e.RateLimit = &RateLimit{Limit: -1, Remaining: -1}
	}
	if hasLimit && e.RateLimit.Limit < 0 {
		e.RateLimit.Limit = limit
	}
	if hasRemaining && e.RateLimit.Remaining < 0 {
		e.RateLimit.Remaining = remaining
	}
	if hasReset && e.RateLimit.Reset.IsZero() {
		e.RateLimit.Reset = reset
	}
}

// readWaits gathers the waits of a body: retry_after in the error, in its "retry" and in its
// details, and the details' maintenance_end and reset_at; the last one is none as long as something
// remains.
func readWaits(o, details object) (w httpfield.BodyWaits) {
	for _, from := range []object{o, parseObject(o["retry"]), details} {
		if d, ok := from.seconds("retry_after"); ok {
			w.Wait, w.Asked = max(w.Wait, d), true
		}
	}
	names := []string{"maintenance_end", "reset_at"}
	if n, ok := details.count("remaining"); ok && n > 0 {
		names = names[:1]
	}
	for _, name := range names {
		if t, ok := parseTime(details.text(name)); ok && t.After(w.Until) {
			w.Until = t
		}
	}
	return w
}

// readText takes a plain text as the message, when it is one: valid UTF-8 without control
// characters. JSON that is no object says nothing, but for a lone string, which is a text in
// quotes.
func (e *APIError) readText(text []byte, isJSON bool) {
	if isJSON || json.Valid(text) {
		var s string
		if json.Unmarshal(text, &s) != nil {
			return
		}
		text = []byte(s)
	}
	text = cutText(text)
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }
	if !utf8.Valid(text) || bytes.ContainsFunc(text, control) {
		return
	}
	e.Message = string(bytes.TrimSpace(text))
	e.fromText = e.Message != ""
}

// cutText keeps as much of a text as a message may have, without the rune that the cut goes
// through.
func cutText(text []byte) []byte {
	if len(text) <= maxMessage {
		return text
	}
	text = text[:maxMessage]
	for range utf8.UTFMax - 1 {
		if r, size := utf8.DecodeLastRune(text); r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text
}

// looksLikeProblem recognizes problem details that came as plain JSON: a title, beside a detail, a
// type or a status.
func (o object) looksLikeProblem() bool {
	if o["error"] != nil || o["error_code"] != nil || o.text("title") == "" {
		return false
	}
	_, status := o.count("status")
	return status || o.text("detail") != "" || o.text("type") != ""
}

// problem reads the members of RFC 9457, section 3.1; all others are extensions.
func (o object) problem() *Problem {
	p := &Problem{Type: o.text("type"), Title: o.text("title"), Detail: o.text("detail"), Instance: o.text("instance")}
	p.Status, _ = o.count("status")
	for name, value := range o {
		switch name {
		case "type", "title", "status", "detail", "instance":
		default:
			if !json.Valid(value) {
				continue
			}
			if p.Extensions == nil {
				p.Extensions = make(map[string]json.RawMessage)
			}
			p.Extensions[name] = value
		}
	}
	return p
}

// registeredProblems are the problem types that the draft of the RateLimit fields registers
// (draft-ietf-httpapi-ratelimit-headers-11, section 5), by the fragment of their URI.
var registeredProblems = map[string]Code{
	"quota-exceeded":             CodeRateLimitExceeded,
	"abnormal-usage-detected":    CodeRateLimitExceeded,
	"temporary-reduced-capacity": CodeServiceUnavailable,
}

// registeredProblem is the code of a problem type that is in IANA's registry; empty for all others.
func registeredProblem(uri string) Code {
	registry, name, _ := strings.Cut(uri, "#")
	if strings.Replace(registry, "://www.", "://", 1) != "https://iana.org/assignments/http-problem-types" {
		return ""
	}
	return registeredProblems[name]
}

// isOAuth recognizes the errors of RFC 6749, section 5.2: "error" is a code, described by
// "error_description". Without a description it must read like a code.
func (o object) isOAuth() bool {
	code := o.text("error")
	if code == "" || o["error_code"] != nil || strings.Contains(code, " ") {
		return false
	}
	if o["error_description"] != nil {
		return true
	}
	return strings.Contains(code, "_") && code == strings.ToLower(code)
}

// fieldErrors reads a list of validation findings. A finding says where it is, or which rule failed
// and why; elements that do neither are left out.
func fieldErrors(list []json.RawMessage) []FieldError {
	var all []FieldError
	for _, raw := range list {
		f := fieldError(parseObject(raw))
		if f.Field != "" || len(f.Fields) > 0 || f.Code != "" && f.Message != "" {
			all = append(all, f)
		}
	}
	return all
}

// fieldError reads one finding: "field", or "fields" where a rule spans several; in problem details
// "pointer" or "name", with "detail" or "reason".
func fieldError(o object) FieldError {
	f := FieldError{
		Field:   o.text("field", "pointer", "name"),
		Code:    o.code("code"),
		Message: o.text("message", "detail", "reason"),
	}
	for _, raw := range jsonscan.Elements(o["fields"]) {
		var name string
		if json.Unmarshal(raw, &name) == nil && name != "" {
			f.Fields = append(f.Fields, name)
		}
	}
	for _, name := range []string{"value_provided", "values_provided", "value"} {
		if raw, ok := o[name]; ok && json.Unmarshal(raw, &f.Value) == nil {
			break
		}
	}
	if c := parseObject(o["constraints"]); c != nil {
		_ = json.Unmarshal(o["constraints"], &f.Constraints) // nil when cut
	}
	return f
}

// text is the first of the named members that is a string with something in it.
func (o object) text(names ...string) string {
	for _, name := range names {
		var s string
		if isString(o[name]) && json.Unmarshal(o[name], &s) == nil && s != "" {
			return s
		}
	}
	return ""
}

// code is text for members that hold a code.
func (o object) code(names ...string) Code {
	for _, name := range names {
		if s := strings.TrimSpace(o.text(name)); s != "" && len(s) <= maxCode {
			return Code(s)
		}
	}
	return ""
}

// number is the text of a member that is a number, or a number in quotes.
func (o object) number(name string) string {
	if s := o.text(name); s != "" {
		return strings.TrimSpace(s)
	}
	return string(o[name])
}

// count reads a whole number that is not negative; one that does not fit is the largest int.
func (o object) count(name string) (int, bool) {
	s := o.number(name)
	if !httpfield.IsDigits(s) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if errors.Is(err, strconv.ErrRange) {
		return math.MaxInt, true
	}
	return n, err == nil
}

// seconds reads a number of seconds, decimals included. JSON writes numbers with exponents too.
func (o object) seconds(name string) (time.Duration, bool) {
	if d, ok := httpfield.Seconds(o.number(name)); ok {
		return d, true
	}
	raw := o[name]
	if len(raw) == 0 || raw[0] < '0' || raw[0] > '9' || !json.Valid(raw) {
		return 0, false
	}
	f, _ := strconv.ParseFloat(string(raw), 64) // out of range: infinite
	if f >= httpfield.TooLong.Seconds() {
		return httpfield.TooLong, true
	}
	return time.Duration(math.Ceil(f * float64(time.Second))), true
}

// repeatsAName reports whether an object has two members of one name, or the error nested in it
// has: nobody can say then which of the two the server means. What is nested deeper is not read.
func repeatsAName(body []byte, nested bool) bool {
	seen := map[string]bool{}
	for s := jsonscan.Over(body); s.Next(); {
		name, ok := s.Name()
		if !ok {
			continue
		}
		if seen[name] || !nested && name == "error" && repeatsAName(s.Value, true) {
			return true
		}
		seen[name] = true
	}
	return false
}
