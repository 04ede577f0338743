package llmproxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// exporting answers Export with messages whose tokens are their numbers, and breaks off behind so many in each call.
type exporting struct {
	llmproxyv1.LlmProxyServiceClient
	messages []*llmproxyv1.ExportResponse
	cuts     []int
	err      error
	asked    []string
}

type received struct {
	grpc.ServerStreamingClient[llmproxyv1.ExportResponse]
	messages []*llmproxyv1.ExportResponse
	err      error
}

func (r *received) Recv() (*llmproxyv1.ExportResponse, error) {
	if len(r.messages) == 0 {
		return nil, r.err
	}
	message := r.messages[0]
	r.messages = r.messages[1:]
	return message, nil
}

func (e *exporting) Export(
	_ context.Context, request *llmproxyv1.ExportRequest, _ ...grpc.CallOption,
) (grpc.ServerStreamingClient[llmproxyv1.ExportResponse], error) {
	e.asked = append(e.asked, request.GetResumeToken())
	if e.err != nil {
		return &received{err: e.err}, nil
	}
	behind, _ := strconv.Atoi(request.GetResumeToken())
	due := append([]*llmproxyv1.ExportResponse{e.messages[0]}, e.messages[1+behind:]...)
	stream := &received{err: io.EOF}
	for number, message := range due {
		if len(e.cuts) > 0 && number == e.cuts[0] {
			stream.err = status.Error(codes.Unavailable, "cut")
			break
		}
		message = proto.CloneOf(message)
		message.Sequence, message.ResumeToken = int64(number), strconv.Itoa(behind+number)
		stream.messages = append(stream.messages, message)
	}
	if len(e.cuts) > 0 {
		e.cuts = e.cuts[1:]
	}
	return stream, nil
}

func exporter(client llmproxyv1.LlmProxyServiceClient) *Exporter {
	return &Exporter{Client: client, sleep: func(context.Context, time.Duration) error { return nil }}
}

// dataset gives the messages of a whole export of eleven lines, two in a chunk and four in a file.
func dataset(compress func([]byte) []byte) ([]*llmproxyv1.ExportResponse, []byte) {
	messages := []*llmproxyv1.ExportResponse{{Payload: &llmproxyv1.ExportResponse_Header{
		Header: &llmproxyv1.ExportHeader{PlanId: "plan-1", AsOfSeq: 90, SelectedRecords: 11, EstimatedBytes: -1},
	}}}
	var whole, file []byte
	records := int64(0)
	for number := 0; number < 11; number += 2 {
		var data []byte
		count := min(2, 11-number)
		for line := number; line < number+count; line++ {
			data = fmt.Appendf(data, "{\"messages\":[%d]}\n", line)
		}
		file, records = append(file, data...), records+int64(count)
		packed := compress(data)
		messages = append(messages, &llmproxyv1.ExportResponse{Payload: &llmproxyv1.ExportResponse_Chunk{Chunk: &llmproxyv1.ExportChunk{
			Data: packed, RecordCount: int32(count), Part: llmproxyv1.SplitPart_SPLIT_PART_TRAIN,
			Crc32C: crc32.Checksum(packed, castagnoli), FileIndex: int32(number / 4),
		}}})
		if number%4 == 2 || number+count == 11 {
			sum := sha256.Sum256(file)
			messages = append(messages, &llmproxyv1.ExportResponse{Payload: &llmproxyv1.ExportResponse_File{File: &llmproxyv1.ExportFile{
				Part: llmproxyv1.SplitPart_SPLIT_PART_TRAIN, RecordCount: records, ByteCount: int64(len(file)),
				Sha256: sum[:], Index: int32(number / 4),
			}}})
			whole, file, records = append(whole, file...), nil, 0
		}
	}
	return append(messages, &llmproxyv1.ExportResponse{Payload: &llmproxyv1.ExportResponse_Summary{
		Summary: &llmproxyv1.ExportSummary{MatchedRecords: 12, WrittenRecords: 11},
	}}), whole
}

func plain(data []byte) []byte { return data }

func zipped(data []byte) []byte {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	writer.Write(data)
	writer.Close()
	return packed.Bytes()
}

// cutBehindEachMessage exports as many processes would, each of which gets the header and one message more.
func cutBehindEachMessage(t *testing.T, client *exporting, request *llmproxyv1.ExportRequest, folder string) {
	t.Helper()
	for range len(client.messages) - 2 {
		client.cuts = []int{2}
		stop := &Exporter{Client: client, sleep: func(context.Context, time.Duration) error { return context.Canceled }}
		if _, err := stop.Export(t.Context(), request, folder); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}
