package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const source = `package p

type T[V any] struct {
	Items  []V
	Nested struct{ inner int }
	hidden func()
}

func (*T[V]) Do(name string, more ...V) (v V, err error) { return }
func (T[V]) Value() int { return 0 }
func (T[V]) private() {}

type I interface {
	Method(int) bool
	sealed()
}

type (
	Alias  = T[int]
	Number int
	embeds struct{ T[int] }
	Whole  struct{ embeds }
)

const C Number = 3

var V = map[string]int{}

func F[A any, B comparable](a A, f func(b B) error) error { return nil }
func g() {}
`

func TestList(t *testing.T) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := new(types.Config).Check("p", fset, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := list(&packages.Package{PkgPath: "p", Types: pkg})
	want := strings.Split(strings.TrimSpace(`
p: const C Number = 3
p: func F[A any, B comparable](A, func(B) error) error
p: method (*T) Do(string, ...V) (V, error)
p: method (*Whole) Do(string, ...int) (int, error)
p: method (T) Value() int
p: method (Whole) Value() int
p: type Alias = T[int]
p: type I interface
p: type I interface, Method(int) bool
p: type I interface, methods that only this package can have
p: type Number int
p: type T struct, Items []V
p: type T struct, Nested struct{inner int}
p: type T[V any] struct, not comparable
p: type Whole struct, not comparable
p: var V map[string]int`), "\n")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestNameOf(t *testing.T) {
	for line, want := range map[string]string{
		"+ p: const C Number = 3":                                        "C",
		"- p: func F[A any, B comparable](A, func(B) error) error":       "F",
		"+ p: method (*T) Do(string, ...V) (V, error)":                   "Do",
		"+ p: type I interface":                                          "I",
		"+ p: type I interface, Method(int) bool":                        "Method",
		"+ p: type I interface, methods that only this package can have": "I",
		"+ p: type T[V any] struct, not comparable":                      "T",
		"+ p: type T struct, Items []V":                                  "Items",
		"+ p: type Alias = T[int]":                                       "Alias",
		"- p: var V map[string]int":                                      "V",
	} {
		if got := nameOf(line); got != want {
			t.Errorf("nameOf(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestDifferences(t *testing.T) {
	got := differences([]string{"a", "b"}, []string{"b", "c"})
	if want := []string{"- a", "+ c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
