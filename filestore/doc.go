// Package filestore keeps a session's tokens, and cached responses, in files: for command-line
// tools and other programs of one user on one machine.
//
//	tokens, err := filestore.New(filepath.Join(configDir, "tool", "tokens.json"))
//	cached, err := filestore.NewCache(filepath.Join(cacheDir, "tool"), key)
//	client, err := authos.New(url, authos.WithTokenStore(tokens), authos.WithCache(authos.CachePolicy{Store: cached}))
//
// # Whose files are used
//
// Whoever can put a file where the tokens are kept can sign the program in as somebody else. So, as
// OpenSSH does with its files (StrictModes), the stores refuse, with a [*io/fs.PathError] that
// names the path, the owner and the user the program runs as:
//
//   - a folder or file that belongs to another user than this program's (its effective one) or
//     root;
//   - a folder that everybody may write to, the sticky bit (/tmp) or not, and one that a group may
//     write to, unless the group is the user's own (the one with the user's number, which most
//     Linux systems give every user) or the one of [TrustGroup];
//   - a file of mode other than 0600 or less; with [TrustGroup] that group may read and write, too:
//     Kubernetes gives the files of a volume with fsGroup mode 0660 each time it mounts it;
//   - a symbolic link in the place of a file, and whatever else is no regular file. A folder may be
//     reached through links.
//
// Only the folder itself is looked at, not those above it: who could exchange the folder still
// could not make files that belong to this program's user. Access control lists are not looked at.
//
// Every file is reached through an [os.Root] on the folder, so that a link planted meanwhile leads
// nowhere else.
//
// # Which file systems do
//
// A local one. Where all files have one fixed mode (a Windows drive in WSL, CIFS, many FUSE mounts)
// nothing is saved unless that mode is private: mount it with a umask of 077, or use another
// folder. Locks and renames of network file systems promise less than those of local ones. A token
// file that is a mount of its own (a container's volume of a single file) cannot be replaced: mount
// its folder.
//
// On Windows there are no owners and modes of this kind: the folder's access list decides, and the
// package does not look at it. A folder below the user's profile is private by default. Windows
// cannot flush a folder: a rename there is as durable as NTFS makes it. On macOS flushing a file
// means F_FULLFSYNC, through the drive's own cache.
package filestore
