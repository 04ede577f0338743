package llmproxy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

func TestAnExportLeavesFilesAndManifest(t *testing.T) {
	messages, whole := dataset(plain)
	folder := filepath.Join(t.TempDir(), "deep", "data")
	var last Progress
	e := exporter(&exporting{messages: messages})
	e.OnProgress = func(progress Progress) { last = progress }
	manifest, err := e.Export(t.Context(), &llmproxyv1.ExportRequest{}, folder)
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := os.ReadFile(filepath.Join(folder, "train.jsonl")); !bytes.Equal(found, whole) {
		t.Errorf("the file holds %q", found)
	}
	if manifest.WrittenRecords != 11 || manifest.AsOfSeq != 90 || !manifest.Files[0].Verified || len(manifest.Files[0].Segments) != 3 {
		t.Errorf("the manifest is %+v", manifest)
	}
	if last.Records != 11 || last.SelectedRecords != 11 || last.EstimatedBytes != -1 {
		t.Errorf("the progress is %+v", last)
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 2 {
		t.Errorf("the folder holds %v", entries)
	}
	if entries, _ := os.ReadDir(filepath.Dir(folder)); len(entries) != 1 {
		t.Errorf("beside the folder are %v", entries)
	}
	var stored Manifest
	data, _ := os.ReadFile(filepath.Join(folder, "manifest.json"))
	if err := json.Unmarshal(data, &stored); err != nil || stored.Files[0].SHA256 != manifest.Files[0].SHA256 {
		t.Errorf("manifest.json holds %s", data)
	}
}

func TestAnExportIsForItsOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("its files have no such permissions")
	}
	messages, _ := dataset(plain)
	parent := t.TempDir()
	if err := os.Mkdir(filepath.Join(parent, "data.partial"), 0o755); err != nil { // an older version left it
		t.Fatal(err)
	}
	seen := map[string]os.FileMode{}
	look := func() {
		filepath.WalkDir(parent, func(path string, entry os.DirEntry, _ error) error {
			if info, err := entry.Info(); err == nil && path != parent {
				seen[entry.Name()] |= info.Mode().Perm()
			}
			return nil
		})
	}
	e := exporter(&exporting{messages: messages, cuts: []int{3}})
	e.OnProgress = func(Progress) { look() }
	if _, err := e.Export(t.Context(), &llmproxyv1.ExportRequest{}, filepath.Join(parent, "data")); err != nil {
		t.Fatal(err)
	}
	look()
	want := map[string]os.FileMode{
		"data.partial": 0o700, "data": 0o700, ".data.partial.lock": 0o600, "train.jsonl": 0o600, "manifest.json": 0o600,
	}
	if !maps.Equal(seen, want) {
		t.Errorf("the permissions are %v", seen)
	}
}

func TestAnExportGoesOnWhereverItIsCut(t *testing.T) {
	for name, compress := range map[string]func([]byte) []byte{"plain": plain, "gzip": zipped} {
		t.Run(name, func(t *testing.T) {
			messages, whole := dataset(compress)
			folder := filepath.Join(t.TempDir(), "data")
			request := &llmproxyv1.ExportRequest{Output: &llmproxyv1.ExportOutput{}}
			if name == "gzip" {
				request.Output.Compression = llmproxyv1.ExportCompression_EXPORT_COMPRESSION_GZIP
			}
			client := &exporting{messages: messages}
			cutBehindEachMessage(t, client, request, folder)
			manifest, err := exporter(client).Export(t.Context(), request, folder)
			if err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(filepath.Join(folder, manifest.Files[0].Name))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			var reader io.Reader = file
			if name == "gzip" {
				if reader, err = gzip.NewReader(file); err != nil {
					t.Fatal(err)
				}
			}
			if found, _ := io.ReadAll(reader); !bytes.Equal(found, whole) || !manifest.Files[0].Verified {
				t.Errorf("the file holds %q, the manifest %+v", found, manifest)
			}
		})
	}
}

func TestWhatIsWrongWithAnExportIsSaid(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func([]*llmproxyv1.ExportResponse) []*llmproxyv1.ExportResponse
		is    error
	}{
		"a wrong checksum": {func(m []*llmproxyv1.ExportResponse) []*llmproxyv1.ExportResponse {
			m[1].GetChunk().Crc32C++
			return m
		}, ErrDamaged},
		"a wrong hash": {func(m []*llmproxyv1.ExportResponse) []*llmproxyv1.ExportResponse {
			m[3].GetFile().Sha256 = make([]byte, 32)
			return m
		}, ErrDamaged},
		"a wrong count": {func(m []*llmproxyv1.ExportResponse) []*llmproxyv1.ExportResponse {
			m[1].GetChunk().RecordCount++
			return m
		}, ErrDamaged},
		"a missing file": {func(m []*llmproxyv1.ExportResponse) []*llmproxyv1.ExportResponse {
			return append(m[:3:3], m[4:]...)
		}, ErrDamaged},
		"another sum": {func(m []*llmproxyv1.ExportResponse) []*llmproxyv1.ExportResponse {
			m[len(m)-1].GetSummary().WrittenRecords++
			return m
		}, ErrDamaged},
		"no summary": {func(m []*llmproxyv1.ExportResponse) []*llmproxyv1.ExportResponse { return m[:len(m)-1] }, ErrTruncated},
		"no header":  {func(m []*llmproxyv1.ExportResponse) []*llmproxyv1.ExportResponse { return m[1:] }, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			messages, _ := dataset(plain)
			folder := filepath.Join(t.TempDir(), "data")
			_, err := exporter(&exporting{messages: test.spoil(messages)}).Export(t.Context(), &llmproxyv1.ExportRequest{}, folder)
			if !errors.Is(err, test.is) {
				t.Errorf("the error is %v", err)
			}
			if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
				t.Error("the folder is there")
			}
		})
	}
}

