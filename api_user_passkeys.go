package authos

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"strings"
)

// PasskeysService are the signed-in user's passkeys (WebAuthn). A browser makes them: what the
// server sends for it is handed through as JSON, and so is what the browser has made. Its shapes
// are confirmed by an earlier version of the server's source.
type PasskeysService struct{ c *Client }

// Passkey is a passkey of the signed-in user.
type Passkey struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// BackupEligible: it may be on several devices. BackupState: it is.
	BackupEligible bool `json:"backup_eligible"`
	BackupState    bool `json:"backup_state"`
	// Transports is how the authenticator is reached, as one text; empty when not known.
	Transports string `json:"transports"`
	LastUsedAt Time   `json:"last_used_at"` // zero: never
	CreatedAt  Time   `json:"created_at"`
}

func (p *Passkey) missing() string { return missingID(p.ID) }

// PasskeyChallenge is what a browser is given to make or use a passkey.
type PasskeyChallenge struct {
	// ChallengeID goes back to the server together with what the browser has made. It is good for
	// 300 seconds and for one use.
	ChallengeID string
	// PublicKey is the options' publicKey as the server sent it, for navigator.credentials.create
	// or get.
	PublicKey json.RawMessage
}

type passkeyChallengeBody struct {
	ChallengeID string `json:"challenge_id"`
	Options     struct {
		PublicKey json.RawMessage `json:"publicKey"`
	} `json:"options"`
}

func (b *passkeyChallengeBody) missing() string {
	switch {
	case b.ChallengeID == "":
		return "challenge_id"
	case len(b.Options.PublicKey) == 0 || b.Options.PublicKey[0] != '{':
		return "publicKey of options"
	}
	return ""
}

func (b *passkeyChallengeBody) challenge() *PasskeyChallenge {
	return &PasskeyChallenge{ChallengeID: b.ChallengeID, PublicKey: b.Options.PublicKey}
}

// PasskeyRegisterParams are a new passkey.
type PasskeyRegisterParams struct {
	// Name is for the user to tell passkeys apart; empty: the server's choice.
	Name string `json:"name,omitempty"`
}

// PasskeyFinishParams are what a browser has made of a [PasskeyChallenge].
type PasskeyFinishParams struct {
	ChallengeID string `json:"challenge_id"`
	// Credential is the browser's PublicKeyCredential as JSON, which its toJSON makes.
	Credential json.RawMessage `json:"credential"`
}

func (p *PasskeyFinishParams) check(in *checks) {
	in.required("challenge_id", p.ChallengeID)
	if !json.Valid(p.Credential) || parseObject(p.Credential) == nil {
		in.add("credential", CodeInvalidFormat, "must be a JSON object, the browser's PublicKeyCredential")
	}
}

// PasskeyUpdateParams are a passkey's new name.
type PasskeyUpdateParams struct {
	Name string `json:"name"` // 1 to 80 bytes, blanks around it not counted
}

type passkeyRegistered struct {
	acknowledgment
	PasskeyID string `json:"passkey_id"`
}

func (r *passkeyRegistered) missing() string {
	if r.PasskeyID == "" {
		return "passkey_id"
	}
	return r.acknowledgment.missing()
}

const (
	passkeyPath    = "/api/auth/passkeys/:passkey_id" //nolint:gosec // a route
	maxPasskeyName = 80                               // bytes
)

// List returns the user's passkeys. GET /api/auth/passkeys; bearer; may be repeated; never stale.
// Confirmed by an earlier version of the server's source.
func (s *PasskeysService) List(ctx context.Context, opts ...RequestOption) ([]Passkey, error) {
	list, err := invoke[bare[Passkey, *Passkey]](ctx, s.c, request{method: http.MethodGet, template: "/api/auth/passkeys"}, opts)
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// All iterates over the same passkeys. It yields an error last; [AllItems] collects
// them. The list comes as a whole, so that changing it on the way does no harm.
func (s *PasskeysService) All(ctx context.Context, opts ...RequestOption) iter.Seq2[Passkey, error] {
	return unpaged(func() ([]Passkey, error) { return s.List(ctx, opts...) })
}

// StartRegistration begins to make a passkey: a browser makes it of the challenge, and
// [PasskeysService.FinishRegistration] takes it. POST /api/auth/passkeys/register/start; bearer;
// may be repeated: each makes another challenge. A server without WebAuthn returns 500. Confirmed
// by an earlier version of the server's source.
func (s *PasskeysService) StartRegistration(
	ctx context.Context, p PasskeyRegisterParams, opts ...RequestOption,
) (*PasskeyChallenge, error) {
	body, err := invoke[passkeyChallengeBody](ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/passkeys/register/start", body: p,
	}, opts)
	if err != nil {
		return nil, err
	}
	return body.challenge(), nil
}

// FinishRegistration takes the passkey that a browser has made, and returns its id. POST
// /api/auth/passkeys/register/finish; bearer; never repeated once it may have arrived: a challenge
// is used up by it. One that is over or used is 400 BAD_REQUEST. Confirmed by an earlier version of
// the server's source.
func (s *PasskeysService) FinishRegistration(ctx context.Context, p PasskeyFinishParams, opts ...RequestOption) (string, error) {
	var in checks
	p.check(&in)
	body, err := invoke[passkeyRegistered](ctx, s.c, request{
		method: http.MethodPost, template: "/api/auth/passkeys/register/finish", body: p, checks: in,
	}, opts)
	if err != nil {
		return "", err
	}
	return body.PasskeyID, nil
}

// Update renames a passkey. PATCH /api/auth/passkeys/:passkey_id; bearer; may be repeated.
// Confirmed by an earlier version of the server's source.
func (s *PasskeysService) Update(ctx context.Context, passkeyID string, p PasskeyUpdateParams, opts ...RequestOption) (*Passkey, error) {
	var in checks
	in.id("passkey_id", passkeyID)
	switch name := strings.TrimSpace(p.Name); {
	case name == "":
		in.add("name", CodeRequired, "must not be empty")
	case len(name) > maxPasskeyName:
		in.add("name", CodeOutOfRange, "must be 1 to 80 bytes")
	}
	return invoke[Passkey](ctx, s.c, request{
		method: http.MethodPatch, template: passkeyPath, args: []string{passkeyID}, body: p, checks: in,
	}, opts)
}

// Delete removes a passkey. DELETE /api/auth/passkeys/:passkey_id; bearer; may be repeated: when an
// attempt's outcome is unknown and its repeat finds 404, Delete has succeeded. Confirmed by an
// earlier version of the server's source.
func (s *PasskeysService) Delete(ctx context.Context, passkeyID string, opts ...RequestOption) error {
	var in checks
	in.id("passkey_id", passkeyID)
	return acknowledged(ctx, s.c, request{
		method: http.MethodDelete, template: passkeyPath, args: []string{passkeyID}, checks: in,
	}, opts)
}
