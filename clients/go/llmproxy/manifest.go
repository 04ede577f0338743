package llmproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// Manifest is what manifest.json holds: what an export is, where it came from, and how to check it.
type Manifest struct {
	ManifestVersion int              `json:"manifest_version"`
	Tool            string           `json:"tool"`
	CreateTime      time.Time        `json:"create_time"`
	Format          string           `json:"format"`
	Request         json.RawMessage  `json:"request"`
	PlanID          string           `json:"plan_id"`
	AsOfSeq         int64            `json:"as_of_seq"`
	AsOfFeedbackSeq int64            `json:"as_of_feedback_seq"`
	MatchedRecords  int64            `json:"matched_records"`
	WrittenRecords  int64            `json:"written_records"`
	SkippedRecords  map[string]int64 `json:"skipped_records"`
	RedactedValues  map[string]int64 `json:"redacted_values"`
	Files           []ManifestFile   `json:"files"`
}

// ManifestFile is one file; Verified says whether every segment was found to be what the proxy had sent.
type ManifestFile struct {
	Name        string     `json:"name"`
	Split       string     `json:"split"`
	RecordCount int64      `json:"record_count"`
	Size        int64      `json:"size"`
	SHA256      string     `json:"sha256"`
	Verified    bool       `json:"verified"`
	Segments    []*Segment `json:"segments"`
}

func writeManifest(folder string, state *state, summary *llmproxyv1.ExportSummary) (*Manifest, error) {
	request, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(state.request)
	if err != nil {
		return nil, err
	}
	manifest := &Manifest{
		ManifestVersion: 1,
		Tool:            "llmproxy-go",
		CreateTime:      time.Now().UTC().Truncate(time.Second),
		Format:          formatName(state.request.GetOutput().GetFormat()),
		Request:         request,
		PlanID:          state.header.GetPlanId(),
		AsOfSeq:         state.header.GetAsOfSeq(),
		AsOfFeedbackSeq: state.header.GetAsOfFeedbackSeq(),
		MatchedRecords:  summary.GetMatchedRecords(),
		WrittenRecords:  summary.GetWrittenRecords(),
		SkippedRecords:  orEmpty(summary.GetSkippedRecords()),
		RedactedValues:  orEmpty(summary.GetRedactedValues()),
		Files:           []ManifestFile{},
	}
	for _, name := range state.order {
		file, err := manifestFile(folder, state.parts[name])
		if err != nil {
			return nil, err
		}
		manifest.Files = append(manifest.Files, file)
	}
	data, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return nil, err
	}
	return manifest, writeSynced(filepath.Join(folder, "manifest.json"), append(data, '\n'))
}

func manifestFile(folder string, part *partState) (ManifestFile, error) {
	sum, err := sumOf(filepath.Join(folder, part.Name))
	file := ManifestFile{
		Name:        part.Name,
		Split:       splitOf(llmproxyv1.SplitPart(part.Part)),
		RecordCount: part.records(),
		Size:        part.Size,
		SHA256:      sum,
		Verified:    true,
		Segments:    part.Segments,
	}
	for _, segment := range part.Segments {
		file.Verified = file.Verified && segment.Verified
	}
	return file, err
}

func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func formatName(format llmproxyv1.ExportFormat) string {
	if format == llmproxyv1.ExportFormat_EXPORT_FORMAT_UNSPECIFIED {
		format = llmproxyv1.ExportFormat_EXPORT_FORMAT_OPENAI_CHAT
	}
	return strings.ToLower(strings.TrimPrefix(format.String(), "EXPORT_FORMAT_"))
}

func orEmpty(counts map[string]int64) map[string]int64 {
	if counts == nil {
		return map[string]int64{}
	}
	return counts
}
