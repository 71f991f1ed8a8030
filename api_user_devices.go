package authos

import (
	"context"
	"iter"
	"net/http"
)

// UserDevicesService are the devices that the signed-in user has signed in from.
type UserDevicesService struct{ c *Client }

// UserDevice is a device that a user has signed in from.
type UserDevice struct {
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

func (d *UserDevice) missing() string { return missingID(d.ID) }

// UserDeviceSort is what a list of devices is sorted by.
type UserDeviceSort string

// What a list of devices can be sorted by.
const (
	SortCreatedAt  UserDeviceSort = "created_at"
	SortLastSeenAt UserDeviceSort = "last_seen_at"
	SortName       UserDeviceSort = "name"
)

// SortOrder is which end of a list comes first.
type SortOrder string

// The orders of a list.
const (
	SortAscending  SortOrder = "asc"
	SortDescending SortOrder = "desc"
)

// UserDeviceListParams choose a page and its order.
type UserDeviceListParams struct {
	// Page counts from 1; zero: the first. Limit is 1 to 100; zero: the server's default, 20; for
	// All, 100.
	Limit, Page int
	// SortBy and SortOrder are the server's choice where they are empty.
	SortBy    UserDeviceSort
	SortOrder SortOrder
}

// UserDeviceUpdateParams are a device's new name.
type UserDeviceUpdateParams struct {
	DeviceName string `json:"device_name"`
}

// UserDeviceRevokeParams say why a device is revoked.
type UserDeviceRevokeParams struct {
	Reason string `json:"reason,omitempty"`
}

type deviceList struct {
	Devices *[]UserDevice `json:"devices"`
	Total   *int64        `json:"total"`
}

func (l *deviceList) missing() string { return missingItem("devices", l.Devices) }

const devicePath = "/api/user/devices/:device_id"

// List returns one page of the user's devices. GET /api/user/devices; bearer; may be repeated;
// cached for the stale fallback.
func (s *UserDevicesService) List(ctx context.Context, p UserDeviceListParams, opts ...RequestOption) (*Page[UserDevice], error) {
	var in checks
	in.numbered(p.Limit, p.Page)
	in.oneOf("sort_by", string(p.SortBy), "", string(SortCreatedAt), string(SortLastSeenAt), string(SortName))
	in.oneOf("sort_order", string(p.SortOrder), "", string(SortAscending), string(SortDescending))
	q := numbering(p.Limit, p.Page)
	put(q, "sort_by", string(p.SortBy))
	put(q, "sort_order", string(p.SortOrder))
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
//
// Revoking devices on the way moves the others to earlier pages, and some are passed over: collect
// first ([AllItems]), then revoke.
func (s *UserDevicesService) All(ctx context.Context, p UserDeviceListParams, opts ...RequestOption) iter.Seq2[UserDevice, error] {
	return byNumber(p.Limit, p.Page, func(limit, number int) (*Page[UserDevice], error) {
		p.Limit, p.Page = limit, number
		return s.List(ctx, p, opts...)
	})
}

// Get returns a device. GET /api/user/devices/:device_id; bearer; may be repeated; cached for the
// stale fallback.
func (s *UserDevicesService) Get(ctx context.Context, deviceID string, opts ...RequestOption) (*UserDevice, error) {
	var in checks
	in.id("device_id", deviceID)
	return invoke[UserDevice](ctx, s.c, request{
		method: http.MethodGet, template: devicePath, args: []string{deviceID}, checks: in,
	}, opts)
}

// Update renames a device. PATCH /api/user/devices/:device_id; bearer; may be repeated.
func (s *UserDevicesService) Update(
	ctx context.Context, deviceID string, p UserDeviceUpdateParams, opts ...RequestOption,
) (*UserDevice, error) {
	var in checks
	in.id("device_id", deviceID)
	in.required("device_name", p.DeviceName)
	return invoke[UserDevice](ctx, s.c, request{
		method: http.MethodPatch, template: devicePath, args: []string{deviceID}, body: p, checks: in,
	}, opts)
}

// Revoke makes a device unknown again. POST /api/user/devices/:device_id/revoke; bearer; may be
// repeated: a second one is 404 NOT_FOUND.
func (s *UserDevicesService) Revoke(ctx context.Context, deviceID string, p UserDeviceRevokeParams, opts ...RequestOption) error {
	var in checks
	in.id("device_id", deviceID)
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/devices/:device_id/revoke", args: []string{deviceID}, body: p, checks: in,
	}, opts)
}

// Trust makes a device trusted, for 90 days from now. POST /api/user/devices/:device_id/trust;
// bearer; may be repeated.
func (s *UserDevicesService) Trust(ctx context.Context, deviceID string, opts ...RequestOption) (*UserDevice, error) {
	var in checks
	in.id("device_id", deviceID)
	return invoke[UserDevice](ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/devices/:device_id/trust", args: []string{deviceID}, checks: in,
	}, opts)
}

// RevokeAll makes all of the user's devices unknown again. POST /api/user/devices/revoke-all;
// bearer; may be repeated.
func (s *UserDevicesService) RevokeAll(ctx context.Context, opts ...RequestOption) error {
	return acknowledged(ctx, s.c, request{
		method: http.MethodPost, template: "/api/user/devices/revoke-all",
	}, opts)
}
