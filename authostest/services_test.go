package authostest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const servicesPath = "/api/organizations/acme/services"

func servicePattern(slug, name, kind, secret, github, uris, activation string) string {
	return `{"id":"<…>","org_id":"<…>","slug":"` + slug + `","name":"` + name + `","service_type":"` + kind + `","client_id":"<…>",` +
		`"client_secret":` + secret + `,"github_scopes":` + github + `,"microsoft_scopes":null,"google_scopes":null,"redirect_uris":` + uris +
		`,"device_activation_uri":` + activation + `,"resource_uris":null,"saml_enabled":false,"saml_entity_id":null,"saml_acs_url":null,` +
		`"saml_slo_url":null,"saml_name_id_format":null,"saml_attribute_mapping":null,"saml_sign_assertions":false,` +
		`"saml_sign_response":false,"created_at":"<…>Z"}`
}

const freePlanPattern = `{"id":"<…>","service_id":"<…>","name":"free","description":null,"price_cents":0,"currency":"usd","features":"[]",` +
	`"stripe_price_id":null,"is_default":true,"created_at":"<…>Z"}`

func TestServices(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddMember("acme", "ada@example.com", "admin")
	srv.AddMember("acme", "bob@example.com", "member")
	owner, admin, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "ada@example.com"), as(srv, "acme", "bob@example.com")
	const shop = `{"slug":"shop","name":"Shop","service_type":"mobile","github_scopes":["user:email"],"redirect_uris":["https://shop.example/cb"]}`
	c.walk(
		step{member, "POST", servicesPath, shop, 403, forbidden("Insufficient permissions to create services")},
		step{admin, "POST", servicesPath, `{"slug":"shop","name":"Shop"}`, 422, missingField("service_type", "29")},
		step{admin, "POST", servicesPath, `{"slug":"shop","name":"Shop","service_type":"car"}`, 400,
			bad("Invalid service type. Must be one of: web, mobile, desktop, api")},
		step{admin, "POST", servicesPath, `{"slug":"shop","name":"Shop","service_type":"web","redirect_uris":[]}`, 400,
			bad("At least one redirect URI is required")},
		step{admin, "POST", servicesPath, `{"slug":"shop","name":"Shop","service_type":"web","resource_uris":["shop"]}`, 400, bad("Invalid resource URI")},
		step{admin, "POST", servicesPath, `{"slug":"app","name":"Shop","service_type":"web"}`, 400,
			realError("DUPLICATE_CONSTRAINT", "Service with this slug already exists in this organization")},
		step{admin, "POST", servicesPath, shop, 200,
			`{"service":` + servicePattern("shop", "Shop", "mobile", `"<…>"`, `["user:email"]`, `["https://shop.example/cb"]`, "null") +
				`,"default_plan":` + freePlanPattern + `,"usage":{"current_services":2,"max_services":5,"tier":"Starter"}}`},
	)
	one := servicesPath + "/shop"
	plain := servicePattern("shop", "Shop", "mobile", "null", `["user:email"]`, `["https://shop.example/cb"]`, "null")
	row := strings.TrimSuffix(plain, "}") + `,"plan_count":1,"subscription_count":0}`
	c.walk(
		step{admin, "GET", one, "", 200, plain},
		step{admin, "GET", servicesPath + "/nope", "", 404, missing("Service not found")},
		step{admin, "GET", servicesPath + "?service_type=mobile&status=x", "", 200,
			`{"services":[` + row + `],"usage":{"current_services":1,"max_services":5,"tier":"Starter"}}`},
		step{admin, "GET", servicesPath + "?offset=1", "", 200, `{"services":[` + row + `],"usage":{"current_services":2,"max_services":5,"tier":"Starter"}}`},
		step{admin, "GET", servicesPath + "?limit=0", "", 200, `{"services":[],"usage":{"current_services":2,"max_services":5,"tier":"Starter"}}`},

		step{admin, "PATCH", one, `{}`, 400, bad("No fields to update")},
		step{admin, "PATCH", one, `{"name":null,"slug":"x"}`, 400, bad("No fields to update")},
		step{admin, "PATCH", one, `{"redirect_uris":[]}`, 400, bad("At least one redirect URI is required")},
		step{admin, "PATCH", one, `{"name":"The Shop","device_activation_uri":"https://shop.example/go","github_scopes":null}`, 200,
			servicePattern("shop", "The Shop", "mobile", "null", `["user:email"]`, `["https://shop.example/cb"]`, `"https://shop.example/go"`)},
		step{member, "POST", one + "/secret/rotate", "", 403, forbidden("Insufficient permissions to rotate service secrets")},
		step{admin, "POST", one + "/secret/rotate", "", 200, `{"service":` + servicePattern("shop", "The Shop", "mobile", "null",
			`["user:email"]`, `["https://shop.example/cb"]`, `"https://shop.example/go"`) + `,"client_secret":"<…>"}`},

		step{admin, "POST", servicesPath, `{"slug":"second","name":"Second","service_type":"api"}`, 200, ""},
		step{admin, "POST", servicesPath, `{"slug":"another","name":"Another","service_type":"api"}`, 200, ""},
		step{admin, "POST", servicesPath, `{"slug":"third","name":"Third","service_type":"api"}`, 200, ""},
		step{admin, "POST", servicesPath, `{"slug":"fourth","name":"Fourth","service_type":"api"}`, 400,
			bad("Organization has reached maximum service limit (5/5)")},

		step{admin, "DELETE", one, "", 403, forbidden("Only organization owners can delete services")},
		step{owner, "DELETE", one, "", 204, ""},
		step{owner, "DELETE", one, "", 404, missing("Service not found")},
	)
	srv.AddSubscription("eve@example.com", srv.AddPlan("acme", "app", "pro", 900))
	c.walk(step{owner, "DELETE", servicesPath + "/app", "", 400, bad("Cannot delete service with active subscriptions")})
	srv.SuspendOrg("acme")
	c.walk(step{owner, "GET", servicesPath, "", 403, forbidden("Organization is not active. Current status: suspended")})
}

