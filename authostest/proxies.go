package authostest

import (
	"net/http"
	"strconv"
	"strings"
)

// proxyPages are how things in front of a server say that something is wrong with it:
// the headers and the body, in which STATUS and TEXT stand for the status. They have the
// form of the products' own pages, not their words.
var proxyPages = map[string]struct {
	header http.Header
	body   string
}{
	"nginx": {http.Header{"Server": {"nginx"}, "Content-Type": {"text/html"}},
		"<html>\r\n<head><title>STATUS TEXT</title></head>\r\n<body>\r\n<center><h1>STATUS TEXT</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"},
	"envoy":   {http.Header{"Server": {"envoy"}, "Content-Type": {"text/plain"}}, "upstream connect error, reset reason: connection failure"},
	"haproxy": {http.Header{"Content-Type": {"text/html"}, "Cache-Control": {"no-cache"}}, "<html><body><h1>STATUS TEXT</h1>\nNo server is there to take this request.\n</body></html>\n"},
	"traefik": {http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"}}, "TEXT"},
	"varnish": {http.Header{"Server": {"Varnish"}, "Content-Type": {"text/html; charset=utf-8"}, "Retry-After": {"5"}, "X-Varnish": {"32770"}}, "<!DOCTYPE html>\n<html><head><title>STATUS TEXT</title></head><body><h1>Error STATUS TEXT</h1><p>XID: 32770</p></body></html>\n"},
	"aws-alb": {http.Header{"Server": {"awselb/2.0"}, "Content-Type": {"text/html"}}, "<html>\r\n<head><title>STATUS TEXT</title></head>\r\n<body>\r\n<center><h1>STATUS TEXT</h1></center>\r\n</body>\r\n</html>\r\n"},
	"aws-api": {http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"InternalServerErrorException"}}, `{"message":"TEXT"}`},
	"azure":   {http.Header{"Server": {"Microsoft-Azure-Application-Gateway/v2"}, "Content-Type": {"text/html"}}, "<html>\r\n<head><title>STATUS TEXT</title></head>\r\n<body><center><h1>STATUS TEXT</h1></center></body>\r\n</html>\r\n"},
	"gcp":     {http.Header{"Content-Type": {"text/html; charset=UTF-8"}}, "<html><head><title>STATUS TEXT</title></head><body><h1>Error: TEXT</h1><h2>Please try again in 30 seconds.</h2></body></html>\n"},
	"istio":   {http.Header{"Server": {"istio-envoy"}, "Content-Type": {"text/plain"}}, "no healthy upstream"},
	"squid":   {http.Header{"Server": {"squid"}, "Content-Type": {"text/html;charset=utf-8"}, "X-Squid-Error": {"ERR_CONNECT_FAIL 111"}}, "<html><head><title>ERROR</title></head><body><h1>ERROR</h1><p>The URL could not be retrieved.</p></body></html>\n"},
	"login":   {http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Set-Cookie": {"portal=1"}}, "<!doctype html><html><body><form action=\"/login\"><input name=\"user\"></form></body></html>\n"},
	"empty":   {http.Header{"Content-Type": nil}, ""},
	"cloudflare": {http.Header{"Server": {"cloudflare"}, "Content-Type": {"text/html; charset=UTF-8"}, "Cf-Ray": {"8f0c0ffee0000000-FRA"}, "Cache-Control": {"private, no-store"}},
		"<!DOCTYPE html>\n<html lang=\"en-US\"><head><title>auth.example | STATUS: TEXT</title></head><body><h1>Error STATUS</h1><p>Ray ID: 8f0c0ffee0000000</p></body></html>\n"},
}

// Proxies are the names that [ProxyPage] knows.
func Proxies() []string { return sortedNames(proxyPages) }

// ProxyPage is a fault that responds in place of AuthOS as something in front of it does:
// "nginx", "cloudflare" and the others of [Proxies]. "login" is the page of a captive
// portal, for the status 200; "empty" is a status without a body. It panics when it does
// not know the proxy.
//
//	f := authostest.ProxyPage("nginx", 502)
//	f.Times = 3
//	srv.Fault(f)
func ProxyPage(proxy string, status int) Fault {
	page, ok := proxyPages[proxy]
	if !ok {
		panic("authostest: no proxy " + strconv.Quote(proxy) + "; want one of " + strings.Join(Proxies(), ", "))
	}
	text := http.StatusText(status)
	fill := strings.NewReplacer("STATUS", strconv.Itoa(status), "TEXT", text)
	return Fault{Status: status, Header: page.header.Clone(), Body: fill.Replace(page.body)}
}
