package authos

import (
	"context"
	"iter"
	"net/http"
)

// DevicesService are the devices that the signed-in user has signed in from.
type DevicesService struct{ c *Client }

// Device is a device that a user has signed in from.
type Device struct {
	ID          string `json:"id"`
	DeviceName  string `json:"device_name"`
	FirstSeenAt Time   `json:"first_seen_at"`
	LastUsedAt  Time   `json:"last_used_at"`
	// ExpiresAt is until when the device is known.
	ExpiresAt      Time   `json:"expires_at"`
	RegistrationIP string `json:"registration_ip"` // empty when it was not recorded
	RiskScore      int    `json:"risk_score"`      // 0 to 100
	IsTrusted      bool   `json:"is_trusted"`
}

func (d *Device) missing() string { return missingID(d.ID) }

// What a list of devices can be sorted by, and how.
const (
	SortCreatedAt  = "created_at"
	SortLastSeenAt = "last_seen_at"
	SortName       = "name"

	SortAscending  = "asc"
	SortDescending = "desc"
)

// DeviceListParams choose a page and its order.
type DeviceListParams struct {
	// Page counts from 1; zero: the first. Limit is 1 to 100; zero: the server's default, 20; for
	// All, 100.
	Page, Limit int
	// SortBy is created_at, last_seen_at or name, SortOrder asc or desc; empty: as the server
	// likes.
	SortBy, SortOrder string
}

// DeviceUpdateParams are a device's new name.
type DeviceUpdateParams struct {
	DeviceName string `json:"device_name"`
}

// DeviceRevokeParams say why a device is revoked.
type DeviceRevokeParams struct {
	Reason string `json:"reason,omitempty"`
}

type deviceList struct {
	Devices *[]Device `json:"devices"`
	Total   *int      `json:"total"`
}

func (l *deviceList) missing() string { return missingItem("devices", l.Devices) }

const devicePath = "/api/user/devices/:device_id"

// List returns one page of the user's devices. GET /api/user/devices; bearer; may be repeated;
// cached for the stale fallback.
func (s *DevicesService) List(ctx context.Context, p DeviceListParams, opts ...RequestOption) (*Page[Device], error) {
	var in checks
	in.numbered(p.Limit, p.Page)
	in.oneOf("sort_by", p.SortBy, "", SortCreatedAt, SortLastSeenAt, SortName)
	in.oneOf("sort_order", p.SortOrder, "", SortAscending, SortDescending)
	q := numbering(p.Limit, p.Page)
	put(q, "sort_by", p.SortBy)
	put(q, "sort_order", p.SortOrder)
	list, err := invoke[deviceList](ctx, s.c, request{
		method: http.MethodGet, template: "/api/user/devices", query: q, checks: in,
	}, opts)
	if err != nil {
		return nil, err
	}
	return newPage(*list.Devices, list.Total), nil
}

// All iterates over the user's devices from p.Page on, p.Limit at a time. It stops at the first
// error, which it yields last.
func (s *DevicesService) All(ctx context.Context, p DeviceListParams, opts ...RequestOption) iter.Seq2[Device, error] {
	return byNumber(p.Limit, p.Page, func(limit, number int) (*Page[Device], error) {
		p.Limit, p.Page = limit, number
		return s.List(ctx, p, opts...)
	})
}

// Get returns a device. GET /api/user/devices/:device_id; bearer; may be repeated; cached for the
// stale fallback.
func (s *DevicesService) Get(ctx context.Context, deviceID string, opts ...RequestOption) (*Device, error) {
	var in checks
	in.id("device_id", deviceID)
	return invoke[Device](ctx, s.c, request{
		method: http.MethodGet, template: devicePath, args: []string{deviceID}, checks: in,
	}, opts)
}

// Update renames a device. PATCH /api/user/devices/:device_id; bearer; may be repeated.
func (s *DevicesService) Update(
	ctx context.Context, deviceID string, p DeviceUpdateParams, opts ...RequestOption,
) (*Device, error) {
	var in checks
	in.id("device_id", deviceID)
	in.required("device_name", p.DeviceName)
	return invoke[Device](ctx, s.c, request{
		method: http.MethodPatch, template: devicePath, args: []string{deviceID}, body: p, checks: in,
	}, opts)
}

// Revoke makes a device unknown again. POST /api/user/devices/:device_id/revoke; bearer; may be
// repeated: a second one is 404 NOT_FOUND.
func (s *DevicesService) Revoke(ctx context.Context, deviceID string, p DeviceRevokeParams, opts ...RequestOption) error {
	var in checks
	in.id("device_id", deviceID)
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/devices/:device_id/revoke", args: []string{deviceID}, body: p, checks: in,
	}, opts)
}

// Trust makes a device trusted, for 90 days from now. POST /api/user/devices/:device_id/trust;
// bearer; may be repeated.
func (s *DevicesService) Trust(ctx context.Context, deviceID string, opts ...RequestOption) (*Device, error) {
	var in checks
	in.id("device_id", deviceID)
	return invoke[Device](ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/devices/:device_id/trust", args: []string{deviceID}, checks: in,
	}, opts)
}

// RevokeAll makes all of the user's devices unknown again. POST /api/user/devices/revoke-all;
// bearer; may be repeated.
func (s *DevicesService) RevokeAll(ctx context.Context, opts ...RequestOption) error {
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/devices/revoke-all",
	}, opts)
}
