//go:build !peers

package main

var large []peer
