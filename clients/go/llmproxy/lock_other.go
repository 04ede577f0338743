//go:build !unix

package llmproxy

import "os"

// lockFile opens the file that would be locked where files can be.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, privateFile)
}
