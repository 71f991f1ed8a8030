package authostest

import (
	"net/http"
	"slices"
	"time"
)

func (t *table) billingRoutes() {
	t.add("GET", "/api/organizations/:org_slug/billing/info", bearer, (*call).billingInfo)
	t.add("POST", "/api/organizations/:org_slug/billing/portal", bearer, (*call).billingPortal)
	const credentials = "/api/organizations/:org_slug/billing-credentials/:provider"
	t.add("GET", credentials, bearer, (*call).billingCredentials)
	t.add("POST", credentials, bearer, (*call).setBillingCredentials)
	t.add("DELETE", credentials, bearer, (*call).deleteBillingCredentials)
}

// billingProviders are those that can be set up.
var billingProviders = []string{"stripe", "polar"}

// billingCredentials is an organization's own account with a provider.
type billingCredentials struct {
	mode    string // test or live
	created time.Time
}

// billingAccount is the provider that an organization has an account with, or nil.
func (o *organization) billingAccount() *string {
	for _, name := range billingProviders {
		if o.billing[name] != nil {
			return &name
		}
	}
	return nil
}

func (c *call) billingInfo() response {
	o, refused := c.orgFor("manage billing", "billing.manage")
	if refused != nil {
		return *refused
	}
	account := o.billingAccount()
	return jsonResponse(http.StatusOK, struct {
		HasBillingAccount bool    `json:"has_billing_account"`
		Provider          *string `json:"provider"`
	}{account != nil, account})
}

// billingPortal is off for good on an instance without billing, in spite of the
// status. An organization with credentials of its own has billing.
func (c *call) billingPortal() response {
	in, bad := decode[struct {
		ReturnURL string `json:"return_url"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.orgFor("manage billing", "billing.manage")
	switch {
	case refused != nil:
		return *refused
	case o.billingAccount() == nil:
		return c.fail(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", "Billing is disabled on this instance")
	}
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		URL string `json:"url"`
	}{"https://billing.stripe.com/p/session/test_" + c.s.randomHex(12) + "?return_url=" + in.ReturnURL})
}

// billingOrg finds the organization of the path for its owner, and checks the
// provider.
func (c *call) billingOrg() (*organization, *response) {
	o, refused := c.ownedOrg()
	if refused != nil {
		return nil, refused
	}
	if !slices.Contains(billingProviders, c.params[1]) {
		a := c.invalid("provider", "INVALID_VALUE", "Invalid billing provider. Must be stripe or polar")
		return nil, &a
	}
	return o, nil
}

func (c *call) billingCredentials() response {
	o, refused := c.billingOrg()
	if refused != nil {
		return *refused
	}
	shown := struct {
		Configured bool    `json:"configured"`
		Provider   string  `json:"provider"`
		Mode       *string `json:"mode"`
		Enabled    bool    `json:"enabled"`
	}{Provider: c.params[1]}
	if known := o.billing[c.params[1]]; known != nil {
		shown.Configured, shown.Mode, shown.Enabled = true, &known.mode, true
	}
	return jsonResponse(http.StatusOK, shown)
}

func (c *call) setBillingCredentials() response {
	in, bad := decode[struct {
		APIKey        string `json:"api_key"`
		WebhookSecret string `json:"webhook_secret"`
		Mode          string `json:"mode"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	o, refused := c.billingOrg()
	switch {
	case refused != nil:
		return *refused
	case in.Mode != "test" && in.Mode != "live":
		return c.invalid("mode", "INVALID_VALUE", "Invalid mode. Must be test or live")
	}
	o.billing[c.params[1]] = &billingCredentials{in.Mode, c.now}
	c.applied = true
	return jsonResponse(http.StatusOK, message{"Billing credentials saved successfully"})
}

func (c *call) deleteBillingCredentials() response {
	o, refused := c.billingOrg()
	switch {
	case refused != nil:
		return *refused
	case o.billing[c.params[1]] == nil:
		return c.notFound("Billing credentials not found")
	}
	delete(o.billing, c.params[1])
	c.applied = true
	return jsonResponse(http.StatusOK, struct {
		Message      string `json:"message"`
		DeletedCount int    `json:"deleted_count"`
	}{"Billing credentials deleted successfully", 1})
}
