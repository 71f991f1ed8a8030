package authostest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

func (t *table) siemRoutes() {
	const all = "/api/organizations/:org_slug/siem-configs"
	t.add("GET", all, bearer, (*call).listSIEM)
	t.add("POST", all, bearer, (*call).createSIEM)
	t.add("GET", all+"/:config_id", bearer, (*call).getSIEM)
	t.add("PUT", all+"/:config_id", bearer, (*call).updateSIEM)
	t.add("DELETE", all+"/:config_id", bearer, (*call).deleteSIEM)
	t.add("POST", all+"/:config_id/test", bearer, (*call).testSIEM)
}

// siemConfig is where an organization's events are sent. Secrets are taken in and
// never shown, so only whether there is one is kept.
type siemConfig struct {
	id, name, kind, endpoint string
	batch                    int
	enabled                  bool
	created                  time.Time
}

var siemKinds = []string{"Datadog", "Splunk", "Elastic", "Custom"}

const defaultBatch = 100

type siemModel struct {
	ID                    string  `json:"id"`
	OrgID                 string  `json:"org_id"`
	Name                  string  `json:"name"`
	ProviderType          string  `json:"provider_type"`
	EndpointURL           string  `json:"endpoint_url"`
	BatchSize             int     `json:"batch_size"`
	Enabled               bool    `json:"enabled"`
	LastSuccessfulBatchAt *string `json:"last_successful_batch_at"`
	FailureCount          int     `json:"failure_count"`
	CreatedAt             string  `json:"created_at"`
}

func newSIEMModel(o *organization, s *siemConfig) siemModel {
	return siemModel{s.id, o.id, s.name, s.kind, s.endpoint, s.batch, s.enabled, nil, 0, stampOffset(s.created)}
}

// integrationsOrg finds the organization of the path for who may connect it with
// other products.
func (c *call) integrationsOrg() (*organization, *response) {
	return c.orgFor("manage integrations", "integrations.manage")
}

func (c *call) listSIEM() response {
	o, refused := c.integrationsOrg()
	if refused != nil {
		return *refused
	}
	list := []siemModel{}
	for _, s := range o.siem {
		list = append(list, newSIEMModel(o, s))
	}
	return jsonResponse(http.StatusOK, struct {
		Configs []siemModel `json:"siem_configs"`
		Total   int         `json:"total"`
	}{list, len(list)})
}

func (c *call) createSIEM() response {
	in, bad := decode[struct {
		Name         string  `json:"name"`
		ProviderType string  `json:"provider_type"`
		EndpointURL  string  `json:"endpoint_url"`
		APIKey       *string `json:"api_key"`
		AuthHeader   *string `json:"auth_header"`
		BatchSize    *int    `json:"batch_size"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.integrationsOrg()
	switch {
	case refused != nil:
		return *refused
	case !o.feature("allow_siem"):
		return c.featureMissing("SIEM integration")
	case !slices.Contains(siemKinds, in.ProviderType):
		return c.invalid("provider_type", "INVALID_VALUE", "Invalid provider type. Must be one of: "+strings.Join(siemKinds, ", "))
	}
	s := &siemConfig{
		id: c.s.newID(), name: in.Name, kind: in.ProviderType, endpoint: in.EndpointURL, batch: defaultBatch, enabled: true,
		created: c.now.Truncate(time.Microsecond),
	}
	set(&s.batch, in.BatchSize)
	o.siem = append(o.siem, s)
	c.applied = true
	return jsonResponse(http.StatusCreated, newSIEMModel(o, s))
}

// pathSIEM finds the configuration of the path.
func (c *call) pathSIEM() (*organization, *siemConfig, *response) {
	o, refused := c.integrationsOrg()
	if refused != nil {
		return nil, nil, refused
	}
	if s := find(o.siem, func(s *siemConfig) bool { return s.id == c.params[1] }); s != nil {
		return o, s, nil
	}
	a := c.notFound("SIEM configuration not found")
	return nil, nil, &a
}

func (c *call) getSIEM() response {
	o, s, refused := c.pathSIEM()
	if refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, newSIEMModel(o, s))
}

// updateSIEM is a PUT that leaves alone what it is not given.
func (c *call) updateSIEM() response {
	in, bad := decode[struct {
		Name        *string `json:"name"`
		EndpointURL *string `json:"endpoint_url"`
		APIKey      *string `json:"api_key"`
		AuthHeader  *string `json:"auth_header"`
		BatchSize   *int    `json:"batch_size"`
		Enabled     *bool   `json:"enabled"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, s, refused := c.pathSIEM()
	if refused != nil {
		return *refused
	}
	set(&s.name, in.Name)
	set(&s.endpoint, in.EndpointURL)
	set(&s.batch, in.BatchSize)
	set(&s.enabled, in.Enabled)
	c.applied = true
	return jsonResponse(http.StatusOK, newSIEMModel(o, s))
}

func (c *call) deleteSIEM() response {
	o, s, refused := c.pathSIEM()
	if refused != nil {
		return *refused
	}
	o.siem = without(o.siem, s)
	c.applied = true
	return empty(http.StatusNoContent)
}

// testSIEM says how sending an event went. That it failed is a 200 too: here, when
// the endpoint is one that nobody can have.
func (c *call) testSIEM() response {
	_, s, refused := c.pathSIEM()
	if refused != nil {
		return *refused
	}
	if strings.Contains(s.endpoint, ".invalid") {
		return jsonResponse(http.StatusOK, outcome{false, "Connection test failed"})
	}
	return jsonResponse(http.StatusOK, outcome{true, "Connection test successful"})
}