func TestPlans(t *testing.T) {
	srv, c := inMemory(t)
	srv.AddMember("acme", "bob@example.com", "member")
	owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
	const path = servicesPath + "/app/plans"
	pro := func(description, cents, features, price, isDefault string, n string) string {
		return `{"plan":{"id":"<…>","service_id":"<…>","name":"pro","description":` + description + `,"price_cents":` + cents +
			`,"currency":"eur","features":"` + features + `","stripe_price_id":` + price + `,"is_default":` + isDefault +
			`,"created_at":"<…>Z"},"subscription_count":` + n + `}`
	}
	c.walk(
		step{owner, "GET", path, "", 200, `[{"plan":` + freePlanPattern + `,"subscription_count":0}]`},
		step{member, "GET", path, "", 403, forbidden("Insufficient permissions to view plans for this service")},
		step{member, "POST", path, `{"name":"pro","price_cents":900,"currency":"eur"}`, 403,
			forbidden("Insufficient permissions to create plans for this service")},
		step{owner, "POST", path, `{"name":"pro","price_cents":"9","currency":"eur"}`, 422,
			`Failed to deserialize the JSON body into the target type: price_cents: invalid type: string "9", expected i64 at line 1 column 31`},
		step{owner, "POST", path, `{"name":"free","price_cents":900,"currency":"eur"}`, 400,
			realError("DUPLICATE_CONSTRAINT", "A plan with this name already exists for this service")},
	)
	created := c.walk(step{owner, "POST", path, `{"name":"pro","price_cents":900,"currency":"eur","features":["a","b"]}`, 200,
		pro("null", "900", `[\"a\",\"b\"]`, "null", "false", "0")})
	id := idOf(t, created.body)
	one := path + "/" + id
	checkout := servicesPath + "/app/checkout"
	order := `{"plan_id":"` + id + `","success_url":"https://a.example","cancel_url":"https://b.example"}`
	c.walk(
		// Three of the fields do not count when they come alone.
		step{owner, "PATCH", one, `{"is_default":true,"description":"x","stripe_price_id":"price_1"}`, 400, bad("No fields to update")},
		step{owner, "PATCH", one, `{"name":"free"}`, 400,
			realError("DUPLICATE_CONSTRAINT", "A plan with this name already exists for this service")},
		step{member, "POST", checkout, order, 400, bad("Plan does not have a price configured")},
		step{owner, "PATCH", one, `{"price_cents":1000,"is_default":true,"description":"x","stripe_price_id":"price_1"}`, 200,
			pro(`"x"`, "1000", `[\"a\",\"b\"]`, `"price_1"`, "true", "0")},
		step{owner, "PATCH", one, `{"features":[],"description":null}`, 200, pro(`"x"`, "1000", "[]", `"price_1"`, "true", "0")},
		step{owner, "PATCH", path + "/nope", `{"name":"x"}`, 404, missing("Plan not found")},
		step{member, "POST", checkout, order, 200, `{"checkout_url":"https://checkout.stripe.com/c/pay/<…>","session_id":"cs_test_<…>"}`},
		step{member, "POST", checkout, strings.Replace(order, id, "nope", 1), 404, missing("Plan not found")},
	)
	srv.AddSubscription("eve@example.com", id)
	c.walk(
		step{owner, "PATCH", one, `{"price_cents":900}`, 200, pro(`"x"`, "900", "[]", `"price_1"`, "true", "1")},
		step{owner, "DELETE", one, "", 400, bad("Cannot delete plan with active subscriptions")},
		step{owner, "DELETE", path + "/" + srv.AddPlan("acme", "app", "other", 1), "", 204, ""},
		step{owner, "DELETE", path + "/nope", "", 404, missing("Plan not found")},
	)
	if got := srv.AddPlan("acme", "app", "pro", 5); got != id {
		t.Errorf("AddPlan of a known name = %s, want %s", got, id)
	}
}

func TestManageAPIKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, c := inMemory(t)
		srv.AddMember("acme", "bob@example.com", "member")
		owner, member := as(srv, "acme", "owner@acme.example"), as(srv, "acme", "bob@example.com")
		const path = servicesPath + "/app/api-keys"
		c.walk(
			step{member, "POST", path, `{"name":"ci","permissions":["read:users"]}`, 403,
				forbidden("Insufficient permissions to manage API keys for this service")},
			step{owner, "POST", path, `{"name":" ","permissions":["read:users"]}`, 400, bad("API key name cannot be empty")},
			step{owner, "POST", path, `{"name":"ci","permissions":[]}`, 400, bad("API key must have at least one permission")},
			step{owner, "POST", path, `{"name":"ci","permissions":["read:provider_tokens:a b"]}`, 400,
				bad("Invalid permission: read:provider_tokens:a b. Valid permissions are: read:users, write:users, delete:users, " +
					"read:subscriptions, write:subscriptions, delete:subscriptions, read:analytics, read:service, write:service, " +
					"read:provider_tokens, read:provider_tokens:github, read:provider_tokens:google, read:provider_tokens:microsoft " +
					"or read:provider_tokens:<provider>")},
			step{owner, "GET", path, "", 200, `{"api_keys":[],"total":0}`},
		)
		const scopes = `["read:service","read:provider_tokens:okta-1.a_B"]`
		created := c.walk(step{owner, "POST", path, `{"name":"ci","permissions":` + scopes + `,"expires_in_days":2}`, 201,
			`{"id":"<…>","service_id":"<…>","name":"ci","prefix":"sk_<…>","permissions":` + scopes + `,"expires_at":"<…>Z",` +
				`"created_at":"<…>Z","created_by":"<…>","key":"sk_<…>"}`})
		id, key := idOf(t, created.body), "X-Api-Key: "+pick(t, created.body, `"key":"([^"]+)"`)
		shown := func(used string) string {
			return `{"id":"<…>","service_id":"<…>","name":"ci","prefix":"sk_<…>","permissions":` + scopes + `,"last_used_at":` + used +
				`,"expires_at":"<…>Z","created_at":"<…>Z","created_by":"<…>"}`
		}
		c.walk(
			step{owner, "GET", path + "/" + id, "", 200, shown("null")},
			step{key, "GET", "/api/service/info", "", 200, ""},
			step{owner, "GET", path, "", 200, `{"api_keys":[` + shown(`"<…>Z"`) + `],"total":1}`},
			step{owner, "GET", path + "?offset=1", "", 200, `{"api_keys":[],"total":1}`},
			step{member, "GET", path, "", 403, forbidden("Insufficient permissions to view API keys for this service")},
			step{owner, "GET", path + "/nope", "", 404, missing("API key not found")},
		)
		time.Sleep(48 * time.Hour)
		owner = as(srv, "acme", "owner@acme.example")
		c.walk(
			step{key, "GET", "/api/service/info", "", 401, realError("UNAUTHORIZED", "API key has expired")},
			step{owner, "DELETE", path + "/" + id, "", 204, ""},
			step{owner, "DELETE", path + "/" + id, "", 404, missing("API key not found")},
			step{key, "GET", "/api/service/info", "", 401, realError("UNAUTHORIZED", "Invalid API key")},
		)
	})
}
