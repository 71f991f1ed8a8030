package apitable_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/authos-go/authos/internal/apitable"
)

const source = `package x

type Client struct {
	User  *UserService
	Count *int
	other *UserService
}

type UserService struct {
	Devices *DeviceService
	c       *Client
}

type DeviceService struct{ c *Client }

const devices = "/devices"

func (s *UserService) Get(ctx context.Context) (*User, error) {
	return invoke[User](ctx, s.c, request{method: http.MethodGet, template: "/user"})
}

func (s *UserService) Quiet(ctx context.Context) error { return acknowledged(ctx, s.c, request{method: http.MethodPut, template: "/quiet"}) }

func (s *UserService) LoginURL() string { return link(s.c, "/login") }

func (s *UserService) helper() error { return s.c.call(ctx, request{method: http.MethodPost, template: "/helped"}) }

func (s *UserService) Flow(ctx context.Context) error {
	if err := s.helper(); err != nil {
		return s.Flow()
	}
	_, err := s.Get(ctx)
	return err
}

func (s *UserService) Offline() string { return "nothing" }

func (s *DeviceService) List(ctx context.Context) error { return s.c.call(ctx, request{method: http.MethodGet, template: devices}) }

func (s *DeviceService) All(ctx context.Context) iter.Seq2[Device, error] {
	return byNumber(func() { s.List() })
}

func (d DeviceService) unrelated() {}

func function() {}
`

func load(t *testing.T, source string) ([]apitable.Method, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x_test.go"), []byte("not Go"), 0o600); err != nil {
		t.Fatal(err)
	}
	return apitable.Load(dir)
}

func TestLoad(t *testing.T) {
	got, err := load(t, source)
	if err != nil {
		t.Fatal(err)
	}
	want := []apitable.Method{
		{Name: "User.Devices.All", Routes: []string{"GET /devices"}, Iterator: true},
		{Name: "User.Devices.List", Routes: []string{"GET /devices"}},
		{Name: "User.Flow", Routes: []string{"GET /user", "POST /helped"}},
		{Name: "User.Get", Routes: []string{"GET /user"}},
		{Name: "User.LoginURL", Routes: []string{"GET /login"}, Link: true},
		{Name: "User.Offline", Link: true},
		{Name: "User.Quiet", Routes: []string{"PUT /quiet"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLoadFails(t *testing.T) {
	for name, src := range map[string]string{
		"no client":          "package x",
		"no Go":              "package",
		"computed route":     strings.ReplaceAll(source, `"/user"`, `"/u"+"ser"`),
		"unknown constant":   strings.ReplaceAll(source, `const devices`, `const others`),
		"computed method":    strings.ReplaceAll(source, `http.MethodPut`, `method`),
		"too few arguments":  strings.ReplaceAll(source, `, request{method: http.MethodPut, template: "/quiet"}`, ``),
		"no template":        strings.ReplaceAll(source, `, template: "/quiet"`, ``),
		"method in a string": strings.ReplaceAll(source, `http.MethodPut`, `"PUT"`),
	} {
		if got, err := load(t, src); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
