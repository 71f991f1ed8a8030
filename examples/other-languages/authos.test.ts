// A test in TypeScript against a fake AuthOS, with nothing but Node.js (22.18 or later, or 20 with a loader).
//
// Start the server, then the test:
//
//   go run ./authostest/cmd/fakeauthos -control -random-seed 1 >fake.env
//   env $(cat fake.env) node --test examples/other-languages/authos.test.ts
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

const url: string = process.env.URL!;
const key: string = process.env.API_KEY!;

interface Reply {
  status: number;
  body: any;
}

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
  const response = await fetch(url + path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: { "Content-Type": "application/json", ...headers },
  });
  const text = await response.text();
  const isJSON = response.headers.get("content-type")?.includes("json");
  return { status: response.status, body: isJSON ? JSON.parse(text) : text };
}

async function control(method: string, command: string, body?: unknown): Promise<any> {
  const reply = await call(method, "/_authostest/" + command, body);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply.body;
}

// Each test begins with the scene of the start.
beforeEach(() => control("POST", "reset", { state: "drop" }));

test("users", async () => {
  const { status, body } = await call("GET", "/api/service/users?limit=5", undefined, { "X-Api-Key": key });
  assert.deepEqual([status, body.total, body.users.length], [200, 25, 5]);
});

test("a fault, then all is well", async () => {
  await control("POST", "faults", { path: "/api/service/*", times: 1, proxy: "nginx", status: 502 });
  const first = await call("GET", "/api/service/info", undefined, { "X-Api-Key": key });
  const second = await call("GET", "/api/service/info", undefined, { "X-Api-Key": key });
  assert.deepEqual([first.status, second.status], [502, 200]);
});

test("a day later", async () => {
  const tokens = await control("POST", "sign-in", { email: "ada@example.com" });
  await control("POST", "clock", { advance: "25h" });
  const stale = await call("GET", "/api/user", undefined, { Authorization: "Bearer " + tokens.access_token });
  const fresh = await call("POST", "/api/auth/refresh", { refresh_token: tokens.refresh_token });
  const user = await call("GET", "/api/user", undefined, { Authorization: "Bearer " + fresh.body.access_token });
  assert.deepEqual([stale.status, fresh.status, user.status], [401, 200, 200]);
  assert.deepEqual(await control("GET", "replays"), { replays: 0 });
});
