package llmproxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// How much of an export is asked for again after a crash, at most.
const (
	syncEvery = time.Second
	syncBytes = 16 << 20
)

// An export holds what people said: it is for its owner alone.
const (
	privateFolder = 0o700
	privateFile   = 0o600
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// download takes the messages of one export into FOLDER.partial.
type download struct {
	folder, partial string
	state           *state
	files           map[string]*partFile
	summary         *llmproxyv1.ExportSummary
	lock            *os.File

	sequence  int64
	headerDue bool
	searching bool
	between   bool // whether files and token belong together: not while a message is taken
	unsynced  int64
	syncedAt  time.Time
}

// openDownload begins an export, or goes on with what an earlier one has left.
func openDownload(request *llmproxyv1.ExportRequest, folder string) (*download, error) {
	if request.GetResumeToken() != "" {
		return nil, errors.New("llmproxy: the request has a resume token; the folder keeps its own")
	}
	folder = filepath.Clean(folder)
	if name := filepath.Base(folder); name == "." || name == ".." || name == string(filepath.Separator) {
		// It comes beside itself as NAME.partial, and is renamed at the end.
		return nil, fmt.Errorf("llmproxy: %q is not a folder with a name of its own", folder)
	}
	if err := errors.Join(noLink(folder), noLink(folder+".partial")); err != nil {
		return nil, err
	}
	if err := free(folder); err != nil {
		return nil, err
	}
	d := &download{folder: folder, partial: folder + ".partial", files: map[string]*partFile{}, between: true, syncedAt: time.Now()}
	if err := makePrivate(d.partial); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(filepath.Dir(folder), "."+filepath.Base(d.partial)+".lock"))
	if err != nil {
		return nil, err
	}
	d.lock = lock
	d.state, err = readState(d.partial)
	if err == nil && (d.state == nil || d.state.resumeToken == "") {
		d.state = &state{request: request, parts: map[string]*partState{}}
	} else if err == nil && !proto.Equal(d.state.request, request) {
		err = ErrOtherExport
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// makePrivate makes a folder for its owner alone, or closes one that is there to others; folders above it are as usual.
func makePrivate(folder string) error {
	if err := os.MkdirAll(filepath.Dir(folder), 0o777); err != nil {
		return err
	}
	if err := os.Mkdir(folder, privateFolder); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chmod(folder, privateFolder)
}

// noLink refuses a link in the place of a folder: it would be written through, and cannot be renamed over at the end.
func noLink(folder string) error {
	if found, err := os.Lstat(folder); err == nil && found.Mode()&os.ModeSymlink != 0 {
		return fmt.Errorf("%w: %s is a link; name a folder itself", ErrFolderInUse, folder)
	}
	return nil
}

// free says whether a folder may be written: it is not there, or empty.
func free(folder string) error {
	entries, err := os.ReadDir(folder)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%w: %s is there already", ErrFolderInUse, folder)
	default:
		return nil
	}
}

// next is the request of the next call: everything, or what is missing.
func (d *download) next() *llmproxyv1.ExportRequest {
	d.sequence, d.headerDue = 0, true
	request := proto.CloneOf(d.state.request)
	request.ResumeToken = d.state.resumeToken
	return request
}

func (d *download) take(message *llmproxyv1.ExportResponse) error {
	header := message.GetHeader()
	if message.GetSequence() != d.sequence || d.headerDue != (header != nil) {
		return fmt.Errorf("%w: message %d came where %d was due", ErrMalformed, message.GetSequence(), d.sequence)
	}
	d.sequence++
	d.headerDue = false
	d.searching = message.GetHeartbeat() != nil
	d.between = false
	if err := d.payload(message); err != nil {
		return err
	}
	// Not behind the summary: whoever has to finish once more needs it again.
	if token := message.GetResumeToken(); token != "" && message.GetSummary() == nil {
		d.state.resumeToken = token
	}
	d.between = true
	if d.unsynced >= syncBytes || time.Since(d.syncedAt) >= syncEvery {
		return d.sync()
	}
	return nil
}

func (d *download) payload(message *llmproxyv1.ExportResponse) error {
	switch payload := message.GetPayload().(type) {
	case *llmproxyv1.ExportResponse_Header:
		return d.takeHeader(payload.Header)
	case *llmproxyv1.ExportResponse_Chunk:
		return d.takeChunk(payload.Chunk)
	case *llmproxyv1.ExportResponse_Records:
		return d.takeRecords(payload.Records)
	case *llmproxyv1.ExportResponse_File:
		file, err := d.file(payload.File.GetPart())
		if err != nil {
			return err
		}
		return file.complete(payload.File)
	case *llmproxyv1.ExportResponse_Summary:
		d.summary = payload.Summary
	}
	return nil
}

func (d *download) takeHeader(header *llmproxyv1.ExportHeader) error {
	known := d.state.header
	if known == nil {
		d.state.header = header
		return nil
	}
	if known.GetPlanId() != header.GetPlanId() || known.GetAsOfSeq() != header.GetAsOfSeq() ||
		known.GetAsOfFeedbackSeq() != header.GetAsOfFeedbackSeq() {
		return ErrOtherExport
	}
	return nil
}

func (d *download) takeChunk(chunk *llmproxyv1.ExportChunk) error {
	if crc32.Checksum(chunk.GetData(), castagnoli) != chunk.GetCrc32C() {
		return fmt.Errorf("%w: a chunk's checksum is wrong", ErrDamaged)
	}
	file, err := d.file(chunk.GetPart())
	if err != nil {
		return err
	}
	d.unsynced += int64(len(chunk.GetData()))
	return file.write(chunk.GetData(), int64(chunk.GetRecordCount()), chunk.GetFileIndex())
}

// takeRecords writes typed records, each behind its length as a varint, as protobuf's delimited streams are. They do
// not tell their part: it is the one that was asked for. Maps are put in order, so that the same records are the same
// bytes.
func (d *download) takeRecords(records *llmproxyv1.ExportRecords) error {
	file, err := d.file(d.state.request.GetOutput().GetPart())
	if err != nil {
		return err
	}
	inOrder := proto.MarshalOptions{Deterministic: true}
	var data []byte
	for _, record := range records.GetRecords() {
		data = binary.AppendUvarint(data, uint64(proto.Size(record)))
		if data, err = inOrder.MarshalAppend(data, record); err != nil {
			return err
		}
	}
	d.unsynced += int64(len(data))
	return file.write(data, int64(len(records.GetRecords())), 0)
}

func (d *download) file(part llmproxyv1.SplitPart) (*partFile, error) {
	output := d.state.request.GetOutput()
	name := fileName(part, output)
	if file := d.files[name]; file != nil {
		return file, nil
	}
	if d.state.parts[name] == nil {
		d.state.parts[name] = &partState{Name: name, Part: int32(part), Segments: []*Segment{}}
		d.state.order = append(d.state.order, name)
	}
	file, err := openPart(d.partial, d.state.parts[name], output.GetCompression())
	if err != nil {
		return nil, err
	}
	d.files[name] = file
	return file, nil
}

func (d *download) progress() Progress {
	progress := Progress{SelectedRecords: -1, EstimatedBytes: -1, Searching: d.searching}
	for _, part := range d.state.parts {
		progress.Records += part.records()
		progress.Bytes += part.Size
	}
	if header := d.state.header; header != nil {
		progress.SelectedRecords, progress.EstimatedBytes = header.GetSelectedRecords(), header.GetEstimatedBytes()
	}
	return progress
}

// leave keeps what a later export can go on from: nothing, if nothing has come. Within a message, when files and token
// do not belong together, what was kept last stays.
func (d *download) leave() error {
	if d.state.resumeToken == "" {
		return os.RemoveAll(d.partial)
	}
	if !d.between {
		return nil
	}
	return d.sync()
}

// sync puts first the data, then the token that goes on behind it, where a power cut does not reach them.
func (d *download) sync() error {
	if d.state.resumeToken == "" {
		return nil
	}
	for _, file := range d.files {
		if err := file.file.Sync(); err != nil {
			return err
		}
	}
	d.unsynced, d.syncedAt = 0, time.Now()
	return d.state.write(d.partial)
}

// finish writes the manifest and gives the folder its name.
func (d *download) finish() (*Manifest, error) {
	if written := d.progress().Records; written != d.summary.GetWrittenRecords() {
		return nil, fmt.Errorf("%w: %d records are in the files, %d were sent", ErrDamaged, written, d.summary.GetWrittenRecords())
	}
	if err := d.sync(); err != nil {
		return nil, err
	}
	for _, file := range d.files {
		if err := file.file.Close(); err != nil {
			return nil, err
		}
	}
	manifest, err := writeManifest(d.partial, d.state, d.summary)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(d.folder); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err // it was empty when we began, and is not any more
	}
	if err := os.Rename(d.partial, d.folder); err != nil {
		return nil, err
	}
	return manifest, os.Remove(filepath.Join(d.folder, stateFile))
}

