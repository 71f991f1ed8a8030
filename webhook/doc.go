// Package webhook receives the events that an AuthOS server posts to a webhook: it checks that a
// delivery is authentic and recent, and hands the event to the program, unless the program has
// handled it before.
//
//	verifier := webhook.Verifier{Secrets: webhook.Secrets{os.Getenv("AUTHOS_WEBHOOK_SECRET")}}
//	http.Handle("/hooks/authos", verifier.Handler(func(ctx context.Context, e webhook.Event) error {
//		if e.Type == webhook.EventUserLoginFailed {
//			return alert(ctx, e.ActorEmail)
//		}
//		return nil // any other event
//	}))
//
// The package needs nothing but the standard library. Where there is no [net/http] server,
// [Verifier.Verify] checks a delivery by itself.
//
// # The signature
//
// AuthOS signs the body with HMAC-SHA256. The key is the text of the webhook's secret as it was
// shown when the webhook was made, not what its base64 stands for. The header X-Webhook-Signature
// has "sha256=" and 64 lower-case hexadecimal digits; exactly that is accepted. Only the raw body
// has the signature: check it before anything has parsed and written it again.
//
// AuthOS's helper for Node.js expects another scheme, "t=…,v1=…" over time and body in a header
// X-AuthOS-Signature. No known server sends it, so this package does not accept it: a second way in
// that nobody uses would only be one more to attack.
//
// # Time and replays
//
// The header X-Webhook-Timestamp says when this attempt to deliver was made. The signature does not
// cover it. [Verifier.Tolerance] therefore stops a delivery that is late or repeated by accident,
// but not a thief: whoever has seen one delivery can send it again under a new time. Two things
// stop that. What was handled is remembered for 30 days ([Verifier.Remember]) by the hash of its
// body, which a thief cannot change: in memory, in a folder ([FileSeen]) or in any other
// [SeenStore] that outlives the process. And [Verifier.MaxAge], when it is set, refuses events by
// the time within the signed body; what was handled is then remembered for as long as it would be
// accepted, so that no replay comes through at all while the memory is large enough and is not
// lost.
//
// # Strangers
//
// Anybody may post to a webhook's URL. The headers are looked at first, and nothing is read of a
// delivery that they rule out. All bodies that are being read together have a bound
// ([Verifier.MaxInFlight]) and each has a time ([Verifier.BodyTimeout]).
//
// # What the server does with the response
//
// Any 2xx ends a delivery. After anything else the server sends the same bytes again, five times in
// all, about 1, 2, 4 and 8 minutes apart, and then gives the event up. Events may come in any order
// and more than once. [Verifier.Handler] responds with:
//
//	200  the event was handled now, or has been handled before
//	400  an authentic body that is not an event, or a body that broke off
//	401  wrong signature or time, or their headers are missing, repeated or malformed
//	405  not a POST
//	413  a body larger than MaxBody
//	500  the program's function failed, the Verifier is not usable, or the body was read before
//	503  too many bodies at once, or the sender left while the same delivery was still being handled
//
// The body of a response is one of a few fixed lines: the server keeps it in its list of
// deliveries, where it helps to find what is wrong.
//
// # At least once
//
// A delivery is recorded as handled after the program's function has returned nil, and not before:
// one that fails, panics or dies with the process is delivered again. So the function may see an
// event twice, when the process ends between its success and the record, or when two processes get
// the same body in the same moment. Where that matters, keep [Event.ID] in the transaction that
// does the work.
package webhook
