package llmproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

const (
	stateFile    = "state.json"
	stateVersion = 1
)

// state is what an export that was cut off needs to go on; the Python client reads and writes the same.
type state struct {
	request     *llmproxyv1.ExportRequest
	header      *llmproxyv1.ExportHeader
	resumeToken string
	parts       map[string]*partState
	order       []string
	begunAt     float64 // Unix seconds; kept for the Python client, whose command reads "30d" by it
}

type storedState struct {
	Version     int          `json:"version"`
	Request     []byte       `json:"request"`
	Header      []byte       `json:"header"`
	ResumeToken string       `json:"resume_token"`
	Parts       []*partState `json:"parts"`
	BegunAt     float64      `json:"begun_at"`
}

// readState gives the state that is in a folder, nil if there is none.
func readState(folder string) (*state, error) {
	data, err := os.ReadFile(filepath.Join(folder, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := parseState(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s cannot be read; remove the folder and begin anew", ErrDamaged, filepath.Join(folder, stateFile))
	}
	return found, nil
}

func parseState(data []byte) (*state, error) {
	var stored storedState
	if err := json.Unmarshal(data, &stored); err != nil {
		return nil, err
	}
	if stored.Version != stateVersion {
		return nil, errors.New("another version")
	}
	found := &state{
		request:     &llmproxyv1.ExportRequest{},
		resumeToken: stored.ResumeToken,
		parts:       map[string]*partState{},
		begunAt:     stored.BegunAt,
	}
	if err := proto.Unmarshal(stored.Request, found.request); err != nil {
		return nil, err
	}
	if stored.Header != nil {
		found.header = &llmproxyv1.ExportHeader{}
		if err := proto.Unmarshal(stored.Header, found.header); err != nil {
			return nil, err
		}
	}
	for _, part := range stored.Parts {
		found.parts[part.Name] = part
		found.order = append(found.order, part.Name)
	}
	return found, nil
}

// write puts the state into a folder, whole or not at all.
func (s *state) write(folder string) error {
	request, err := proto.Marshal(s.request)
	if err != nil {
		return err
	}
	stored := storedState{
		Version: stateVersion, Request: request, ResumeToken: s.resumeToken, Parts: []*partState{}, BegunAt: s.begunAt,
	}
	if s.header != nil {
		if stored.Header, err = proto.Marshal(s.header); err != nil {
			return err
		}
	}
	for _, name := range s.order {
		stored.Parts = append(stored.Parts, s.parts[name])
	}
	data, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	fresh := filepath.Join(folder, stateFile+".new")
	if err := writeSynced(fresh, data); err != nil {
		return err
	}
	return os.Rename(fresh, filepath.Join(folder, stateFile))
}

func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|noFollow, privateFile)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}