func (d *download) close() {
	for _, file := range d.files {
		file.file.Close()
	}
	os.Remove(d.lock.Name())
	d.lock.Close()
}

// fileName is what the file of one part is called; typed records are neither split nor compressed.
func fileName(part llmproxyv1.SplitPart, output *llmproxyv1.ExportOutput) string {
	if output.GetFormat() == llmproxyv1.ExportFormat_EXPORT_FORMAT_RECORDS {
		return "records.binpb"
	}
	name := splitOf(part) + ".jsonl"
	if output.GetFormat() == llmproxyv1.ExportFormat_EXPORT_FORMAT_CSV {
		name = splitOf(part) + ".csv"
	}
	switch output.GetCompression() {
	case llmproxyv1.ExportCompression_EXPORT_COMPRESSION_GZIP:
		return name + ".gz"
	case llmproxyv1.ExportCompression_EXPORT_COMPRESSION_ZSTD:
		return name + ".zst"
	default:
		return name
	}
}

// splitOf is the name of a split as data people say it; what is not split is for training.
func splitOf(part llmproxyv1.SplitPart) string {
	switch part {
	case llmproxyv1.SplitPart_SPLIT_PART_VALIDATION:
		return "validation"
	case llmproxyv1.SplitPart_SPLIT_PART_TEST:
		return "test"
	default:
		return "train"
	}
}
