package llmproxy_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy"
	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

func TestDetailsTellTheWholeStory(t *testing.T) {
	err := failure(t,
		&errdetails.ErrorInfo{Domain: "llmproxy", Reason: "INVALID_REQUEST", Metadata: map[string]string{"fields": "2"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "model", Description: "is required"},
			{Field: "messages", Description: "needs at least one message"},
		}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)},
		&llmproxyv1.ErrorDetail{Reason: llmproxyv1.ErrorReason_ERROR_REASON_INVALID_REQUEST, RequestId: "r-1"},
	)
	story := llmproxy.Details(err)
	if story.Code != codes.InvalidArgument || story.Reason != "INVALID_REQUEST" || story.Message != "no" {
		t.Errorf("code, reason, message: %v", story)
	}
	if story.Detail.GetRequestId() != "r-1" || story.Metadata["fields"] != "2" || story.RetryAfter != 3*time.Second {
		t.Errorf("detail, metadata, wait: %v", story)
	}
	expected := "InvalidArgument INVALID_REQUEST: no; model: is required; messages: needs at least one message"
	if story.Error() != expected {
		t.Errorf("in one line: %s", story)
	}
}

func TestDetailsOfWhatNoCallMadeAreNil(t *testing.T) {
	for _, err := range []error{nil, errors.New("mine"), llmproxy.ErrTruncated} {
		if story := llmproxy.Details(err); story != nil {
			t.Errorf("%v: %v", err, story)
		}
	}
}

func TestAWrappedErrorKeepsTheServersMessage(t *testing.T) {
	err := fmt.Errorf("asking: %w", failure(t))
	story := llmproxy.Details(err)
	if story == nil || story.Message != "no" {
		t.Fatalf("got %v", story)
	}
	if !errors.Is(story, err) || status.Code(story) != codes.InvalidArgument {
		t.Fatal("the story forgot its cause")
	}
}

func TestABareStatusHasNoReason(t *testing.T) {
	story := llmproxy.Details(status.Error(codes.Unimplemented, "unknown method"))
	if story.Reason != "" || story.Detail != nil || story.Error() != "Unimplemented: unknown method" {
		t.Fatalf("got %v", story)
	}
}

func TestTheReasonOfAnotherDomainIsNotOurs(t *testing.T) {
	story := llmproxy.Details(failure(t, &errdetails.ErrorInfo{Domain: "mesh.example", Reason: "NO_ROUTE"}))
	if story.Reason != "" {
		t.Fatalf("got %v", story)
	}
}

func TestTheWaitOfTheDetailCountsWithoutRetryInfo(t *testing.T) {
	story := llmproxy.Details(failure(t, &llmproxyv1.ErrorDetail{RetryAfter: durationpb.New(time.Minute)}))
	if story.RetryAfter != time.Minute {
		t.Fatalf("got %v", story.RetryAfter)
	}
}

func failure(t *testing.T, details ...protoadapt.MessageV1) error {
	t.Helper()
	full, err := status.New(codes.InvalidArgument, "no").WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return full.Err()
}
