package fleet

import (
	"slices"
	"time"
)

// Scenario is something bad that happens to the server for a while.
type Scenario struct {
	Name, About string
	// Trigger is how long it lasts, unless the configuration says otherwise.
	Trigger time.Duration
	// Sheds marks the triggers during which a client must add next to nothing to the load: outages,
	// and overloads in which the server refuses what it cannot serve.
	Sheds bool
	plan  plan
}

// Scenarios are all there are, in the order of the issue that asked for them.
var Scenarios = []Scenario{
	{
		Name: "outage", About: "everything gets 503, then the caches are cold",
		Trigger: time.Minute, Sheds: true, plan: plan{outage: true, cold: true, maxQueue: time.Second},
	},
	{
		Name: "half", About: "half of the capacity is left; the server sheds",
		Trigger: time.Minute, Sheds: true, plan: plan{capacity: 0.5, maxQueue: time.Second},
	},
	{
		Name: "tenth", About: "a tenth of the capacity is left; the server sheds",
		Trigger: time.Minute, Sheds: true, plan: plan{capacity: 0.1, maxQueue: time.Second},
	},
	{
		Name: "jam", About: "a tenth of the capacity is left; the server queues without bound",
		Trigger: time.Minute, plan: plan{capacity: 0.1},
	},
	{
		Name: "slow", About: "each response takes 4 s longer",
		Trigger: time.Minute, plan: plan{delay: 4 * time.Second},
	},
	{
		Name: "restart", About: "four replicas restart one after another, each down for 10 s, then cold",
		Trigger: 4 * 10 * time.Second, plan: plan{restarts: 10 * time.Second, maxQueue: time.Second},
	},
	{
		Name: "drops", About: "a load balancer drops all connections in use every 5 s",
		Trigger: 30 * time.Second, plan: plan{drops: 5 * time.Second},
	},
	{
		Name: "limiter", About: "half of the demand is admitted, the rest gets 429 with Retry-After: 5",
		Trigger: time.Minute, plan: plan{limit: 0.5, maxQueue: time.Second},
	},
	{
		Name: "flaky", About: "a tenth of the requests gets 503 at random",
		Trigger: time.Minute, plan: plan{flaky: 0.1},
	},
	{
		Name: "herd", About: "every client starts with ten calls at once, the caches are cold",
		Trigger: time.Second, plan: plan{burst: 10, startCold: true, maxQueue: time.Second},
	},
	{
		Name: "tenant", About: "one of four tenants, with 60 % of the calls, gets 500",
		Trigger: time.Minute, plan: plan{badTenant: true},
	},
}

// Find gives the scenario of a name.
func Find(name string) (Scenario, bool) {
	i := slices.IndexFunc(Scenarios, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return Scenario{}, false
	}
	return Scenarios[i], true
}
