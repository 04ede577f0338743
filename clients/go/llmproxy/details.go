package llmproxy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	llmproxyv1 "github.com/llmproxy-grpc/llmproxy-grpc/clients/go/llmproxy/v1"
)

// Domain is the ErrorInfo.domain of every error that the proxy makes.
const Domain = "llmproxy"

// Error is a failed call in full.
type Error struct {
	// Code says what to do: see error.proto for the reasons of each.
	Code codes.Code
	// Reason says why, such as MODEL_NOT_FOUND. It is empty if the error is not the proxy's: gRPC's own, or of a hop between.
	Reason string
	// Message says it in words.
	Message string
	// Metadata holds the message's variables.
	Metadata map[string]string
	// Detail is the whole story: attempts, what the provider said, request id. Nil if there is none.
	Detail *llmproxyv1.ErrorDetail
	// Violations names each wrong field of the request, with its path.
	Violations []*errdetails.BadRequest_FieldViolation
	// RetryAfter says how long to wait before trying again; 0 if the server does not say.
	RetryAfter time.Duration

	cause error
}

// Details gives the story of a failed call, or nil if err did not come from one.
func Details(err error) *Error {
	var failed interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &failed) || failed.GRPCStatus().Code() == codes.OK {
		return nil
	}
	full := failed.GRPCStatus()
	story := &Error{Code: full.Code(), Message: full.Message(), cause: err}
	for _, detail := range full.Details() {
		story.add(detail)
	}
	if story.RetryAfter == 0 {
		story.RetryAfter = story.Detail.GetRetryAfter().AsDuration()
	}
	return story
}

// Error gives code, reason, message and wrong fields in one line.
func (e *Error) Error() string {
	var line strings.Builder
	line.WriteString(e.Code.String())
	if e.Reason != "" {
		line.WriteString(" " + e.Reason)
	}
	line.WriteString(": " + e.Message)
	for _, violation := range e.Violations {
		fmt.Fprintf(&line, "; %s: %s", violation.GetField(), violation.GetDescription())
	}
	return line.String()
}

// Unwrap gives the error that this is the story of.
func (e *Error) Unwrap() error {
	return e.cause
}

// add takes over what one detail says; details that cannot be read, or mean nothing here, are passed over.
func (e *Error) add(detail any) {
	switch detail := detail.(type) {
	case *errdetails.ErrorInfo:
		if detail.GetDomain() == Domain {
			e.Reason, e.Metadata = detail.GetReason(), detail.GetMetadata()
		}
	case *errdetails.BadRequest:
		e.Violations = append(e.Violations, detail.GetFieldViolations()...)
	case *errdetails.RetryInfo:
		e.RetryAfter = detail.GetRetryDelay().AsDuration()
	case *llmproxyv1.ErrorDetail:
		e.Detail = detail
	}
}
