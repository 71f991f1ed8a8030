//go:build unix

package webhook

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedByUs reports whether a folder belongs to this process's user or to root, and to whom.
func ownedByUs(info fs.FileInfo) (owner int, own bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, true
	}
	owner = int(stat.Uid)
	return owner, owner == os.Geteuid() || owner == 0
}
