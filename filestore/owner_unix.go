//go:build unix

package filestore

import (
	"io/fs"
	"syscall"
)

// owner gives the numbers of the user and the group that a file belongs to.
func owner(info fs.FileInfo) (uid, gid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}
