"""A test in Python against a fake AuthOS, with nothing but the standard library.

Start the server, then the test:

    go run ./authostest/cmd/fakeauthos -control -random-seed 1 >fake.env
    env $(cat fake.env) python3 examples/other-languages/test_authos.py
"""
import json
import os
import unittest
import urllib.error
import urllib.request

URL, KEY = os.environ["URL"], os.environ["API_KEY"]


def call(method, path, body=None, **headers):
    """Sends a request and returns the status and the decoded body."""
    data = None if body is None else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(URL + path, data, {"Content-Type": "application/json", **headers}, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            status, text = response.status, response.read()
    except urllib.error.HTTPError as failure:
        status, text = failure.code, failure.read()
    return status, json.loads(text) if text[:1] in b"{[n" and text else text.decode()


def control(method, command, body=None):
    status, out = call(method, "/_authostest/" + command, body)
    assert status == 200, out
    return out


class AuthOS(unittest.TestCase):
    def setUp(self):
        control("POST", "reset", {"state": "drop"})  # each test begins with the scene of the start

    def test_users(self):
        status, page = call("GET", "/api/service/users?limit=5", X_Api_Key=KEY)
        self.assertEqual((status, page["total"], len(page["users"])), (200, 25, 5))

    def test_fault(self):
        control("POST", "faults", {"path": "/api/service/*", "times": 1, "proxy": "nginx", "status": 502})
        self.assertEqual([call("GET", "/api/service/info", X_Api_Key=KEY)[0] for _ in range(2)], [502, 200])

    def test_a_day_later(self):
        tokens = control("POST", "sign-in", {"email": "ada@example.com"})
        control("POST", "clock", {"advance": "25h"})
        self.assertEqual(call("GET", "/api/user", Authorization="Bearer " + tokens["access_token"])[0], 401)
        status, fresh = call("POST", "/api/auth/refresh", {"refresh_token": tokens["refresh_token"]})
        self.assertEqual(status, 200)
        self.assertEqual(call("GET", "/api/user", Authorization="Bearer " + fresh["access_token"])[0], 200)
        call("POST", "/api/auth/refresh", {"refresh_token": tokens["refresh_token"]})
        self.assertEqual(control("GET", "replays"), {"replays": 1})  # and the session is gone

    def test_device(self):
        _, code = call("POST", "/auth/device/code", {"client_id": "acme_app", "org": "acme", "service": "app"})
        control("POST", "devices/approve", {"user_code": code["user_code"], "email": "ada@example.com"})
        grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": code["device_code"]}
        status, token = call("POST", "/auth/token", {**grant, "client_id": "acme_app"})
        self.assertEqual((status, token["token_type"]), (200, "Bearer"))
        self.assertEqual(control("GET", "applied")["POST /auth/token"], 1)


if __name__ == "__main__":
    unittest.main()
