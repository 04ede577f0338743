package llmproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy"
	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

const (
	folderVariable = "LLMPROXY_TEST_FOLDER"
	recorded       = 20
)

func TestServerExportGoesOnToTheSameBytes(t *testing.T) {
	client := server(t)
	request := slowly(record(t, client))
	whole, _ := exported(t, client, request, filepath.Join(t.TempDir(), "whole"))

	folder := filepath.Join(t.TempDir(), "cut")
	cutOff(t, client, request, folder)
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the folder is there before it is whole")
	}
	again, begins := exported(t, client, request, folder)
	if begins == 0 || begins >= recorded {
		t.Errorf("it went on behind %d of %d records", begins, recorded)
	}
	if !bytes.Equal(again, whole) || bytes.Count(whole, []byte("\n")) != recorded {
		t.Errorf("%d bytes in the end, %d of an export that nobody cut off", len(again), len(whole))
	}
}

// The export that folderVariable names was begun by another client, which goes on with it afterwards.
func TestServerExportIsHandedOn(t *testing.T) {
	client := server(t)
	folder := os.Getenv(folderVariable)
	if folder == "" {
		folder = filepath.Join(t.TempDir(), "data")
		cutOff(t, client, slowly(record(t, client)), folder)
	}
	if begins := cutOff(t, client, requestOf(t, folder), folder); begins == 0 {
		t.Error("it began anew")
	}
}

func TestServerExportNamesAWrongFilter(t *testing.T) {
	request := &llmproxyv1.ExportRequest{Filter: &llmproxyv1.ExportFilter{RecordIds: []string{"nobody"}}}
	folder := filepath.Join(t.TempDir(), "data")
	exporter := &llmproxy.Exporter{Client: server(t)}
	_, err := exporter.Export(t.Context(), request, folder)
	story := llmproxy.Details(err)
	if story == nil || len(story.Violations) != 1 || story.Violations[0].GetField() != "filter.record_ids[0]" {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(folder + ".partial"); !errors.Is(err, os.ErrNotExist) {
		t.Error("something is left of it")
	}
}

// cutOff leaves an export behind the next record that comes; it gives the records that an earlier export had left.
func cutOff(
	t *testing.T, client llmproxyv1.LlmProxyServiceClient, request *llmproxyv1.ExportRequest, folder string,
) int64 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begins := int64(-1)
	exporter := &llmproxy.Exporter{Client: client, OnProgress: func(progress llmproxy.Progress) {
		if begins < 0 {
			begins = progress.Records // the header's
		}
		if progress.Records > begins {
			cancel()
		}
	}}
	_, err := exporter.Export(ctx, request, folder)
	if !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
		t.Fatalf("the export was not cut off: %v", err)
	}
	return begins
}

// requestOf reads what was asked by the export that was cut off.
func requestOf(t *testing.T, folder string) *llmproxyv1.ExportRequest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder+".partial", "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct{ Request []byte }
	request := &llmproxyv1.ExportRequest{}
	if err := errors.Join(json.Unmarshal(data, &state), proto.Unmarshal(state.Request, request)); err != nil {
		t.Fatal(err)
	}
	return request
}

// exported makes a whole export; it gives the bytes of the file, and the records that an earlier export had left.
func exported(
	t *testing.T, client llmproxyv1.LlmProxyServiceClient, request *llmproxyv1.ExportRequest, folder string,
) ([]byte, int64) {
	t.Helper()
	begins := int64(-1)
	exporter := &llmproxy.Exporter{Client: client, OnProgress: func(progress llmproxy.Progress) {
		if begins < 0 {
			begins = progress.Records // the header's
		}
	}}
	manifest, err := exporter.Export(t.Context(), request, folder)
	if err != nil {
		t.Fatal(err)
	}
	if manifest.WrittenRecords != recorded || !manifest.Files[0].Verified {
		t.Errorf("the manifest is %+v", manifest)
	}
	data, err := os.ReadFile(filepath.Join(folder, "train.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return data, begins
}

// record makes calls under a label of their own, waits until they are stored, and gives the filter that finds them.
func record(t *testing.T, client llmproxyv1.LlmProxyServiceClient) *llmproxyv1.ExportFilter {
	t.Helper()
	run := fmt.Sprint(time.Now().UnixNano())
	for number := range recorded {
		chat := llmproxy.Ask(model, strings.Repeat(fmt.Sprintf("word%d ", number), 2000))
		chat.Labels = map[string]string{"run": run}
		if _, err := client.Chat(t.Context(), chat); err != nil {
			t.Fatal(err)
		}
	}
	filter := &llmproxyv1.ExportFilter{Labels: []*llmproxyv1.LabelCondition{{
		Key: "run", Operator: llmproxyv1.LabelOperator_LABEL_OPERATOR_IN, Values: []string{run},
	}}}
	deadline := time.Now().Add(30 * time.Second)
	for stored(t, client, filter) < recorded {
		if time.Now().After(deadline) {
			t.Fatal("the calls were not recorded: does the server keep records with their content?")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return filter
}

func stored(t *testing.T, client llmproxyv1.LlmProxyServiceClient, filter *llmproxyv1.ExportFilter) int64 {
	t.Helper()
	stream, err := client.Export(t.Context(), &llmproxyv1.ExportRequest{Filter: filter, PlanOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if summary := message.GetSummary(); summary != nil {
			return summary.GetMatchedRecords()
		}
	}
}

// slowly asks for records in small pieces and no faster than a caller can leave between two of them.
func slowly(filter *llmproxyv1.ExportFilter) *llmproxyv1.ExportRequest {
	return &llmproxyv1.ExportRequest{Filter: filter, MaxChunkBytes: 4096, MaxBytesPerSecond: 400_000}
}
