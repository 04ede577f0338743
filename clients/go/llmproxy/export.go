package llmproxy

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// ErrDamaged says that a message or a file of an export is not what the proxy said that it would be.
var ErrDamaged = errors.New("llmproxy: the export is damaged")

// ErrOtherExport says that what an earlier export has left in the folder is of another request, or that the proxy goes
// on with another export. Repeat the earlier request, or remove FOLDER.partial.
var ErrOtherExport = errors.New("llmproxy: the folder belongs to another export")

// ErrFolderInUse says that the folder is there already, or that another process exports to it.
var ErrFolderInUse = errors.New("llmproxy: the folder is in use")

const (
	mostTries   = 8
	longestWait = 10 * time.Second
)

// Progress says how far an export is, over all calls; -1 is unknown.
type Progress struct {
	Records, Bytes                  int64
	SelectedRecords, EstimatedBytes int64
	// Searching says that the proxy is searching, so that nothing comes.
	Searching bool
}

// Exporter exports recorded calls to folders.
type Exporter struct {
	// Client is asked.
	Client llmproxyv1.LlmProxyServiceClient
	// OnProgress, if set, is told how far an export is, after every message.
	OnProgress func(Progress)
	// Options are those of every call.
	Options []grpc.CallOption

	sleep func(context.Context, time.Duration) error
}

// Export writes a folder: train.jsonl and the like, and manifest.json. What is interrupted goes on where it was: in this
// call as long as it may pass, and in the next one with the same request and folder. Until the end the files are in
// FOLDER.partial.
//
// The error is a gRPC status, [ErrTruncated], [ErrMalformed], [ErrDamaged], [ErrOtherExport], [ErrFolderInUse], or of
// the file system.
func (e *Exporter) Export(ctx context.Context, request *llmproxyv1.ExportRequest, folder string) (*Manifest, error) {
	files, err := openDownload(request, folder)
	if err != nil {
		return nil, err
	}
	defer files.close()
	for failed := 0; files.summary == nil; {
		brought, err := e.once(ctx, files)
		if err == nil {
			continue
		}
		if brought {
			failed = 0
		}
		failed++
		if !passes(err, ctx, brought) || failed >= mostTries {
			return nil, errors.Join(err, files.leave())
		}
		if err := e.wait(ctx, pause(err, failed)); err != nil {
			return nil, errors.Join(err, files.leave())
		}
	}
	return files.finish()
}

// once makes one call and takes its messages; it says whether the next one would begin behind where this one began.
func (e *Exporter) once(ctx context.Context, files *download) (brought bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := e.Client.Export(ctx, files.next(), e.Options...)
	if err != nil {
		return false, err
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if files.summary == nil {
				err = ErrTruncated
			} else {
				err = nil
			}
			return brought, err
		}
		if err != nil {
			return brought, err
		}
		if err := files.take(message); err != nil {
			return brought, err
		}
		switch message.GetPayload().(type) {
		case *llmproxyv1.ExportResponse_Header, *llmproxyv1.ExportResponse_Heartbeat:
		default:
			brought = true
		}
		if e.OnProgress != nil {
			e.OnProgress(files.progress())
		}
	}
}

func (e *Exporter) wait(ctx context.Context, pause time.Duration) error {
	if e.sleep != nil {
		return e.sleep(ctx, pause)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// passes says whether another call may go on where this one failed. That the server's own time limit ends a call which
// brought something is no failure; the caller's is one.
func passes(err error, ctx context.Context, brought bool) bool {
	story := Details(err)
	if story == nil || ctx.Err() != nil {
		return false
	}
	switch story.Code {
	case codes.Unavailable, codes.Aborted, codes.ResourceExhausted:
		return true
	case codes.DeadlineExceeded:
		return brought
	default:
		return false
	}
}

func pause(err error, failed int) time.Duration {
	if story := Details(err); story != nil && story.RetryAfter > 0 {
		return min(longestWait, story.RetryAfter)
	}
	return min(longestWait, 250*time.Millisecond<<failed)
}
