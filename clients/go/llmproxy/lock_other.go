//go:build !unix

package llmproxy

import "os"

// noFollow is nothing where the system cannot refuse links.
const noFollow = 0

// lockFile opens the file that would be locked where files can be.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, privateFile)
}
