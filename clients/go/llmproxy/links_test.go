//go:build unix

package llmproxy

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

func TestNoLinkInThePlaceOfAFileIsFollowed(t *testing.T) {
	for _, name := range []string{".data.partial.lock", "data.partial/train.jsonl", "data.partial/state.json.new"} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			parent := t.TempDir()
			own, link := filepath.Join(parent, "own.txt"), filepath.Join(parent, "there", name)
			if err := errors.Join(
				os.WriteFile(own, []byte("mine"), 0o600),
				os.MkdirAll(filepath.Dir(link), 0o700),
				os.Symlink(own, link),
			); err != nil {
				t.Fatal(err)
			}
			messages, _ := dataset(plain)
			_, err := exporter(&exporting{messages: messages}).Export(
				t.Context(), &llmproxyv1.ExportRequest{}, filepath.Join(parent, "there", "data"),
			)
			if err == nil {
				t.Error("the export went through the link")
			}
			if found, _ := os.ReadFile(own); string(found) != "mine" {
				t.Errorf("the file behind the link holds %q", found)
			}
		})
	}
}

func TestAFolderThatIsALinkIsRefused(t *testing.T) {
	for _, name := range []string{"data", "data.partial"} {
		for _, there := range []bool{true, false} {
			parent := t.TempDir()
			elsewhere := filepath.Join(parent, "elsewhere")
			if there {
				if err := os.Mkdir(elsewhere, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(elsewhere, filepath.Join(parent, name)); err != nil {
				t.Fatal(err)
			}
			_, err := exporter(&exporting{}).Export(
				t.Context(), &llmproxyv1.ExportRequest{}, filepath.Join(parent, "data"),
			)
			if !errors.Is(err, ErrFolderInUse) {
				t.Errorf("%s as a link (there: %t) ends with %v", name, there, err)
			}
			if found, err := os.Stat(elsewhere); there && (err != nil || found.Mode().Perm() != 0o755) {
				t.Errorf("the folder behind the link is %v, %v", found, err)
			}
		}
	}
}
