package authostest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) userDeviceRoutes() {
	t.add("GET", "/api/user/devices", bearer, (*call).listDevices)
	t.add("POST", "/api/user/devices/revoke-all", bearer, (*call).revokeDevices)
	t.add("GET", "/api/user/devices/:device_id", bearer, (*call).getDevice)
	t.add("PATCH", "/api/user/devices/:device_id", bearer, (*call).renameDevice)
	t.add("POST", "/api/user/devices/:device_id/revoke", bearer, (*call).revokeDevice)
	t.add("POST", "/api/user/devices/:device_id/trust", bearer, (*call).trustDevice)
}

// trustLife is how long a device is trusted.
const trustLife = 90 * 24 * time.Hour

// device is a browser that a user has signed in with.
type device struct {
	id, name             string
	first, last, expires time.Time
	risk                 int
	trusted              bool
}

// AddDevice adds a device to those of a user and returns its id. An unknown user
// is added first, as by [Server.AddUser].
func (s *Server) AddDevice(email, name string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addDevice(s.addMember(email, ""), name).id
}

func (s *Server) addDevice(u *user, name string) *device {
	now := s.now().Truncate(time.Microsecond)
	d := &device{id: s.newID(), name: name, first: now, last: now, expires: now.Add(trustLife)}
	u.devices = append(u.devices, d)
	return d
}

type deviceModel struct {
	ID             string  `json:"id"`
	DeviceName     string  `json:"device_name"`
	FirstSeenAt    string  `json:"first_seen_at"`
	LastUsedAt     string  `json:"last_used_at"`
	ExpiresAt      string  `json:"expires_at"`
	RegistrationIP *string `json:"registration_ip"`
	RiskScore      int     `json:"risk_score"`
	IsTrusted      bool    `json:"is_trusted"`
}

func newDeviceModel(d *device) deviceModel {
	return deviceModel{
		d.id, d.name, stampOffset(d.first), stampOffset(d.last), stampOffset(d.expires), new("127.0.0.1"), d.risk, d.trusted,
	}
}

func (c *call) listDevices() response {
	page, limit, bad := c.page(20)
	if bad != nil {
		return *bad
	}
	list, query := slices.Clone(c.user.devices), c.r.URL.Query()
	slices.SortStableFunc(list, func(a, b *device) int {
		order := a.first.Compare(b.first)
		switch query.Get("sort_by") {
		case "last_seen_at":
			order = a.last.Compare(b.last)
		case "name":
			order = cmp.Compare(a.name, b.name)
		}
		if strings.EqualFold(query.Get("sort_order"), "asc") {
			return order
		}
		return -order
	})
	models := []deviceModel{}
	for _, d := range pageOf(list, page, limit) {
		models = append(models, newDeviceModel(d))
	}
	return jsonResponse(http.StatusOK, struct {
		Devices []deviceModel `json:"devices"`
		Total   int           `json:"total"`
		Page    int           `json:"page"`
		Limit   int           `json:"limit"`
	}{models, len(list), page, limit})
}

// ownDevice finds the device of the path among the user's.
func (c *call) ownDevice() (*device, *response) {
	if d := find(c.user.devices, func(d *device) bool { return d.id == c.params[0] }); d != nil {
		return d, nil
	}
	a := c.notFound("Device not found")
	return nil, &a
}

func (c *call) getDevice() response {
	d, missing := c.ownDevice()
	if missing != nil {
		return *missing
	}
	return jsonResponse(http.StatusOK, newDeviceModel(d))
}

func (c *call) renameDevice() response {
	in, bad := decode[struct {
		DeviceName string `json:"device_name"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	d, missing := c.ownDevice()
	if missing != nil {
		return *missing
	}
	d.name = in.DeviceName
	c.applied = true
	return jsonResponse(http.StatusOK, newDeviceModel(d))
}

type deviceOutcome struct {
	Message string `json:"message"`
	Success bool   `json:"success"`
}

// revokeDevice wants a body although nothing in it is required.
func (c *call) revokeDevice() response {
	_, bad := decode[struct {
		Reason *string `json:"reason"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	d, missing := c.ownDevice()
	if missing != nil {
		return *missing
	}
	c.user.devices = without(c.user.devices, d)
	c.applied = true
	return jsonResponse(http.StatusOK, deviceOutcome{"Device revoked successfully", true})
}

func (c *call) revokeDevices() response {
	c.applied = len(c.user.devices) > 0
	c.user.devices = nil
	return jsonResponse(http.StatusOK, deviceOutcome{"All devices revoked successfully", true})
}

func (c *call) trustDevice() response {
	d, missing := c.ownDevice()
	if missing != nil {
		return *missing
	}
	d.trusted, d.expires = true, c.now.Add(trustLife).Truncate(time.Microsecond)
	c.applied = true
	return jsonResponse(http.StatusOK, newDeviceModel(d))
}
