// Package stability has one test: a program that is killed, and started again while the server is
// down, on each of the stores. It is a module of its own because it needs all of them together.
package stability
