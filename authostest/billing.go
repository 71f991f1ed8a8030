package authostest

import "net/http"

func (t *table) billingRoutes() {
	t.add("GET", "/api/organizations/:org_slug/billing/info", bearer, (*call).billingInfo)
	t.add("POST", "/api/organizations/:org_slug/billing/portal", bearer, (*call).billingPortal)
	const credentials = "/api/organizations/:org_slug/billing-credentials/:provider"
	t.add("GET", credentials, bearer, (*call).billingCredentials)
	t.add("POST", credentials, bearer, (*call).setBillingCredentials)
	t.add("DELETE", credentials, bearer, (*call).deleteBillingCredentials)
}

func (c *call) billingInfo() response {
	if _, refused := c.orgFor("manage billing", "billing.manage"); refused != nil {
		return *refused
	}
	return jsonResponse(http.StatusOK, struct {
		HasBillingAccount bool    `json:"has_billing_account"`
		Provider          *string `json:"provider"`
	}{})
}

func (c *call) billingPortal() response {
	_, bad := decode[struct {
		ReturnURL string `json:"return_url"`
	}](c, plainJSON)
	if bad != nil {
		return *bad
	}
	if _, refused := c.orgFor("manage billing", "billing.manage"); refused != nil {
		return *refused
	}
	return c.badRequest("Organization has no billing account")
}

// billingShelf finds the credentials of the path's organization with a provider.
func (c *call) billingShelf() (shelfKey, *response) {
	o, refused := c.orgFor("manage billing", "billing.manage")
	if refused != nil {
		return shelfKey{}, refused
	}
	return shelfKey{o.id, "billing-" + c.params[1]}, nil
}

func (c *call) billingCredentials() response {
	key, refused := c.billingShelf()
	if refused != nil {
		return *refused
	}
	return c.describeBilling(c.only(key) != nil)
}

func (c *call) describeBilling(configured bool) response {
	return jsonResponse(http.StatusOK, struct {
		Provider   string `json:"provider"`
		Configured bool   `json:"configured"`
	}{c.params[1], configured})
}

func (c *call) setBillingCredentials() response {
	in, bad := c.thing("")
	if bad != nil {
		return *bad
	}
	key, refused := c.billingShelf()
	if refused != nil {
		return *refused
	}
	delete(c.s.scene.shelves, key)
	c.put(key, in)
	return c.describeBilling(true)
}

func (c *call) deleteBillingCredentials() response {
	key, refused := c.billingShelf()
	if refused != nil {
		return *refused
	}
	if c.only(key) == nil {
		return c.notFound("Billing credentials not found")
	}
	c.drop(key, 0)
	return jsonResponse(http.StatusOK, outcome{true, "Billing credentials deleted successfully"})
}