func TestAnExportGoesOnBehindWhatWasWhole(t *testing.T) {
	good, whole := dataset(plain)
	spoiled, _ := dataset(plain)
	spoiled[3].GetFile().Sha256 = make([]byte, 32)
	folder := filepath.Join(t.TempDir(), "data")
	client := &exporting{messages: spoiled}
	if _, err := exporter(client).Export(t.Context(), &llmproxyv1.ExportRequest{}, folder); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	client.messages = good
	if _, err := exporter(client).Export(t.Context(), &llmproxyv1.ExportRequest{}, folder); err != nil {
		t.Fatal(err)
	}
	if found, _ := os.ReadFile(filepath.Join(folder, "train.jsonl")); !bytes.Equal(found, whole) {
		t.Errorf("%d bytes are in the file, %d were sent", len(found), len(whole))
	}
}

func TestAFileOfWhichNobodyTellsAHashHasNone(t *testing.T) {
	messages, _ := dataset(plain) // whatever is in the chunks: Zstandard is not read here
	for _, message := range messages {
		if file := message.GetFile(); file != nil {
			file.Sha256 = nil
		}
	}
	request := &llmproxyv1.ExportRequest{Output: &llmproxyv1.ExportOutput{
		Compression: llmproxyv1.ExportCompression_EXPORT_COMPRESSION_ZSTD,
	}}
	client := &exporting{messages: messages}
	folder := filepath.Join(t.TempDir(), "data")
	cutBehindEachMessage(t, client, request, folder)
	manifest, err := exporter(client).Export(t.Context(), request, folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, segment := range manifest.Files[0].Segments {
		if segment.SHA256 != "" || segment.Verified {
			t.Errorf("the segment is %+v", segment)
		}
	}
}

func TestARefusedExportLeavesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	client := &exporting{err: status.Error(codes.InvalidArgument, "no such class")}
	wrong := &llmproxyv1.ExportRequest{MaxChunkBytes: 1}
	if _, err := exporter(client).Export(t.Context(), wrong, folder); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(folder)); len(left) > 1 { // the lock stays
		t.Errorf("left: %v", left)
	}
	client.err = nil
	client.messages, _ = dataset(plain)
	if _, err := exporter(client).Export(t.Context(), &llmproxyv1.ExportRequest{}, folder); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderBelongsToOneExport(t *testing.T) {
	messages, _ := dataset(plain)
	folder := filepath.Join(t.TempDir(), "data")
	client := &exporting{messages: messages[:3]}
	if _, err := exporter(client).Export(t.Context(), &llmproxyv1.ExportRequest{}, folder); !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	other := &llmproxyv1.ExportRequest{MaxChunkBytes: 4096}
	if _, err := exporter(client).Export(t.Context(), other, folder); !errors.Is(err, ErrOtherExport) {
		t.Errorf("another request: %v", err)
	}
	if _, err := openDownload(&llmproxyv1.ExportRequest{ResumeToken: "x"}, folder); err == nil {
		t.Error("a token of one's own was taken")
	}
	for _, nameless := range []string{".", "..", "/", "data/.."} {
		if _, err := openDownload(&llmproxyv1.ExportRequest{}, nameless); err == nil || errors.Is(err, ErrFolderInUse) {
			t.Errorf("the folder %q: %v", nameless, err)
		}
	}
	first, err := openDownload(&llmproxyv1.ExportRequest{}, folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openDownload(&llmproxyv1.ExportRequest{}, folder); !errors.Is(err, ErrFolderInUse) {
		t.Errorf("twice at once: %v", err)
	}
	first.close()
	os.WriteFile(filepath.Join(folder+".partial", stateFile), []byte("{"), 0o600)
	if _, err := openDownload(&llmproxyv1.ExportRequest{}, folder); !errors.Is(err, ErrDamaged) {
		t.Errorf("an unreadable state: %v", err)
	}
	os.MkdirAll(filepath.Join(folder, "mine"), 0o700)
	if _, err := exporter(client).Export(t.Context(), &llmproxyv1.ExportRequest{}, folder); !errors.Is(err, ErrFolderInUse) {
		t.Errorf("a folder that is there: %v", err)
	}
}

func TestCallsThatBringNothingAreBounded(t *testing.T) {
	client := &exporting{err: status.Error(codes.Unavailable, "away")}
	_, err := exporter(client).Export(t.Context(), &llmproxyv1.ExportRequest{}, filepath.Join(t.TempDir(), "a"))
	if status.Code(err) != codes.Unavailable || len(client.asked) != mostTries {
		t.Errorf("%d calls, %v", len(client.asked), err)
	}
	client = &exporting{err: status.Error(codes.PermissionDenied, "no")}
	exporter(client).Export(t.Context(), &llmproxyv1.ExportRequest{}, filepath.Join(t.TempDir(), "b"))
	if len(client.asked) != 1 {
		t.Errorf("%d calls of what does not pass", len(client.asked))
	}
}

func TestHeartbeatsBringNothing(t *testing.T) {
	messages, _ := dataset(plain)
	messages = messages[:1]
	client := &exporting{}
	for range 20 {
		messages = append(messages, &llmproxyv1.ExportResponse{
			Payload: &llmproxyv1.ExportResponse_Heartbeat{Heartbeat: &llmproxyv1.Heartbeat{}},
		})
		client.cuts = append(client.cuts, 2) // the header and one of them
	}
	client.messages = messages
	_, err := exporter(client).Export(t.Context(), &llmproxyv1.ExportRequest{}, filepath.Join(t.TempDir(), "data"))
	if status.Code(err) != codes.Unavailable || len(client.asked) != mostTries {
		t.Errorf("%d calls, %v", len(client.asked), err)
	}
}

func TestTypedRecordsAreWrittenBehindTheirLengths(t *testing.T) {
	messages, _ := dataset(plain)
	record := &llmproxyv1.ExportRecord{Id: "r1", Method: "Chat"}
	messages = []*llmproxyv1.ExportResponse{
		messages[0],
		{Payload: &llmproxyv1.ExportResponse_Records{Records: &llmproxyv1.ExportRecords{Records: []*llmproxyv1.ExportRecord{record}}}},
		{Payload: &llmproxyv1.ExportResponse_Heartbeat{Heartbeat: &llmproxyv1.Heartbeat{}}},
		{Payload: &llmproxyv1.ExportResponse_Summary{Summary: &llmproxyv1.ExportSummary{WrittenRecords: 1}}},
	}
	folder := filepath.Join(t.TempDir(), "data")
	request := &llmproxyv1.ExportRequest{Output: &llmproxyv1.ExportOutput{Format: llmproxyv1.ExportFormat_EXPORT_FORMAT_RECORDS}}
	if _, err := exporter(&exporting{messages: messages}).Export(t.Context(), request, folder); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(filepath.Join(folder, "records.binpb"))
	found := &llmproxyv1.ExportRecord{}
	if len(data) < 1 || int(data[0]) != len(data)-1 || proto.Unmarshal(data[1:], found) != nil || found.GetId() != "r1" {
		t.Errorf("the file holds %q", data)
	}
}

func TestTypedRecordsAreTheSameBytesAndOfThePartThatWasAskedFor(t *testing.T) {
	messages, _ := dataset(plain)
	labels := map[string]string{}
	for number := range 16 {
		labels[fmt.Sprint("label ", number)] = "x"
	}
	record := &llmproxyv1.ExportRecord{Id: "r1", Request: &llmproxyv1.ChatRequest{Labels: labels}}
	messages = []*llmproxyv1.ExportResponse{
		messages[0],
		{Payload: &llmproxyv1.ExportResponse_Records{Records: &llmproxyv1.ExportRecords{Records: []*llmproxyv1.ExportRecord{record}}}},
		{Payload: &llmproxyv1.ExportResponse_Summary{Summary: &llmproxyv1.ExportSummary{WrittenRecords: 1}}},
	}
	folder := filepath.Join(t.TempDir(), "data")
	request := &llmproxyv1.ExportRequest{Output: &llmproxyv1.ExportOutput{
		Format: llmproxyv1.ExportFormat_EXPORT_FORMAT_RECORDS, Part: llmproxyv1.SplitPart_SPLIT_PART_VALIDATION,
	}}
	manifest, err := exporter(&exporting{messages: messages}).Export(t.Context(), request, folder)
	if err != nil {
		t.Fatal(err)
	}
	if split := manifest.Files[0].Split; split != "validation" {
		t.Errorf("the records are said to be of the part %q", split)
	}
	data, _ := os.ReadFile(filepath.Join(folder, "records.binpb"))
	inOrder, _ := (proto.MarshalOptions{Deterministic: true}).Marshal(record)
	if !bytes.HasSuffix(data, inOrder) {
		t.Error("a map has no order of its own, and the file none either")
	}
}
