//go:build unix

package llmproxy

import (
	"fmt"
	"os"
	"syscall"
)

// noFollow has a link in the place of a file refused: in a folder for everybody, such as /tmp, it would have a file of the
// caller's own written over.
const noFollow = syscall.O_NOFOLLOW

// lockFile locks a file for this process; it is beside the folder, since it must outlast the rename.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, privateFile)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("%w: another process exports to it", ErrFolderInUse)
	}
	return file, nil
}
