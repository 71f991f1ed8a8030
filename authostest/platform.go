package authostest

import (
	"net/http"
	"slices"
	"time"
)

func (t *table) platformRoutes() {
	t.add("GET", "/api/platform/tiers", platformOwner, (*call).listTiers)
	t.add("GET", "/api/platform/audit-log", platformOwner, (*call).platformAuditLog)
	t.add("GET", "/api/platform/bootstrap/config", platformOwner, (*call).managedConfig)
	t.add("PATCH", "/api/platform/bootstrap/config", platformOwner, (*call).setManagedConfig)
	t.add("POST", "/api/platform/bootstrap/apply", platformOwner, (*call).applyManagedConfig)
	t.platformOrganizationRoutes()
	t.platformUserRoutes()
	t.platformStatisticsRoutes()
}

// platformState is what the platform remembers beside its organizations and users.
type platformState struct {
	audits []platformAudit // oldest first
}

// outcome is the response of actions that succeed without an entity to show.
type outcome struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

type platformAudit struct {
	ID              string  `json:"id"`
	PlatformOwnerID string  `json:"platform_owner_id"`
	Action          string  `json:"action"`
	TargetType      string  `json:"target_type"`
	TargetID        string  `json:"target_id"`
	Metadata        *string `json:"metadata"` // JSON, as text
	CreatedAt       string  `json:"created_at"`
}

// audit puts an action of the platform on record.
func (c *call) auditPlatform(action, targetType, targetID string, details map[string]any) {
	entry := platformAudit{
		ID: c.s.newID(), PlatformOwnerID: c.user.ID, Action: action, TargetType: targetType, TargetID: targetID,
		CreatedAt: stampZ(c.now.Truncate(time.Microsecond)),
	}
	if details != nil {
		entry.Metadata = new(string(encode(details)))
	}
	c.s.scene.platform.audits = append(newest(c.s.scene.platform.audits, maxAudits), entry)
}

func (c *call) platformAuditLog() response {
	limit, offset, bad := c.window()
	if bad != nil {
		return *bad
	}
	query := c.r.URL.Query()
	matches := func(name, value string) bool { return !query.Has(name) || query.Get(name) == value }
	list := []platformAudit{} // newest first
	for _, entry := range slices.Backward(c.s.scene.platform.audits) {
		if matches("action", entry.Action) && matches("target_type", entry.TargetType) && matches("target_id", entry.TargetID) {
			list = append(list, entry)
		}
	}
	return jsonResponse(http.StatusOK, struct {
		Logs  []platformAudit `json:"logs"`
		Total int             `json:"total"`
	}{slice(list, limit, offset), len(list)})
}
