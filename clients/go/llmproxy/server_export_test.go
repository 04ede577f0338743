package llmproxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy"
	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

const recorded = 20

func TestServerExportGoesOnToTheSameBytes(t *testing.T) {
	client := server(t)
	request := slowly(record(t, client))
	whole, _ := exported(t, client, request, filepath.Join(t.TempDir(), "whole"))

	folder := filepath.Join(t.TempDir(), "cut")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cut := &llmproxy.Exporter{Client: client, OnProgress: func(progress llmproxy.Progress) {
		if progress.Records > 0 {
			cancel()
		}
	}}
	if _, err := cut.Export(ctx, request, folder); !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
		t.Fatalf("the export was not cut off: %v", err)
	}
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
